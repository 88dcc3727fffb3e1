"""The HTTP API: health, and the way in for the provider's webhooks.

`app.create_app` makes the application of `parts` (what it talks to); each noun is a router of its
own, and every error is a problem document (`problems`). `python -m starter.api` serves it, which is
what `stillmotion api` becomes. All but `settings` needs the extra `api`.
"""
