"""Erasing a user: files, histories and texts go, amounts stay. Start reading at `erasure.py`."""
