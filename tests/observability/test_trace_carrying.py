"""How a trace is carried: through runs and children, from strangers, and through a replay."""

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    WorkflowHandle,
)
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, Worker

from activities.tracing.carrying import HEADER, TraceInterceptor
from activities.tracing.exporting import Exported, Ids
from activities.tracing.spans import _Process, _Untraced, call_span, tracing  # pyright: ignore[reportPrivateUsage]
from tests.observability.small_workflows import Batch, Leaf, Small, step
from tests.replay.record import Record, all_records
from tests.workflows.theatre import with_namespace
from workers.pools import RUNNER, WORKFLOWS


class Traced:
    """A client and a worker that is traced, with what they told."""

    def __init__(self, plain: Client, traced: Client, exporter: InMemorySpanExporter) -> None:
        self.plain = plain
        self.traced = traced
        self._exporter = exporter

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def trees(self, workflow_id: str) -> dict[int, list[ReadableSpan]]:
        """The spans of each trace that has one of this workflow or its children."""
        traces: dict[int, list[ReadableSpan]] = defaultdict(list)
        for span in self.spans():
            traces[_context(span).trace_id].append(span)
        of = [
            trace
            for trace, spans in traces.items()
            if any(workflow_id in str((span.attributes or {}).values()) for span in spans)
        ]
        return {trace: traces[trace] for trace in of}


def _context(span: ReadableSpan) -> SpanContext:
    assert span.context is not None, "a span that was told has one"
    return span.context


def is_tree(spans: list[ReadableSpan]) -> bool:
    ids = {_context(span).span_id for span in spans}
    parents = [span.parent.span_id for span in spans if span.parent is not None]
    return len(spans) - len(parents) == 1 and set(parents) <= ids and len(ids) == len(spans)


@pytest.fixture(scope="module")
async def world(temporal_server: str) -> AsyncIterator[Traced]:
    interceptor, exporter = kept()
    plain = await with_namespace(temporal_server, "traces")
    traced = with_interceptor(plain, interceptor)
    async with Worker(
        traced,
        task_queue="small",
        workflows=[Small, Leaf, Batch],
        activities=[step],
        workflow_runner=RUNNER,
    ):
        yield Traced(plain, traced, exporter)


def kept() -> tuple[TraceInterceptor, InMemorySpanExporter]:
    """An interceptor, and where its spans are kept."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=Ids())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return TraceInterceptor(Exported(provider)), exporter


def with_interceptor(client: Client, interceptor: Interceptor) -> Client:
    config = client.config()
    config["interceptors"] = [interceptor]
    return Client(**config)


def an_id() -> str:
    return f"wf-{uuid.uuid4().hex[:8]}"


async def test_runs_and_children_of_a_wire_callers_workflow_are_one_tree(world: Traced) -> None:
    workflow_id = an_id()

    await world.plain.execute_workflow("Small", 2, id=workflow_id, task_queue="small")

    (spans,) = world.trees(workflow_id).values()
    assert is_tree(spans)
    assert len([span for span in spans if span.name == "RunWorkflow:Small"]) == 3
    assert {"RunWorkflow:Leaf", "CompleteWorkflow:Leaf"} <= {span.name for span in spans}


async def test_a_clients_own_span_is_the_root_of_what_it_starts(world: Traced) -> None:
    workflow_id = an_id()

    await world.traced.execute_workflow("Leaf", id=workflow_id, task_queue="small")

    (spans,) = world.trees(workflow_id).values()
    assert is_tree(spans)
    (root,) = [span for span in spans if span.parent is None]
    assert root.name == "StartWorkflow:Leaf"


async def test_each_item_of_a_batch_has_a_tree_of_its_own(world: Traced) -> None:
    workflow_id = an_id()

    await world.traced.execute_workflow("Batch", id=workflow_id, task_queue="small")

    trees = world.trees(workflow_id)
    assert len(trees) == 3
    assert all(is_tree(spans) for spans in trees.values())


class _Header(Interceptor):
    """A caller who sends something in place of a trace."""

    def __init__(self, payload: Payload) -> None:
        self.payload = payload

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        payload = self.payload

        class Sends(OutboundInterceptor):
            async def start_workflow(
                self,
                input: StartWorkflowInput,  # noqa: A002
            ) -> WorkflowHandle[object, object]:
                input.headers = {HEADER: payload}
                return await super().start_workflow(input)

        return Sends(next)


@pytest.mark.parametrize(
    "payload",
    [
        Payload(data=b"no json", metadata={"encoding": b"json/plain"}),
        Payload(data=b"[1]", metadata={"encoding": b"json/plain"}),
        Payload(data=b'{"traceparent": "00-zz"}', metadata={"encoding": b"json/plain"}),
        Payload(data=b'{"traceparent": 7}', metadata={"encoding": b"json/plain"}),
        Payload(data=b"x", metadata={"encoding": b"binary/unheard-of"}),
    ],
    ids=["no JSON", "a list", "no place", "a number", "another encoding"],
)
async def test_a_header_that_names_no_place_stops_no_workflow(
    world: Traced, payload: Payload
) -> None:
    caller, workflow_id = with_interceptor(world.plain, _Header(payload)), an_id()

    await caller.execute_workflow("Leaf", id=workflow_id, task_queue="small")

    (spans,) = world.trees(workflow_id).values()
    assert is_tree(spans)


# A few of them: what is told does not depend on the story.
@pytest.mark.parametrize("record", all_records()[::6], ids=lambda record: record.name)
async def test_a_recorded_history_replays_with_traces_and_tells_no_beginning(
    record: Record,
) -> None:
    interceptor, exporter = kept()
    replayer = Replayer(
        workflows=WORKFLOWS,
        workflow_runner=RUNNER,
        data_converter=pydantic_data_converter,
        interceptors=[interceptor],
    )

    replayed = await replayer.replay_workflow(record.history)

    assert replayed.replay_failure is None
    assert [span.name for span in exporter.get_finished_spans()] == []


def test_a_trace_that_is_not_sampled_goes_on_unsampled() -> None:
    exported = Exported(TracerProvider(id_generator=Ids(), sampler=ALWAYS_OFF))

    place = exported.root_of("a run", "RunWorkflow:Small")

    assert place["traceparent"].endswith("-00")


def test_without_an_endpoint_a_call_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another test may have had this process traced.
    monkeypatch.setattr(_Process, "tracing", _Untraced())

    with call_span("POST /{model}", http_request_method="POST") as notes:
        notes["http_response_status_code"] = 200

    assert list(tracing().interceptors()) == []
    tracing().flush()
