"""Eight submitters at once, each with its own connections, never pass the limit in flight."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from activities.database.pool import Pool, connect
from activities.generations import repository as generations
from activities.provider.errors import InputRefused, SubmissionAmbiguous
from activities.provider.pacing import HeldBack
from activities.provider.reconciliation import Reconciliation
from activities.provider.settings import ProviderSettings
from activities.provider.submissions import Submissions
from activities.provider.wavespeed import WaveSpeed
from tests.activities.conftest import SandboxControl, settings_for_database
from tests.activities.submissions.conftest import Desk
from workflows.contracts.stages import Stage

SUBMITTERS, PLACES = 8, 3
EACH = 40 if os.environ.get("STILLMOTION_EVIDENCE") == "1" else 4
"""Submissions of each of the eight."""


class Tally:
    """How many jobs are in flight, and were at most."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    def enter(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def leave(self) -> None:
        self.now -= 1


class CountedWaveSpeed(WaveSpeed):
    """The real client; a job is in flight from the moment at which it may be sent."""

    def __init__(self, settings: ProviderSettings, tally: Tally) -> None:
        super().__init__(settings)
        self._tally = tally

    async def submit(self, *args: Any, **kwargs: Any) -> str:
        self._tally.enter()
        try:
            return await super().submit(*args, **kwargs)
        except InputRefused:
            self._tally.leave()
            raise


@pytest.fixture
async def pools(database_url: str) -> AsyncIterator[list[Pool]]:
    async with AsyncExitStack() as stack:
        settings = settings_for_database(database_url, connections_max=3)
        yield [await stack.enter_async_context(connect(settings)) for _ in range(SUBMITTERS)]


async def test_no_more_jobs_are_in_flight_than_may_be_however_many_submit_at_once(
    sandbox: SandboxControl, pools: list[Pool], tmp_path: Path
) -> None:
    tally = Tally()
    settings = {"api_key": SecretStr("a-key"), "base_url": sandbox.url}
    async with CountedWaveSpeed(ProviderSettings.model_validate(settings), tally) as client:
        desks = [_desk(pool, client, tmp_path) for pool in pools]
        names = [[f"gen_{one}_{each}" for each in range(EACH)] for one in range(SUBMITTERS)]
        for desk, mine in zip(desks, names, strict=True):
            for name in mine:
                await desk.staged(name)
        await sandbox.faults(
            submit=[
                {"kind": "lost_reply", "probability": 0.2, "seed": 1},
                {"kind": "status", "code": 400, "probability": 0.2, "seed": 2},
            ]
        )

        ended = await asyncio.gather(
            *(_work(desk, mine, tally) for desk, mine in zip(desks, names, strict=True))
        )

    assert tally.now == 0
    assert tally.most == PLACES
    assert {how for one in ended for how in one} == {"fetched", "refused", "parked"}
    assert (await sandbox.submits())[0] == SUBMITTERS * EACH


def _desk(pool: Pool, client: WaveSpeed, folder: Path) -> Desk:
    submissions = Submissions(pool, client, jobs_in_flight_max=PLACES)
    reconciliation = Reconciliation(submissions, client, settle_delay_s=5)
    return Desk(pool, client, submissions, reconciliation, folder)


async def _work(desk: Desk, mine: list[str], tally: Tally) -> list[str]:
    """Submit each as soon as it may, and let it leave after a moment; how each ended."""
    return [await _submitted_and_left(desk, name, tally) for name in mine]


async def _submitted_and_left(desk: Desk, name: str, tally: Tally) -> str:
    moment = random.Random(name)
    while True:
        try:
            await desk.submit(name)
        except HeldBack:
            await asyncio.sleep(moment.uniform(0.001, 0.02))
        except InputRefused:
            return "refused"
        except SubmissionAmbiguous:
            return await _leave(desk, name, tally, Stage.UNRESOLVED, "parked")
        else:
            await asyncio.sleep(moment.uniform(0, 0.05))
            return await _leave(desk, name, tally, Stage.DOWNLOADING, "fetched")


async def _leave(desk: Desk, name: str, tally: Tally, stage: Stage, how: str) -> str:
    # Before the place is free: who takes it is counted after this one.
    tally.leave()
    async with desk.pool.acquire() as connection, connection.transaction():
        assert await generations.record(connection, name, stage)
    return how
