"""A process that carries out one step of the ledger by itself, as a late or repeated attempt does.

    python -m tests.chaos.second_hand [--guard NAME] [--times N] STEP GENERATION

Temporal may hand an activity out a second time, and an attempt that was given up may still arrive.
Here that happens for certain. It prints a line for each of N attempts, which it makes at once.
"""

import argparse
import asyncio
import sys
import uuid
from dataclasses import replace
from typing import Any

import asyncpg
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from tests.chaos.guards import Guard, take_out
from workers.wiring import Activities, Settings, wire
from workflows.contracts.activities import Close, ForGeneration, Reserve
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.stages import Stage


async def main(given: argparse.Namespace) -> None:
    settings = Settings()
    guard = Guard(given.guard) if given.guard else None
    await take_out(guard, settings.database.database_url.get_secret_value())
    async with wire(settings) as activities:
        step, task = _step(given, activities)
        attempts = (_attempt(step, task) for _ in range(given.times))
        for outcome in await asyncio.gather(*attempts):
            sys.stdout.write(f"{given.step}: {outcome}\n")


def _step(given: argparse.Namespace, activities: Activities) -> tuple[Any, Any]:
    named: str = given.generation
    match given.step:
        case "record_usage":
            return activities.ledger.record_usage, ForGeneration(generation_id=named)
        case "close":
            told = failure(FailureKind.CANCELLED, "Cancelled before it began.")
            close = Close(generation_id=named, stage=Stage.CANCELLED, failure=told)
            return activities.ledger.close, close
        case _:
            return activities.ledger.reserve, Reserve(generation_id=named)


async def _attempt(step: Any, task: Any) -> str:
    try:
        environment = ActivityEnvironment()
        # Each as another run's, so that no guard but the one in question stands in its way.
        environment.info = replace(environment.info, workflow_run_id=uuid.uuid4().hex)
        return repr(await environment.run(step, task))
    except ApplicationError as error:
        return f"refused: {error.type}"
    except asyncpg.PostgresError as error:
        return f"failed: {type(error).__name__}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.second_hand")
    parser.add_argument("--guard", choices=list(Guard), default=None)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("step", choices=["reserve", "close", "record_usage"])
    parser.add_argument("generation")
    return parser


if __name__ == "__main__":
    asyncio.run(main(_parser().parse_args()))
