"""Heartbeats while an activity awaits something else, and waits that a worker hands over."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

BEATS_PER_TIMEOUT = 2
"""More would not reach the server: the SDK sends at most one in 0.8 of the timeout."""

HANDED_OVER_AFTER = timedelta(seconds=1)
"""By when another worker goes on with what a stopping one hands over."""

_INTERVAL_S = 5.0
"""Where there is no timeout, as in a script."""


@asynccontextmanager
async def heartbeats() -> AsyncGenerator[None]:
    """Beat in the background, so that a dead worker is noticed before the long timeout.

    It proves that the event loop turns, not that the work advances: that is bounded by its own
    timeouts.
    """

    async def beat() -> None:
        interval_s = beat_interval_s()
        while True:
            # The start counts as a beat. Most steps end before the second one, which is billed.
            await asyncio.sleep(interval_s)
            activity.heartbeat()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


def beat_interval_s() -> float:
    """Seconds between two beats of this activity: with a longer timeout, thousands cost less."""
    timeout = activity.info().heartbeat_timeout
    return timeout.total_seconds() / BEATS_PER_TIMEOUT if timeout else _INTERVAL_S


async def pause(seconds: float, wake: asyncio.Event | None = None) -> None:
    """Wait for a while, or until `wake` is set; use it within `heartbeats`, which bring the cancel.

    A worker that stops hands the wait over at once, instead of draining as long as it may.

    Raises:
        ApplicationError: the worker stops; another one goes on.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            # Without an event no task is made: thousands wait so.
            await (_stops() if wake is None else _stops_unless(wake))


async def _stops() -> None:
    await activity.wait_for_worker_shutdown()
    raise ApplicationError(
        "The worker stops; another one goes on waiting.",
        type="WorkerStops",
        # Whoever waits through many releases is not to wait longer for the next worker each time.
        next_retry_delay=HANDED_OVER_AFTER,
        category=ApplicationErrorCategory.BENIGN,
    )


async def _stops_unless(wake: asyncio.Event) -> None:
    """Return when `wake` is set, unless the worker stops first."""
    stopping, woken = asyncio.create_task(_stops()), asyncio.create_task(_woken(wake))
    try:
        await asyncio.wait({stopping, woken}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            stopping.result()
    finally:
        stopping.cancel()
        woken.cancel()


async def _woken(wake: asyncio.Event) -> None:
    """`Event.wait` for a task of its own."""
    await wake.wait()
