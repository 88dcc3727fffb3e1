"""A run: a fresh stack, the parts that were asked for, and at the end the checks."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from tests.chaos import episodes
from tests.chaos.acts import Act
from tests.chaos.breaches import Breach
from tests.chaos.checks import breaches_of
from tests.chaos.disk import SmallDisk
from tests.chaos.evidence import gather
from tests.chaos.guards import Guard
from tests.chaos.report import table, verdict
from tests.chaos.rig import Rig, running_rig
from tests.chaos.storm import Outcome, Plan, Say, rage

GENERATIONS_A_ROUND = 33
"""Of the deck: every act once for so many generations."""
SHORT = 40
"""Below so many generations a run is a short one (`Plan.is_short`)."""


class Run(NamedTuple):
    """What was asked for."""

    seed: int
    generations: int = 100
    guard: Guard | None = None
    only: str | None = None
    times: int | None = None
    """Of the parts that can be repeated: then with nothing moved on by hand."""
    disk: SmallDisk | None = None


Part = Callable[[Rig, Run, Say], Awaitable[Outcome | None]]


async def run(folder: Path, wanted: Run, say: Say) -> list[Breach]:
    """Play it; the breaches, which were also said."""
    async with running_rig(folder / "data", wanted.disk) as rig:
        outcome: Outcome | None = None
        for part in _parts(wanted):
            outcome = await part(rig, wanted, say) or outcome
        evidence = await gather(
            rig, outcome.promises if outcome else [], is_swept=outcome is not None
        )
    breaches = breaches_of(evidence)
    for line in (*table(evidence, outcome), *verdict(breaches)):
        say(line)
    return breaches


def _parts(wanted: Run) -> list[Part]:
    if wanted.only is not None:
        return [ONLY[wanted.only]]
    if wanted.guard is not None:
        return [ONLY[episodes.OF_GUARD[wanted.guard]]]
    return [*(ONLY[name] for name in episodes.DIRECTED), _storm]


def _directed(name: str) -> Part:
    async def part(rig: Rig, wanted: Run, say: Say) -> None:
        await episodes.DIRECTED[name](rig, wanted.guard)
        say(f"      {name}")

    return part


async def _killed_after_post(rig: Rig, wanted: Run, say: Say) -> None:
    if wanted.times is None:
        await _directed("killed-after-post")(rig, wanted, say)
    else:
        await episodes.killed_after_post_often(rig, wanted.times)


async def _frozen_after_post(rig: Rig, wanted: Run, _: Say) -> None:
    await episodes.frozen_after_post_often(rig, wanted.times or 1)


async def _storm(rig: Rig, wanted: Run, say: Say) -> Outcome:
    plan = Plan(
        seed=wanted.seed,
        generations=wanted.generations,
        rounds=max(1, wanted.generations // GENERATIONS_A_ROUND),
        is_short=wanted.generations < SHORT,
    )
    return await rage(rig, plan, say)


def _only(act: Act) -> Part:
    """Nothing but this act, three times, under load and without faults of the provider."""

    async def part(rig: Rig, wanted: Run, say: Say) -> Outcome:
        plan = Plan(wanted.seed, wanted.generations, (act,), rounds=3, has_faults=False)
        return await rage(rig, plan, say)

    return part


ONLY: dict[str, Part] = {
    **{name: _directed(name) for name in episodes.DIRECTED},
    "killed-after-post": _killed_after_post,
    "frozen-after-post": _frozen_after_post,
    "temporal-killed": _only(Act.KILL_TEMPORAL),
    "postgres-killed": _only(Act.KILL_POSTGRES),
    "storm": _storm,
}
"""Every part of a run by its name."""
