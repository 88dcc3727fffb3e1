"""What is known of encrypted payloads on both sides of the converter."""

ENCRYPTED = b"binary/encrypted"
"""The `encoding` of a payload that our codec made, as Temporal's samples name it."""
