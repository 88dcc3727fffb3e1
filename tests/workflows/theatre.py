"""A real server, real workers with scripted activities, and the generations started on them."""

import asyncio
import sysconfig
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from tests.workflows.scripted import Script, a_request
from tests.workflows.stagehand import Stagehand
from workers.dev import SEARCH_ATTRIBUTE_TYPES
from workers.pools import WORKFLOWS
from workflows.contracts.failures import Failure
from workflows.contracts.ids import callbacks_id_for
from workflows.contracts.progress import ProgressFacts
from workflows.contracts.queues import TaskQueue
from workflows.contracts.requests import WORKFLOW_TYPES, Operation
from workflows.contracts.results import GenerationResult
from workflows.contracts.stages import Stage

Handle = WorkflowHandle[Any, GenerationResult]

SANDBOXED = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules("workflows")
)
"""Stops I/O in a workflow; production goes without it."""

STEPS = [
    "ledger.reserve",
    "prompts.build_prompt",
    "provider.stage_inputs",
    "provider.submit",
    "provider.poll",
    "media.download",
    "library.save",
    "ledger.record_usage",
]
"""The activities of a generation that goes well."""

PAYLOAD_BYTES_MAX = 2_000
"""Of everything in a history but scene and story."""

PATIENCE_S = 20.0
"""How long a test waits for what should be there at once."""
QUERY_TIMEOUT = timedelta(seconds=5)


class Theatre:
    """Starts generations, and sees where they are."""

    def __init__(self, client: Client, stagehand: Stagehand) -> None:
        self.client = client
        self.stagehand = stagehand
        self.started: list[Handle] = []

    async def start(
        self,
        script: Script,
        request: object = None,
        *,
        args: Iterable[object] | None = None,
        operation: Operation = Operation.IMAGE_TO_VIDEO,
    ) -> Handle:
        """Start a generation whose activities play `script`; `args` instead of one request."""
        generation_id = f"gen_{uuid.uuid4().hex[:26]}"
        return await self.start_as(generation_id, script, request, args=args, operation=operation)

    async def start_as(
        self,
        generation_id: str,
        script: Script,
        request: object = None,
        *,
        args: Iterable[object] | None = None,
        operation: Operation = Operation.IMAGE_TO_VIDEO,
    ) -> Handle:
        self.stagehand.scripts[generation_id] = script
        handle: Handle = await self.client.start_workflow(
            WORKFLOW_TYPES[operation],
            args=[request or a_request(operation)] if args is None else list(args),
            id=generation_id,
            task_queue=TaskQueue.GENERATIONS,
            result_type=GenerationResult,
        )
        self.started.append(handle)
        return handle

    async def clear(self) -> None:
        """End what the test left, so that no other test meets it."""
        for handle in self.started:
            self.stagehand.scripts[handle.id].open_gates()
            with suppress(RPCError):  # it has ended by itself
                await handle.terminate()
            if callbacks_of(await history(handle)):
                with suppress(RPCError):
                    await self.client.get_workflow_handle(callbacks_id_for(handle.id)).terminate()
        self.started.clear()


def workers(client: Client, stagehand: Stagehand, queues: Iterable[TaskQueue]) -> list[Worker]:
    """The application's workers, but for the activities and how fast a cancel reaches them."""
    activities = stagehand.activities()
    return [
        Worker(
            client,
            task_queue=queue,
            workflows=WORKFLOWS if queue is TaskQueue.GENERATIONS else (),
            activities=activities.registered_on(queue),
            workflow_runner=SANDBOXED,
            max_heartbeat_throttle_interval=timedelta(milliseconds=50),
            disable_eager_activity_execution=True,
        )
        for queue in queues
    ]


@asynccontextmanager
async def playing(
    client: Client, stagehand: Stagehand, queues: Iterable[TaskQueue] = tuple(TaskQueue)
) -> AsyncGenerator[Theatre]:
    async with AsyncExitStack() as stack:
        for worker in workers(client, stagehand, queues):
            await stack.enter_async_context(worker)
        theatre = Theatre(client, stagehand)
        yield theatre
        await theatre.clear()


async def with_namespace(address: str, namespace: str) -> Client:
    """A client of a namespace of its own, so that nobody else's workers take the tasks."""
    client = await Client.connect(
        address, namespace=namespace, data_converter=pydantic_data_converter
    )
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=retention)
    )
    await until(lambda: _know_search_attributes(client))
    return client


