"""Beats and waits of activities: each beat that reaches the server is billed."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.beating import HANDED_OVER_AFTER, beat_interval_s, heartbeats, pause


@pytest.fixture
def beats() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def environment(beats: list[tuple[Any, ...]]) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, heartbeat_timeout=timedelta(seconds=0.4))
    environment.on_heartbeat = lambda *details: beats.append(details)
    return environment


async def test_a_step_that_is_soon_done_costs_no_beat(
    environment: ActivityEnvironment, beats: list[tuple[Any, ...]]
) -> None:
    async def step() -> None:
        async with heartbeats():
            await asyncio.sleep(0)

    await environment.run(step)

    assert beats == []


async def test_a_long_step_beats_a_few_times_in_its_timeout(
    environment: ActivityEnvironment, beats: list[tuple[Any, ...]]
) -> None:
    async def step() -> float:
        async with heartbeats():
            while len(beats) < 3:
                await asyncio.sleep(0.01)
        return beat_interval_s()

    assert await environment.run(step) == pytest.approx(0.2)


async def test_a_pause_ends_after_its_time(environment: ActivityEnvironment) -> None:
    async with asyncio.timeout(10):
        await environment.run(pause, 0.01)


async def test_a_pause_ends_when_it_is_woken(environment: ActivityEnvironment) -> None:
    wake = asyncio.Event()
    waiting = asyncio.create_task(environment.run(pause, 3600, wake))
    await asyncio.sleep(0)

    wake.set()

    await waiting


@pytest.mark.parametrize("wake", [None, asyncio.Event()])
async def test_a_pause_is_handed_over_when_the_worker_stops(
    environment: ActivityEnvironment, wake: asyncio.Event | None
) -> None:
    waiting = asyncio.create_task(environment.run(pause, 3600, wake))
    await asyncio.sleep(0)

    environment.worker_shutdown()

    with pytest.raises(ApplicationError, match="another one goes on waiting") as raised:
        await waiting
    assert raised.value.next_retry_delay == HANDED_OVER_AFTER


async def test_a_cancelled_pause_ends_as_cancelled(environment: ActivityEnvironment) -> None:
    waiting = asyncio.create_task(environment.run(pause, 3600))
    await asyncio.sleep(0)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
