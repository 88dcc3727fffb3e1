"""Payloads in Temporal, encrypted with keys of ours. Start reading at `converter.py`."""
