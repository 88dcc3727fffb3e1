"""Whatever becomes of traces, work goes on: processors that raise, collectors that are silent."""

import asyncio
import os
import socket
import sys
import uuid
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler, SamplingResult
from stacks import REPOSITORY
from structlog.testing import capture_logs
from temporalio.client import Client
from temporalio.worker import Worker

from activities.tracing.carrying import TraceInterceptor
from activities.tracing.exporting import Exported, Ids
from tests.observability.loads import a_free_address
from tests.observability.small_workflows import Leaf, Small, step
from tests.workflows.theatre import with_namespace
from workers.pools import RUNNER

WITHIN = timedelta(seconds=20)
PATIENCE_S = 25.0
"""The SDK itself would wait for half a minute at a program's end."""


class Broken(Exception):
    """Of somebody's tracing."""


class BreaksAtTheStart(SpanProcessor):
    def on_start(self, *_args: object, **_named: object) -> None:
        raise Broken

    def force_flush(self, *_args: object, **_named: object) -> bool:
        raise Broken


class BreaksAtTheEnd(SpanProcessor):
    def on_end(self, *_args: object, **_named: object) -> None:
        raise Broken


class BreaksAtTheExport(SpanExporter):
    def export(self, *_args: object, **_named: object) -> SpanExportResult:
        raise Broken


class BreaksAtTheChoice(Sampler):
    def should_sample(self, *_args: object, **_named: object) -> SamplingResult:
        raise Broken

    def get_description(self) -> str:
        return "breaks"


def exported(processor: SpanProcessor, sampler: Sampler = ALWAYS_ON) -> Exported:
    provider = TracerProvider(id_generator=Ids(), sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return Exported(provider)


@pytest.fixture(scope="module")
async def client(temporal_server: str) -> Client:
    return await with_namespace(temporal_server, "broken-traces")


@pytest.mark.parametrize(
    "tracing",
    [
        exported(BreaksAtTheStart()),
        exported(BreaksAtTheEnd()),
        exported(SimpleSpanProcessor(BreaksAtTheExport())),
        exported(SpanProcessor(), BreaksAtTheChoice()),
    ],
    ids=["at the start", "at the end", "at the export", "at the choice"],
)
async def test_whatever_tracing_raises_a_workflow_and_its_steps_are_done(
    client: Client, tracing: Exported
) -> None:
    config = client.config()
    config["interceptors"] = [TraceInterceptor(tracing)]
    traced = Client(**config)
    queue = f"broken-{uuid.uuid4().hex[:8]}"

    async with Worker(
        traced,
        task_queue=queue,
        workflows=[Small, Leaf],
        activities=[step],
        workflow_runner=RUNNER,
    ):
        done = await traced.execute_workflow(
            "Small", 1, id=queue, task_queue=queue, execution_timeout=WITHIN
        )

    assert done is None


def test_a_call_is_made_whatever_its_span_raises_and_that_is_told_once() -> None:
    tracing, made = exported(BreaksAtTheStart()), list[int]()

    with capture_logs() as logged:
        for number in range(3):
            with tracing.call("POST /{model}", {"http_request_method": "POST"}) as notes:
                made.append(number)
                notes["http_response_status_code"] = 200
        tracing.flush()

    assert made == [0, 1, 2]
    assert [event["why"] for event in logged] == ["Broken"]


def test_a_calls_own_error_is_not_taken_for_one_of_tracing() -> None:
    tracing = exported(BreaksAtTheEnd())

    with pytest.raises(ZeroDivisionError), tracing.call("GET /", {}):
        raise ZeroDivisionError


@contextmanager
def collector_that_hangs() -> Generator[str]:
    """It accepts, and says nothing: the kernel takes the connection, nobody reads it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def collector_that_is_not_there() -> Generator[str]:
    yield a_free_address()


@pytest.mark.parametrize("collector", [collector_that_hangs, collector_that_is_not_there])
async def test_a_program_whose_collector_does_not_answer_does_its_work_and_ends(
    client: Client, temporal_server: str, collector: Callable[[], AbstractContextManager[str]]
) -> None:
    with collector() as address:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.observability.traced_program"),
            *(temporal_server, client.namespace),
            cwd=REPOSITORY,
            env=dict(os.environ) | settings,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    assert said.split() == [b"traced", b"done"]
