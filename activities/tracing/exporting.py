"""Spans that leave this process by OTLP over HTTP.

Whatever others hang on is sent when it begins, as a span without length, and its end as a leaf
beside it with the whole length. So a worker that is killed, a run that goes on for days or one that
is terminated leaves no span whose parent is missing: a process sends its spans in their order.
"""

import atexit
import hashlib
import logging
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import activity
from temporalio.client import Interceptor

from activities.tracing.spans import Notes, Value

Carrier = dict[str, str]
"""A place in a trace, as W3C's headers."""

SEND_EVERY_MS = 1000
"""A process that is killed loses the spans of this time; the SDK's five seconds lose too many."""

FLUSH_S_MAX = 2.0
"""A collector that hangs holds up no command line."""

log = structlog.get_logger()

TRIES_LOGGER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

_GIVEN: ContextVar[tuple[int, int] | None] = ContextVar("_GIVEN", default=None)
_PROPAGATOR = TraceContextTextMapPropagator()
_DOTTED = {
    "http_request_method": "http.request.method",
    "http_response_status_code": "http.response.status_code",
    "url_template": "url.template",
    "server_address": "server.address",
    "server_port": "server.port",
    "error_type": "error.type",
    "gen_ai_operation_name": "gen_ai.operation.name",
    "gen_ai_request_model": "gen_ai.request.model",
    "prediction_id": "stillmotion.prediction_id",
    "workflow_id": "temporalWorkflowID",
    "operation": "stillmotion.operation",
    "model": "stillmotion.model",
    "size_bytes": "stillmotion.size_bytes",
}


class Ids(RandomIdGenerator):
    """Random ids, or those that are given: what is told again after a crash is the same span."""

    def generate_trace_id(self) -> int:
        """128 bits."""
        given = _GIVEN.get()
        return given[0] if given else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """64 bits."""
        given = _GIVEN.get()
        return given[1] if given else super().generate_span_id()


class OfActivity(SpanProcessor):
    """Which attempt of which activity a span belongs to, so that no client has to know."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Tell it, where one runs here."""
        del parent_context
        if activity.in_activity():
            info = activity.info()
            span.set_attribute("stillmotion.attempt", info.attempt)
            span.set_attribute("temporalActivityType", info.activity_type)
            if info.workflow_id is not None:
                span.set_attribute("temporalWorkflowID", info.workflow_id)

    def on_end(self, span: ReadableSpan) -> None:
        """Nothing is added at the end."""


@dataclass(frozen=True)
class Mark:
    """A moment, or a stretch that has ended: `began_ns` to `ended_ns`, in ns since 1970."""

    name: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, Value]
    kind: SpanKind = SpanKind.INTERNAL
    error: str = ""
    """The type of what it ended with, where that is a failure."""


