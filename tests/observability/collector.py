"""A collector of traces: OTLP over HTTP on loopback, protobuf read as OpenTelemetry defines it."""

import gzip
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Seen(NamedTuple):
    """One span as it came."""

    trace_id: str
    span_id: str
    parent_id: str
    """Empty for a root."""
    name: str
    service: str
    attributes: dict[str, Any]
    error: str
    length_s: float
    raw: str
    """Everything of it, as text."""


class Collector:
    """Keeps every span that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.url = ""

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            of = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_seen(span, of.get("service.name", "")) for span in scope.spans]

    def trace_of(self, workflow_id: str) -> list[Seen]:
        """The spans of every trace in which this workflow runs, each once."""
        traces = {
            span.trace_id
            for span in self.spans
            if span.name.startswith("RunWorkflow")
            and span.attributes.get("temporalWorkflowID") == workflow_id
        }
        found = {span.span_id: span for span in self.spans if span.trace_id in traces}
        return list(found.values())


def _seen(span: Any, service: str) -> Seen:
    attributes = {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }
    return Seen(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        service,
        attributes,
        attributes.get("error.type", ""),
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        str(span),
    )


@contextmanager
def collecting() -> Generator[Collector]:
    """A collector, for the time of the block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
