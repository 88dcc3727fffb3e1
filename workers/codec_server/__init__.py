"""Shows encrypted payloads to people: Temporal's Web UI and CLI ask it. Start at `app.py`."""
