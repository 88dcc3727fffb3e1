"""Heartbeats while an activity awaits something else, and waits that a worker hands over."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

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


async def pause(seconds: float, wake: asyncio.Event | None = None) -> None:
    """Wait for a while, or until `wake` is set, with a heartbeat now and then.

    A heartbeat's reply brings the cancel. A worker that stops hands the wait over at once, instead
    of draining as long as it may.

    Raises:
        ApplicationError: the worker stops; another one goes on.
    """
    stopping = asyncio.create_task(activity.wait_for_worker_shutdown())
    waits = {stopping} if wake is None else {stopping, asyncio.create_task(_woken(wake))}
    try:
        while seconds > 0:
            activity.heartbeat()
            ended, _ = await asyncio.wait(
                waits,
                timeout=min(seconds, HEARTBEAT_INTERVAL_S),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if stopping in ended:
                raise ApplicationError(
                    "The worker stops; another one goes on waiting.",
                    type="WorkerStops",
                    category=ApplicationErrorCategory.BENIGN,
                )
            if ended:
                return
            seconds -= HEARTBEAT_INTERVAL_S
    finally:
        for each in waits:
            each.cancel()


async def _woken(wake: asyncio.Event) -> None:
    """`Event.wait` for a task of its own."""
    await wake.wait()
