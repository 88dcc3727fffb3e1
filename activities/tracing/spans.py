"""Spans for plain clients: a call and its outcome, or nothing at all where nothing is traced.

Only addresses' templates, states and ids go into a span: no query, no key, no user, no text that a
person wrote, and of an error its type alone.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    # It imports the whole SDK, and the command line imports this.
    from temporalio.client import Interceptor

Value: TypeAlias = str | int | float | bool
Notes: TypeAlias = dict[str, Value]
"""What is learnt of a call while it lasts, to be told as attributes of its span."""

TRACE_ID: ContextVar[str] = ContextVar("TRACE_ID", default="")
"""The trace of the workflow or activity that runs here, 32 hex digits; empty where there is none.
Logs tell it."""

WORKER, API, CLI, CLIENT = (
    f"stillmotion-{process}" for process in ("worker", "api", "cli", "client")
)
"""`service.name`, unless OTEL_SERVICE_NAME gives another."""


class Tracing(Protocol):
    """What spans are made by."""

    def call(self, name: str, attributes: Mapping[str, Value]) -> AbstractContextManager[Notes]:
        """A call of ours to another service."""
        ...

    def interceptors(self) -> "Sequence[Interceptor]":
        """What carries a trace through Temporal."""
        ...

    def flush(self) -> None:
        """Have everything sent, as far as that takes no more than two seconds."""
        ...


class _Untraced:
    @contextmanager
    def call(self, name: str, attributes: Mapping[str, Value]) -> Generator[Notes]:
        del name, attributes
        yield {}

    def interceptors(self) -> "Sequence[Interceptor]":
        return ()

    def flush(self) -> None:
        """Nothing waits."""


class _Process:
    """One for all clients of a process, as a logger is."""

    tracing: Tracing = _Untraced()
    is_traced = False


def start_tracing(service: str) -> None:
    """Trace this process from now on as `service`, where the environment names an endpoint.

    A second call changes nothing: an entry point comes before the clients that it connects.

    Raises:
        pydantic.ValidationError: OTEL_SDK_DISABLED is neither true nor false.
    """
    if _Process.is_traced:
        return
    from activities.tracing.settings import TracingSettings  # noqa: PLC0415 - as `Interceptor`

    url = TracingSettings().url
    if url is None:
        return
    # A quarter of a second to import, which nobody pays who doesn't trace.
    from activities.tracing.exporting import Exported  # noqa: PLC0415

    _Process.tracing, _Process.is_traced = Exported.to(url, service), True


def tracing() -> Tracing:
    """How this process traces."""
    return _Process.tracing


def call_span(name: str, **attributes: Value) -> AbstractContextManager[Notes]:
    """A span around a call; in the block's `Notes`, `http_response_status_code` and the like.

    The names of attributes have underscores in place of dots; a leaf of errors is told by its type.
    """
    return _Process.tracing.call(name, attributes)