class Exported:
    """Traces of one process.

    Whatever their SDK, or a processor of others in it, raises fails no work: it is told once, and
    the span is lost.
    """

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("stillmotion")
        self._has_failed = False

    @classmethod
    def to(cls, url: str, service: str) -> Self:
        """Spans posted to `url`, or to where the program that we are a part of sends its own."""
        theirs = trace.get_tracer_provider()
        if isinstance(theirs, TracerProvider):
            return cls(theirs)
        # At exit the SDK would wait for a collector that hangs for half a minute.
        provider = TracerProvider(
            resource=_resource(service), id_generator=Ids(), shutdown_on_exit=False
        )
        # A warning for each of its tries would be all that a command line shows; an error is told.
        logging.getLogger(TRIES_LOGGER).setLevel(logging.ERROR)
        provider.add_span_processor(OfActivity())
        provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=url), schedule_delay_millis=SEND_EVERY_MS)
        )
        exported = cls(provider)
        atexit.register(exported.flush)
        return exported

    def interceptors(self) -> Sequence[Interceptor]:
        """What carries a trace through Temporal."""
        from activities.tracing.carrying import TraceInterceptor  # noqa: PLC0415 - a cycle

        return (TraceInterceptor(self),)

    def flush(self) -> None:
        """Have everything sent, as far as that takes no more than two seconds."""
        if isinstance(self._provider, TracerProvider):
            sending = threading.Thread(target=self._send, args=(self._provider,), daemon=True)
            sending.start()
            sending.join(FLUSH_S_MAX)

    def _send(self, provider: TracerProvider) -> None:
        with self._spared():
            provider.force_flush()

    @contextmanager
    def call(self, name: str, attributes: Mapping[str, Value]) -> Generator[Notes]:
        """A call of ours to another service; its `Notes` become attributes when it ends."""
        notes: Notes = {}
        # Where none can be made, what is called hangs below the place where we are.
        span: trace.Span = NonRecordingSpan(trace.get_current_span().get_span_context())
        with self._spared():
            span = self._tracer.start_span(
                name, kind=SpanKind.CLIENT, attributes=_named(attributes)
            )
        try:
            # The error's words would be a user's.
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield notes
        except BaseException as error:
            notes.setdefault("error_type", type(error).__name__)
            raise
        finally:
            with self._spared():
                span.set_attributes(_named(notes))
                if "error_type" in notes:
                    span.set_status(StatusCode.ERROR)
                span.end()

    def mark(self, at: Carrier, mark: Mark, *, linked: Carrier | None = None) -> Carrier:
        """Send `mark` as a span below the place `at`; returns its own place, or `at` if lost."""
        with self._spared():
            links = [Link(place)] if (place := _place(linked)) is not None else []
            span = self._tracer.start_span(
                mark.name,
                _PROPAGATOR.extract(at, Context()),
                kind=mark.kind,
                attributes=mark.attributes,
                links=links,
                start_time=mark.began_ns,
            )
            if mark.error:
                span.set_attribute("error.type", mark.error)
                span.set_status(StatusCode.ERROR)
            span.end(mark.ended_ns)
            return _carrier(trace.set_span_in_context(span, Context()))
        return at

    def mark_as(
        self, seed: str, at: Carrier, mark: Mark, *, linked: Carrier | None = None
    ) -> Carrier:
        """As `mark`, under ids that follow from `seed`: told again, it is the same span."""
        token = _GIVEN.set(_ids_of(seed))
        try:
            return self.mark(at, mark, linked=linked)
        finally:
            _GIVEN.reset(token)

    def root_of(self, seed: str, name: str) -> Carrier:
        """The place of the root that `mark_as` sends of `seed`, whether or not it was sent here."""
        trace_id, span_id = _ids_of(seed)
        is_sampled = True
        if isinstance(self._provider, TracerProvider):
            with self._spared():
                judged = self._provider.sampler.should_sample(None, trace_id, name)
                is_sampled = judged.decision.is_sampled()
        return {"traceparent": f"00-{trace_id:032x}-{span_id:016x}-{is_sampled:02x}"}

    @contextmanager
    def _spared(self) -> Generator[None]:
        """The block may fail: work goes on without its span."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a processor may raise anything
            if not self._has_failed:
                log.warning("spans are lost: tracing fails", why=type(error).__name__)
            self._has_failed = True


def place_in(sent: object) -> Carrier:
    """The place in a trace that somebody sent; empty where it names none, whatever else it is."""
    given: dict[object, object] = sent if isinstance(sent, dict) else {}
    carrier = {
        name: value for name in _PROPAGATOR.fields if isinstance(value := given.get(name), str)
    }
    return carrier if _place(carrier) is not None else {}


def trace_id_of(carrier: Carrier) -> str:
    """32 hex digits; empty where there is no place."""
    return carrier.get("traceparent", "")[3:35]


@contextmanager
def at_place(carrier: Carrier) -> Generator[None]:
    """Spans of this block hang below `carrier`."""
    span = trace.get_current_span(_PROPAGATOR.extract(carrier, Context()))
    with trace.use_span(span, record_exception=False, set_status_on_exception=False):
        yield


def here() -> Carrier:
    """The place of what runs now; empty where nothing is traced."""
    return _carrier(None)


def _place(carrier: Carrier | None) -> trace.SpanContext | None:
    if carrier is None:
        return None
    place = trace.get_current_span(_PROPAGATOR.extract(carrier, Context())).get_span_context()
    return place if place.is_valid else None


def _carrier(context: Context | None) -> Carrier:
    carrier: Carrier = {}
    _PROPAGATOR.inject(carrier, context)
    return carrier


def _ids_of(seed: str) -> tuple[int, int]:
    digest = hashlib.sha256(f"stillmotion trace {seed}".encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """OpenTelemetry's names: `http_request_method` is `http.request.method`."""
    return {_DOTTED[name]: value for name, value in attributes.items()}


def _resource(service: str) -> Resource:
    """What sends; OpenTelemetry's own variables come first."""
    named = OTELResourceDetector().detect().attributes.get(SERVICE_NAME)
    return Resource.create(None if named else {SERVICE_NAME: service})
