"""Shows encrypted payloads to people: Temporal's Web UI and CLI ask it. Start at `app.py`."""

CODEC_PORT = 8081
"""Unless it is told another one; `stillmotion dev` names it to the Web UI."""
