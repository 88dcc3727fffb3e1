"""The storm: clients order, workers work, the provider has faults, and processes die.

When all was played the faults end and everything is alive; then whoever is parked is told to look
at once, as an operator would, until nothing moves any more.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from temporalio.service import RPCError

from starter.handles import NotBegun
from tests.chaos.acts import LONG_FREEZE_S, Act, Crew, Mark, Progress, deal, play
from tests.chaos.evidence import SQL
from tests.chaos.orders import ERRANDS, PLANS, Errand, errands_of
from tests.chaos.parts import Kept
from tests.chaos.rig import AWAY, Rig, patiently
from tests.chaos.sweeping import sweep
from tests.chaos.weather import CALM, UNPLAYABLE, storm, told
from workflows.contracts.stages import PARKED, Stage

WORKERS = 2
NEXT_AT_LATEST_S = 12.0
"""Without any progress: an act may itself be what holds all up, and the next one is due then."""
SHORT_NEXT_AT_LATEST_S = 4.0
SHORT_FREEZE_S = 6.0
PAUSE_S_MAX, SHORT_PAUSE_S_MAX = 4.0, 0.5
"""Between two errands of one client: they last for most of the storm, so that a kill finds one."""
LOOK_S = 0.5
NUDGE_S = 4.0
"""Between two rounds of telling parked generations to look at once."""
STILL_S = 75.0
"""Without an event, when all is alive: longer than any pause that nobody can cut short."""
QUIET_S_MAX = 600.0
WAITING = PARKED | {Stage.SUBMITTING}
"""Where a generation may be in a pause that a person can cut short."""

Say = Callable[[str], None]


class Plan(NamedTuple):
    """What a storm is made of."""

    seed: int
    generations: int
    acts: tuple[Act, ...] = tuple(Act)
    rounds: int = 1
    has_faults: bool = True
    is_short: bool = False
    """Frozen for less, ordered faster, and the next act comes sooner where nothing moves."""


@dataclass
class Outcome:
    """What a storm leaves beside the database."""

    promises: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    played: list[str] = field(default_factory=list[str])
    struck: list[str] = field(default_factory=list[str])
    deaths: list[str] = field(default_factory=list[str])
    swept: str = ""
    storm_s: float = 0.0
    quiet_s: float = 0.0


async def rage(rig: Rig, plan: Plan, say: Say) -> Outcome:
    """Play a storm on a rig without workers, and wait until all is quiet."""
    outcome = Outcome()
    for user_id, name in PLANS.items():
        await rig.put(user_id, name)
    await rig.stack.faults(storm(plan.seed) if plan.has_faults else CALM)
    async with _at_sea(rig, plan) as crew:
        began = time.monotonic()
        await _play_all(crew, plan, outcome, say)
        await _errands_done(crew)
        outcome.storm_s = time.monotonic() - began
        outcome.struck = list(told(await patiently(rig.stack.board)))
        await patiently(lambda: rig.stack.faults(CALM))
        say("the faults are over")
        began = time.monotonic()
        await until_quiet(rig, say)
        outcome.quiet_s = time.monotonic() - began
        outcome.swept = await sweep(rig)
        outcome.deaths = crew.kept.deaths
    outcome.promises = printed(rig)
    return outcome


@asynccontextmanager
async def _at_sea(rig: Rig, plan: Plan) -> AsyncGenerator[Crew]:
    """Workers and clients, kept alive for the time of the block."""
    kept = Kept()
    workers = [rig.worker(f"worker-{number}") for number in range(WORKERS)]
    clients = [
        rig.program(
            f"client-{number}",
            *("-m", "tests.chaos.client", str(_errands(rig, number, errands))),
            str(_promises(rig, number)),
            settings={"STILLMOTION_DATABASE_CONNECTIONS_MAX": "4"},
        )
        for number, errands in enumerate(
            errands_of(
                plan.seed,
                plan.generations,
                SHORT_PAUSE_S_MAX if plan.is_short else PAUSE_S_MAX,
            )
        )
    ]
    for program in (*workers, *clients):
        await kept.add(program)
    keeping = asyncio.create_task(kept.watch())
    try:
        freeze_s = SHORT_FREEZE_S if plan.is_short else LONG_FREEZE_S
        yield Crew(rig, workers, clients, kept, freeze_s)
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await kept.stop()


async def _play_all(crew: Crew, plan: Plan, outcome: Outcome, say: Say) -> None:
    """Each act at its mark; a long one goes on while the next ones come."""
    progress = Progress(crew.rig, plan.generations)
    await progress.begin()
    patience_s = SHORT_NEXT_AT_LATEST_S if plan.is_short else NEXT_AT_LATEST_S
    nudging = asyncio.create_task(_nudge_for_ever(crew.rig))
    try:
        async with asyncio.TaskGroup() as acts:
            for mark in deal(plan.seed, list(plan.acts), plan.rounds):
                await _due(mark, progress, patience_s)
                acts.create_task(_play(crew, mark, outcome, say))
    finally:
        nudging.cancel()
        with suppress(asyncio.CancelledError):
            await nudging


async def _play(crew: Crew, mark: Mark, outcome: Outcome, say: Say) -> None:
    done = f"{mark.progress:4.0%}  {await play(crew, mark)}"
    outcome.played.append(done)
    say(done)


async def _due(mark: Mark, progress: Progress, patience_s: float) -> None:
    """Wait for the mark, or until nothing has moved for long."""
    seen, since = progress.events, time.monotonic()
    while await progress.look() < mark.progress:
        if progress.events != seen:
            seen, since = progress.events, time.monotonic()
        if time.monotonic() - since > patience_s:
            return
        await asyncio.sleep(LOOK_S)


async def _errands_done(crew: Crew) -> None:
    while not all(crew.kept.is_done(client) for client in crew.clients):
        await asyncio.sleep(LOOK_S)


async def until_quiet(rig: Rig, say: Say) -> None:
    """Wait until all have ended but those that never will, as long as there is progress."""
    began = moved = time.monotonic()
    seen = -1
    while left := await patiently(lambda: _left(rig)):
        events = await patiently(lambda: rig.stack.value("SELECT count(*) FROM events"))
        if events != seen:
            seen, moved = events, time.monotonic()
        now = time.monotonic()
        if now - moved > STILL_S or now - began > QUIET_S_MAX:
            say(f"nothing moves any more, and {len(left)} have not ended")
            return
        await _nudge(rig, left)
        await asyncio.sleep(NUDGE_S)


async def _left(rig: Rig) -> dict[str, Stage]:
    """Who has not ended, and is not parked for a file that will never come; and where it is."""
    rows = await rig.stack.rows(SQL["open"])
    if not rows:
        return {}
    jobs = {row["id"]: row["faults"] for row in (await rig.stack.log())["predictions"]}
    return {
        generation_id: Stage(stage)
        for generation_id, stage, prediction_id in rows
        if stage != Stage.TIMED_OUT or not UNPLAYABLE.intersection(jobs.get(prediction_id, ()))
    }


async def _nudge_for_ever(rig: Rig) -> None:
    while True:
        with suppress(*AWAY):
            await _nudge(rig, await _left(rig))
        await asyncio.sleep(NUDGE_S)


async def _nudge(rig: Rig, left: Mapping[str, Stage]) -> None:
    """`resume`: look at once, wherever it waits for a next look."""
    for generation_id in (each for each, stage in left.items() if stage in WAITING):
        with suppress(NotBegun, RPCError, *AWAY):
            async with asyncio.timeout(5):
                await (await rig.client.get(generation_id)).resume()


def _errands(rig: Rig, number: int, errands: list[Errand]) -> Path:
    path = rig.directory.folder("clients") / f"errands-{number}.json"
    path.write_bytes(ERRANDS.dump_json(errands))
    return path


def _promises(rig: Rig, number: int) -> Path:
    return rig.directory.folder("clients") / f"promises-{number}.jsonl"


def printed(rig: Rig) -> list[tuple[str, str]]:
    """Key and id of each line that a client had printed, over all of its lives."""
    lines = [
        line
        for path in sorted(rig.directory.folder("clients").glob("promises-*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    # A line that its writer was killed in was not printed.
    return [(made["key"], made["id"]) for line in lines if (made := _whole(line)) is not None]


def _whole(line: str) -> dict[str, str] | None:
    try:
        return json.loads(line)
    except ValueError:
        return None
