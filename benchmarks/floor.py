"""What our activities cost: full generations against the same workflow with empty ones.

Both run on one Temporal server and one PostgreSQL, with the production worker's settings and the
same number in flight, in turn. The provider is the sandbox, whose jobs end at once with one small
clip, so that what it does counts as little as it can.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

from benchmarks.constants import STEPS
from benchmarks.figures import Figure, Scale, at_least, tell
from benchmarks.rig import Rig, opened, without_reconcile
from benchmarks.usage import cpu_s_by_part, spent_between

IN_FLIGHT = 40
GENERATIONS = 120
WARM_UP = 40
REPEATS = 3
GOAL = 0.5


async def measure(scale: Scale) -> list[Figure]:
    """The ratio of the rates, and where the CPU of a full generation goes."""
    count = scale.of(GENERATIONS, least=2)
    full: list[float] = []
    empty: list[float] = []
    spent: list[dict[str, float]] = []
    spared: list[dict[str, float]] = []
    async with opened() as rig:
        await rig.faults(output={"kind": "ready"})
        recorded = await _recorded(rig)
        constants = ("-m", "benchmarks.constants", str(recorded))
        for number in range(scale.times(REPEATS)):
            rate, by_part = await _rate(rig, without_reconcile(), count)
            full.append(rate)
            spent.append(by_part)
            rate, by_part = await _rate(rig, constants, count)
            empty.append(rate)
            spared.append(by_part)
            tell(f"  {number + 1}: {full[-1]:.2f} full, {empty[-1]:.2f} empty generations a second")
    rates = f"full {_range(full)} a second, empty {_range(empty)}"
    return [
        Figure(
            key="floor",
            what="full generations a second / the same with empty activities",
            samples=tuple(a / b for a, b in zip(full, empty, strict=True)),
            goal=at_least(GOAL),
            notes=(
                f"{IN_FLIGHT} in flight, {count} a sample; {rates}.",
                f"CPU of a full generation: {_by_part(spent, count)}.",
                f"CPU of an empty one: {_by_part(spared, count)}.",
            ),
        )
    ]


async def _recorded(rig: Rig) -> Path:
    """A file with the results of one real generation's activities."""
    async with rig.worker(*without_reconcile()):
        handle = await rig.start(0)
        await handle.result()
    results = await results_of(handle)
    missing = {name for steps in STEPS.values() for name in steps} - set(results)
    assert not missing, f"a generation that goes well takes all steps, not without {missing}"
    path = rig.folder / "results.json"
    path.write_text(json.dumps(results), "utf-8")
    return path


async def results_of(handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    """What each activity of a finished workflow returned, by its wire name."""
    named: dict[int, str] = {}
    results: dict[str, Any] = {}
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled = event.activity_task_scheduled_event_attributes
            named[event.event_id] = scheduled.activity_type.name
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed = event.activity_task_completed_event_attributes
            [payload] = completed.result.payloads
            results[named[completed.scheduled_event_id]] = json.loads(payload.data)
        elif event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED:
            details = event.marker_recorded_event_attributes.details
            [told], [payload] = details["data"].payloads, details["result"].payloads
            results[json.loads(told.data)["activity_type"]] = json.loads(payload.data)
    return results


async def _rate(rig: Rig, argv: tuple[str, ...], count: int) -> tuple[float, dict[str, float]]:
    """Generations a second with a worker of its own, and the CPU by part, after a warm-up."""
    async with rig.worker(*argv):
        await _run(rig, min(WARM_UP, count))
        before, began = cpu_s_by_part(), time.perf_counter()
        await _run(rig, count)
        took_s = time.perf_counter() - began
        return count / took_s, spent_between(before, cpu_s_by_part())


async def _run(rig: Rig, count: int) -> None:
    """So many generations to their end, `IN_FLIGHT` at a time."""
    room = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        async with room:
            await (await rig.start(number)).result()

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))


def _range(rates: list[float]) -> str:
    return f"{min(rates):.1f} to {max(rates):.1f}"


def _by_part(spent: list[dict[str, float]], count: int) -> str:
    """Milliseconds a generation by part, the largest first, over all samples."""
    parts = sorted({part for each in spent for part in each})
    each_ms = {
        part: 1000 * sum(run.get(part, 0.0) for run in spent) / (len(spent) * count)
        for part in parts
    }
    ordered = sorted(each_ms.items(), key=lambda item: -item[1])
    return ", ".join(f"{part} {ms:.0f} ms" for part, ms in ordered)
