"""The children of `stillmotion dev` that run our code: waited for, and started again when they die.

They keep nothing that isn't in PostgreSQL, Temporal or the media store, so another one goes on.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import httpx
import structlog
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue as TaskQueueMessage
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from workers.embedded.children import Child, Inheritance, start_child
from workers.embedded.errors import ServerDidNotStart
from workers.embedded.locking import DataDirectory
from workers.stack import environment_of
from workers.wiring import connect_temporal
from workflows.contracts.queues import TaskQueue
from workflows.contracts.stack import StackAddress

RESTART_PAUSE_S = 1.0
START_S = 60.0

Start = Callable[[], Awaitable[Child]]
"""Starts the child, the first time and after each death."""

Ready = Callable[[Child], Awaitable[None]]
"""Returns as soon as the child serves; raises ServerDidNotStart where it doesn't."""

log = structlog.get_logger()


@asynccontextmanager
async def supervised(name: str, start: Start, ready: Ready) -> AsyncGenerator[None]:
    """A child that runs for the time of the block, and another one when it dies.

    `name` is what people call it, such as `the worker`.

    Raises:
        ServerDidNotStart: the first one did not get ready.
    """
    keeper = _Keeper(await start())
    supervising: asyncio.Task[None] | None = None
    try:
        await ready(keeper.child)
        supervising = asyncio.create_task(_keep(keeper, name, start))
        yield
    finally:
        if supervising is not None:
            supervising.cancel()
            with suppress(asyncio.CancelledError):
                await supervising
        await keeper.child.stop()


def supervised_worker(
    directory: DataDirectory, address: StackAddress
) -> AbstractAsyncContextManager[None]:
    """A worker that polls every queue, for the time of the block.

    Raises:
        ServerDidNotStart: it didn't poll within a minute, or died before it did.
    """

    async def start() -> Child:
        return await start_child(
            [sys.executable, "-m", "workers", "worker"],
            env=environment_of(address),
            log_path=directory.log_path("worker"),
            stop_signal=signal.SIGTERM,
            cwd=directory.path,
            inherit=Inheritance(fds=(directory.lock_fd,)),
        )

    async def ready(child: Child) -> None:
        await _polls(address, child)

    return supervised("the worker", start, ready)


async def answers(url: str, child: Child, name: str) -> None:
    """Wait until a child of ours, called `name`, answers at `url`.

    Raises:
        ServerDidNotStart: it doesn't within a minute, or has died.
    """
    deadline = asyncio.get_running_loop().time() + START_S
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                (await client.get(url)).raise_for_status()
            except httpx.HTTPError as error:
                late = asyncio.get_running_loop().time() > deadline
                if late or child.exit_code is not None:
                    raise ServerDidNotStart(
                        name, "does not answer", child.log_path, child.log_tail()
                    ) from error
            else:
                return
            await asyncio.sleep(0.05)


class _Keeper:
    """Holds the child that runs now."""

    def __init__(self, child: Child) -> None:
        self.child = child


async def _keep(keeper: _Keeper, name: str, start: Start) -> None:
    while True:
        code = await keeper.child.wait()
        log.warning("a child died; another one starts", child=name, exit_code=code)
        await asyncio.sleep(RESTART_PAUSE_S)
        keeper.child = await start()


async def _polls(address: StackAddress, child: Child) -> None:
    """Wait until somebody polls the workflow queue, so that `ready` means ready."""
    client = await connect_temporal(address.temporal)
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueueMessage(name=TaskQueue.GENERATIONS.value),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    deadline = asyncio.get_running_loop().time() + START_S
    while not (await client.workflow_service.describe_task_queue(request)).pollers:
        late = asyncio.get_running_loop().time() > deadline
        if late or child.exit_code is not None:
            raise ServerDidNotStart(
                "the worker", "does not poll its queue", child.log_path, child.log_tail()
            )
        await asyncio.sleep(0.1)