@asynccontextmanager
async def skipping_time() -> AsyncGenerator[WorkflowEnvironment]:
    """A server with its own clock: while a result is awaited, it skips to the next timer."""
    program = Path(sysconfig.get_path("scripts")) / "temporal-test-server"
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(program), data_converter=pydantic_data_converter
    ) as environment:
        await _know_search_attributes(environment.client)
        yield environment


async def _know_search_attributes(client: Client) -> bool:
    request = AddSearchAttributesRequest(
        namespace=client.namespace, search_attributes=SEARCH_ATTRIBUTE_TYPES
    )
    try:
        await client.operator_service.add_search_attributes(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def until(condition: Callable[[], Any]) -> None:
    """Wait until `condition()`, which may be a coroutine, is true."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            met = condition()
            if await met if asyncio.iscoroutine(met) else met:
                return
            await asyncio.sleep(0.02)


async def facts(handle: Handle) -> ProgressFacts:
    return await handle.query("progress", result_type=ProgressFacts, rpc_timeout=QUERY_TIMEOUT)


async def reaches(handle: Handle, stage: Stage) -> ProgressFacts:
    """Wait until the generation is at `stage`; returns what it says there."""
    seen: list[ProgressFacts] = []

    async def there() -> bool:
        seen[:] = [await facts(handle)]
        return seen[0].stage is stage

    try:
        await until(there)
    except TimeoutError:
        raise AssertionError(f"it is {seen[0].stage if seen else 'silent'}, not {stage}") from None
    return seen[0]


async def failed(handle: Handle) -> Failure:
    """The failure that the workflow ended with, as its error carries it."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            result = await handle.result()
        except WorkflowFailureError as error:
            cause = error.cause
        else:
            raise AssertionError(f"it completed: {result}")
    assert isinstance(cause, ApplicationError), f"{cause!r}"
    assert cause.non_retryable
    told = Failure.model_validate(cause.details[0])
    assert (cause.type, cause.message) == (told.kind.value, told.message)
    return told


async def cancelled(handle: Handle) -> None:
    """The workflow ends as cancelled."""
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
    assert isinstance(ended.value.cause, CancelledError), f"{ended.value.cause!r}"


async def saw_the_cancel(handle: Handle) -> None:
    """The workflow has seen the cancel, and what it does next is not because it came too late."""

    async def seen() -> bool:
        events = await history(handle)
        ids = [event.event_id for event in events]
        cancel = [
            event.event_id
            for event in events
            if event.HasField("workflow_execution_cancel_requested_event_attributes")
        ]
        tasks = [
            event.event_id
            for event in events
            if event.HasField("workflow_task_completed_event_attributes")
        ]
        return bool(ids and cancel and tasks) and tasks[-1] > cancel[-1]

    await until(seen)


async def history(handle: Handle) -> list[HistoryEvent]:
    return [event async for event in handle.fetch_history_events()]


def timers(events: Iterable[HistoryEvent]) -> list[timedelta]:
    """How long each timer was to wait."""
    return [
        event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
        for event in events
        if event.HasField("timer_started_event_attributes")
    ]


def callbacks_of(events: Iterable[HistoryEvent]) -> list[str]:
    """The ids of the workflows that were started to tell a callback_url."""
    initiated = (
        event.start_child_workflow_execution_initiated_event_attributes
        for event in events
        if event.HasField("start_child_workflow_execution_initiated_event_attributes")
    )
    return [each.workflow_id for each in initiated if each.workflow_type.name == "Callbacks"]


def payloads(event: HistoryEvent) -> list[Payload]:
    """Every payload in an event."""
    found: list[Payload] = []

    def walk(message: Message | Payload) -> None:
        if isinstance(message, Payload):
            found.append(message)
            return
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            is_map = field.message_type.GetOptions().map_entry
            many = value.values() if is_map else value if hasattr(value, "append") else [value]
            for part in many:
                if hasattr(part, "ListFields"):
                    walk(part)

    walk(event)
    return found


def raw(data: bytes, encoding: bytes = b"json/plain") -> RawValue:
    """An input as another client may send it."""
    return RawValue(Payload(metadata={"encoding": encoding}, data=data))
