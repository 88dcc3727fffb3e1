"""OpenTelemetry traces: one tree per generation. Start reading at `interceptors.py`."""
