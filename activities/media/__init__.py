"""Pictures, audio and videos: checked by decoding, kept in one object store."""
