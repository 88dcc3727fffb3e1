"""The short form of `make chaos`: every act once, every fault, a dozen generations."""

import asyncio
import sys

import pytest

from tests.chaos.acts import Act
from tests.end_to_end.stacks import REPOSITORY

# Python only, and a minute of it.
pytestmark = [pytest.mark.slow, pytest.mark.tools(), pytest.mark.timeout(300)]

GENERATIONS = 12
"""300 under `make evidence`, which runs `make chaos` itself."""
SEED = 20261122


async def test_a_dozen_generations_outlive_a_storm_of_kills_and_faults() -> None:
    wanted = ("--only", "storm", "--generations", str(GENERATIONS), "--seed", str(SEED))
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos", *wanted),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await run.communicate()

    lines = told.decode().splitlines()
    assert run.returncode == 0, told.decode()
    assert lines[0] == f"seed {SEED}"
    assert lines[-1].endswith("No promise was broken.")
    assert any(f"  {len(Act)}" in line for line in lines if "acts" in line)
