"""Telling a generation's stages to its `callback_url`, signed, in order, and never in its way.

`rules` says which URLs may be called, `signing` holds the secrets, `telling` sends one message,
`repository` keeps how far each receiver was told; `activities` puts them together for Temporal.
"""
