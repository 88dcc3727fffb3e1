"""Heartbeats while an activity awaits something else."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from temporalio import activity

HEARTBEAT_INTERVAL_S = 5.0
"""Well inside the shortest heartbeat timeout (`workflows.timeouts`, 20 s)."""


@asynccontextmanager
async def heartbeats() -> AsyncGenerator[None]:
    """Beat in the background, so that a dead worker is noticed before the long timeout.

    It proves that the event loop turns, not that the work advances: that is bounded by its own
    timeouts.
    """

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
