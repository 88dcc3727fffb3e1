"""What carries a trace through Temporal, for every client that we connect."""

from collections.abc import Sequence

from temporalio.client import Interceptor

from activities.tracing.spans import CLIENT, start_tracing, tracing


def trace_interceptors() -> Sequence[Interceptor]:
    """For every client of ours; a worker takes its client's. None where nobody asked for traces.

    Entry points have started tracing under their own name; whoever else connects is a client.

    Raises:
        pydantic.ValidationError: OTEL_SDK_DISABLED is neither true nor false.
    """
    start_tracing(CLIENT)
    return tracing().interceptors()
