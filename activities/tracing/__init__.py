"""OpenTelemetry traces: one tree per generation, and nothing at all where nobody asked for them.

`spans.py` is what other code uses; it imports no OpenTelemetry. `exporting.py` does, once
`start_tracing` finds an endpoint; `interceptors.py` carries a trace through Temporal.
"""
