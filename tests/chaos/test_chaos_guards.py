"""Each guard of the money, taken out: the checks of a run find what it had kept.

With all guards the same episode breaks nothing, so it is the guard that makes the difference. The
episodes share one stack; what is new after an episode is its own. Only the settlement's has a stack
to itself: it leaves books behind on which nobody's later settlement goes through.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.breaches import Promise
from tests.chaos.checks import breaches_of
from tests.chaos.episodes import DIRECTED, OF_GUARD
from tests.chaos.evidence import gather
from tests.chaos.guards import Guard
from tests.chaos.rig import Rig, running_rig
from tests.end_to_end.stacks import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FOUND = {
    Guard.SENDING: Promise.ONE_PREDICTION,
    Guard.LOCK: Promise.ONE_PREDICTION,
    Guard.SEND_BY: Promise.ONE_PREDICTION,
    Guard.TOMBSTONE: Promise.NO_OPEN_HOLD,
    Guard.SETTLEMENT: Promise.ONE_SETTLEMENT,
}


@pytest.fixture(scope="module")
async def rig() -> AsyncIterator[Rig]:
    async with a_rig() as rig:
        yield rig


@asynccontextmanager
async def a_rig() -> AsyncGenerator[Rig]:
    with tempfile.TemporaryDirectory(prefix="sm-chaos-") as folder:
        async with running_rig(Path(folder)) as rig:
            yield rig


async def broken(rig: Rig) -> set[tuple[Promise, str]]:
    """Which promise is not kept for whom."""
    return {(each.promise, each.subject) for each in breaches_of(await gather(rig, []))}


@pytest.mark.parametrize("guard", [guard for guard in Guard if guard is not Guard.SETTLEMENT])
async def test_a_run_finds_what_a_guard_had_kept(rig: Rig, guard: Guard) -> None:
    await _finds_what_it_had_kept(rig, guard)


async def test_a_run_finds_what_the_guard_of_the_settlement_had_kept() -> None:
    async with a_rig() as own:
        await _finds_what_it_had_kept(own, Guard.SETTLEMENT)


async def _finds_what_it_had_kept(rig: Rig, guard: Guard) -> None:
    play = DIRECTED[OF_GUARD[guard]]
    before = await broken(rig)

    await play(rig, None)
    with_it = await broken(rig)
    await play(rig, guard)
    without_it = await broken(rig)

    assert with_it - before == set()
    assert FOUND[guard] in {promise for promise, _ in without_it - with_it}


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
