"""A submitting worker that freezes once, between SENDING and the first byte of its POST.

    python frozen_worker.py FLAG

The clock is asked twice per submission: when its window opens, and as the last act before the bytes
go out. At that second time the process stops itself, after it has removed FLAG.
"""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from activities.provider.submissions import running_and_suspended_s
from workers.pools import build_workers
from workers.telemetry import configure_logging
from workers.wiring import Settings, connect_temporal, wire
from workflows.contracts.queues import TaskQueue


class FreezingClock:
    def __init__(self, flag: Path) -> None:
        self._flag = flag
        self._asked = 0

    def __call__(self) -> float:
        self._asked += 1
        if self._asked == 2 and self._flag.exists():
            self._flag.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)
        return running_and_suspended_s()


async def main(flag: Path) -> None:
    configure_logging("console")
    settings = Settings()
    client = await connect_temporal()
    async with AsyncExitStack() as stack:
        activities = await stack.enter_async_context(wire(settings, clock=FreezingClock(flag)))
        # One slot: a frozen process must not sit on polls that others' tasks would be handed to.
        only = settings.worker.model_copy(update={"submit_slots": 1})
        for worker in build_workers(client, activities, only, [TaskQueue.SUBMIT]):
            await stack.enter_async_context(worker)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
