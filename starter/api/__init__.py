"""The HTTP API: for backends what the Python client does, for people the pages.

`app.create_app` makes the application of `parts` (what it talks to). A request passes `replies`,
`bodies` and `entrance`, which asks who sent it (`callers`); then each noun is a router of its own,
and every error a problem document (`problems`). `python -m starter.api` serves it (`serving`,
`connections`), which is what `stillmotion api` becomes. All but `settings` needs the extra `api`.
"""
