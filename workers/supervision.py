"""The worker of `stillmotion dev`: a child process, started again when it dies."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

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

log = structlog.get_logger()


@asynccontextmanager
async def supervised_worker(
    directory: DataDirectory, address: StackAddress
) -> AsyncGenerator[None]:
    """A worker that polls every queue, for the time of the block.

    Raises:
        ServerDidNotStart: it didn't poll within a minute, or died before it did.
    """
    child = await _start(directory, address)
    supervising: asyncio.Task[None] | None = None
    keeper = _Keeper(child)
    try:
        await _polls(address, child)
        supervising = asyncio.create_task(_keep(keeper, directory, address))
        yield
    finally:
        if supervising is not None:
            supervising.cancel()
            with suppress(asyncio.CancelledError):
                await supervising
        await keeper.child.stop()


class _Keeper:
    """Holds the child that runs now."""

    def __init__(self, child: Child) -> None:
        self.child = child


async def _keep(keeper: _Keeper, directory: DataDirectory, address: StackAddress) -> None:
    while True:
        code = await keeper.child.wait()
        log.warning("the worker died; another one starts", exit_code=code)
        await asyncio.sleep(RESTART_PAUSE_S)
        keeper.child = await _start(directory, address)


async def _start(directory: DataDirectory, address: StackAddress) -> Child:
    return await start_child(
        [sys.executable, "-m", "workers", "worker"],
        env=environment_of(address),
        log_path=directory.log_path("worker"),
        stop_signal=signal.SIGTERM,
        cwd=directory.path,
        inherit=Inheritance(fds=(directory.lock_fd,)),
    )


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
