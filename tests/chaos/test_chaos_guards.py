"""Each guard of the money, taken out: the checks of a run find what it had kept.

With all guards the same episodes break nothing (`test_chaos_episodes`), so it is the guard that
makes the difference. They share one stack; what is new after an episode is its own. Only the
settlement's has a stack to itself: it leaves books behind on which no later settlement goes
through.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from tests.chaos.breaches import Promise
from tests.chaos.checks import breaches_of
from tests.chaos.episodes import DIRECTED, OF_GUARD
from tests.chaos.evidence import gather
from tests.chaos.guards import Guard
from tests.chaos.rig import Rig, fresh_rig
from tests.end_to_end.stacks import REPOSITORY

# Python only, and a minute of it.
pytestmark = [pytest.mark.slow, pytest.mark.tools(), pytest.mark.timeout(300)]

FOUND = {
    Guard.SENDING: Promise.ONE_PREDICTION,
    Guard.LOCK: Promise.ONE_PREDICTION,
    Guard.SEND_BY: Promise.ONE_PREDICTION,
    Guard.TOMBSTONE: Promise.NO_OPEN_HOLD,
}


@pytest.fixture(scope="module")
async def rig() -> AsyncIterator[Rig]:
    async with fresh_rig() as rig:
        yield rig


async def broken(rig: Rig) -> set[tuple[Promise, str]]:
    """Which promise is not kept for whom."""
    return {(each.promise, each.subject) for each in breaches_of(await gather(rig, []))}


@pytest.mark.parametrize("guard", FOUND)
async def test_a_run_finds_what_a_guard_had_kept(rig: Rig, guard: Guard) -> None:
    before = await broken(rig)

    await DIRECTED[OF_GUARD[guard]](rig, guard)

    assert FOUND[guard] in {promise for promise, _ in await broken(rig) - before}


async def test_a_run_finds_what_the_guard_of_the_settlement_had_kept() -> None:
    async with fresh_rig() as rig:
        await DIRECTED[OF_GUARD[Guard.SETTLEMENT]](rig, Guard.SETTLEMENT)

        assert Promise.ONE_SETTLEMENT in {promise for promise, _ in await broken(rig)}


async def test_a_run_with_a_breach_names_it_and_does_not_exit_with_0() -> None:
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos", "--without", Guard.TOMBSTONE, "--seed", "5"),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await run.communicate()

    lines = told.decode().splitlines()
    assert run.returncode == 1, told.decode()
    assert lines[0] == "seed 5"
    assert any("BREACH  gen_" in line and Promise.NO_OPEN_HOLD in line for line in lines)
