"""The embedded stack without a worker, on a folder of its own: measures start the workers.

Everything ends with this process, also by a kill, and the folder is removed at the end.
"""

import os
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue as TaskQueueMessage
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowHandle

from benchmarks.patience import until
from starter import VideoClient
from workers.dev import Options, running_stack
from workers.embedded.children import Child, start_child
from workers.stack import REAL_KEYS, environment_of
from workflows.contracts.ids import generation_id_for
from workflows.contracts.queues import TaskQueue
from workflows.contracts.stack import StackAddress

PICTURE = Path(__file__).parents[1] / "examples" / "coffee.jpg"
USERS = 20
"""As many balances as requests are spread over: one user's would be everybody's lock."""

WORKER = ("-m", "workers", "worker")
AS_IN_PRODUCTION = {
    "STILLMOTION_HEARTBEAT_TIMEOUT_S": "60",
    "STILLMOTION_POLL_INTERVAL_S": "3",
    "STILLMOTION_SWEEP_INTERVAL_S": "0",
    "STILLMOTION_DRAIN_S": "0",
}
"""What `stillmotion dev` sets otherwise, and no sweep in the middle of a measure."""


class Rig:
    """A running stack, and what a measure does with it."""

    def __init__(
        self, folder: Path, address: StackAddress, temporal: Client, database: asyncpg.Pool
    ) -> None:
        self.folder = folder
        self.address = address
        self.temporal = temporal
        self.database = database
        self.media: list[tuple[str, str]] = []
        """User id and the media id of that user's picture."""
        self._sandbox = address.provider.removesuffix("/api/v3")

    @asynccontextmanager
    async def worker(
        self, *argv: str, settings: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Child]:
        """A worker process that polls, killed at the end of the block.

        `argv` is what follows `python`, the production worker if not given.
        """
        child = await start_child(
            [sys.executable, *(argv or WORKER)],
            env=environment_of(self.address) | AS_IN_PRODUCTION | dict(settings or {}),
            log_path=self.folder / f"worker-{uuid.uuid4().hex[:8]}.log",
            stop_signal=signal.SIGTERM,
            cwd=Path(__file__).parents[1],
        )
        try:
            await until(lambda: self._polls(child), timeout_s=60)
            yield child
        finally:
            child.kill()
            await child.wait()
            await child.stop()

    async def _polls(self, child: Child) -> bool:
        if child.exit_code is not None:
            raise RuntimeError(f"the worker ended: {child.log_tail()}")
        served = [await self._pollers(queue) for queue in (TaskQueue.GENERATIONS, TaskQueue.MEDIA)]
        return all(f"{child.pid}@" in " ".join(each) for each in served)

    async def _pollers(self, queue: TaskQueue) -> list[str]:
        kind = (
            TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
            if queue is TaskQueue.GENERATIONS
            else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
        )
        request = DescribeTaskQueueRequest(
            namespace=self.temporal.namespace,
            task_queue=TaskQueueMessage(name=queue.value),
            task_queue_type=kind,
        )
        found = await self.temporal.workflow_service.describe_task_queue(request)
        return [poller.identity for poller in found.pollers]

    def request(self, number: int, prompt: str) -> tuple[str, dict[str, Any]]:
        """The id and the request of a generation that nobody has asked for yet."""
        user_id, media_id = self.media[number % len(self.media)]
        key = uuid.uuid4().hex
        request = {
            "user_id": user_id,
            "source": "api",
            "idempotency_key": key,
            "image": {"media_id": media_id},
            "prompt": prompt,
            "resolution": "480p",
        }
        return generation_id_for(user_id, key), request

    async def begin(
        self, generation_id: str, request: Mapping[str, Any]
    ) -> WorkflowHandle[Any, Any]:
        """Start one as a backend does: the workflow type with one JSON object."""
        return await self.temporal.start_workflow(
            "ImageToVideo",
            request,
            id=generation_id,
            task_queue=TaskQueue.GENERATIONS.value,
        )

    async def start(self, number: int, prompt: str = "a slow zoom") -> WorkflowHandle[Any, Any]:
        """Ask for one generation, and start it."""
        return await self.begin(*self.request(number, prompt))

    async def faults(self, **plan: object) -> None:
        """What the sandbox does from now on, by area."""
        await self.controls("POST", "faults", json=plan)

    async def log(self) -> dict[str, Any]:
        """What was asked of the sandbox."""
        return await self.controls("GET", "log")

    async def controls(self, method: str, name: str, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own
        """One of the sandbox's own endpoints."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            reply = await http.request(method, f"{self._sandbox}/sandbox/{name}", **given)
            return reply.raise_for_status().json()


@asynccontextmanager
async def opened(*, sandbox_work_s: float = 0) -> AsyncGenerator[Rig]:
    """The stack, its users on a plan with room for a measure, each with a picture uploaded."""
    _forget_settings()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(_folder()))
        options = Options(folder / "stack", workers=False, api=False, sandbox_work_s=sandbox_work_s)
        address = await stack.enter_async_context(running_stack(options))
        database = await stack.enter_async_context(
            asyncpg.create_pool(address.database, min_size=1, max_size=2)
        )
        client = await stack.enter_async_context(await VideoClient.connect(folder / "stack"))
        rig = Rig(folder, address, client.temporal, database)
        users = [f"bench-{number}" for number in range(USERS)]
        await database.executemany(
            "INSERT INTO subscriptions (user_id, plan) VALUES ($1, 'enterprise')",
            [(user_id,) for user_id in users],
        )
        rig.media += [(each, await client.upload(PICTURE, user_id=each)) for each in users]
        yield rig


def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="stillmotion-bench-", ignore_cleanup_errors=True)


def _forget_settings() -> None:
    """No real key, which could spend money, and no setting that would change what is measured."""
    for name in list(os.environ):
        if name in REAL_KEYS or name.startswith(("STILLMOTION_", "TEMPORAL_", "OTEL_")):
            del os.environ[name]


def without_reconcile() -> tuple[str, ...]:
    """A worker of every queue but that of doubts."""
    served = (queue.value for queue in TaskQueue if queue is not TaskQueue.RECONCILE)
    return (*WORKER, "--queues", *served)
