"""What waiting costs: thousands of generations in flight on one worker process.

The jobs hang at the sandbox. They are started at the rate at which the stack takes them; then
windows of pure waiting are measured, and then some jobs are let go, to see how soon that is seen.
"""

import asyncio
import time
from datetime import datetime
from typing import Any, NamedTuple

from activities.provider.polling import interval_s
from benchmarks.figures import Figure, Goal, Scale, at_most, tell
from benchmarks.patience import until
from benchmarks.rig import Rig, opened
from benchmarks.usage import cpu_s, memory_bytes
from workers.embedded.children import Child

GENERATIONS = 5000
SPARE_SLOTS = 500
WINDOWS = 3
WINDOW_S = 60.0
ON_THE_WAY_MAX = 100
"""Started and not yet waiting: more would only queue up."""
WARM_UP = 40
SETTLE_S = 20.0
LET_GO_EACH = 25
"""One of so many jobs ends while it is watched."""
START_TIMEOUT_S = 1800.0
SEEN_TIMEOUT_S = 60.0
MEMORY_GOAL_KB, CPU_GOAL_MS, REQUESTS_GOAL = 60.0, 10.0, 6.0
_LOOKS = "GET /api/v3/predictions/{prediction_id}/result"


class Window(NamedTuple):
    """What a minute of waiting took, for each generation."""

    memory_kb: float
    cpu_ms: float
    requests: float


async def measure(scale: Scale) -> list[Figure]:
    """Memory, CPU and requests of each waiting generation, and the delay until an end is seen."""
    rounds = scale.times(WINDOWS)
    count = scale.of(GENERATIONS, least=rounds * LET_GO_EACH)
    settings = {"STILLMOTION_POLL_SLOTS": str(count + SPARE_SLOTS)}
    async with opened() as rig, rig.worker(settings=settings) as worker:
        await _warm_up(rig)
        before_bytes = memory_bytes(worker.pid)
        await rig.faults(job={"kind": "hang"}, output={"kind": "ready"})
        began = time.monotonic()
        await _start(rig, count, rounds)
        starting_s = time.monotonic() - began
        tell(f"  {count} wait after {starting_s:.0f} s")
        await asyncio.sleep(SETTLE_S)
        windows: list[Window] = []
        for _ in range(rounds):
            windows.append(await _window(rig, worker, count, before_bytes))
            tell(f"  {windows[-1]}")
        delays = [await _delay(rig, number) for number in range(rounds)]
    rate = f"{count} generations, started in {starting_s:.0f} s: {count / starting_s:.1f} a second."
    return [
        _figure(
            "memory",
            "worker memory for each waiting generation",
            "kB",
            [each.memory_kb for each in windows],
            at_most(MEMORY_GOAL_KB),
        ).model_copy(update={"notes": (rate,)}),
        _figure(
            "cpu",
            "worker CPU for each waiting generation and minute",
            "ms",
            [each.cpu_ms for each in windows],
            at_most(CPU_GOAL_MS),
        ),
        _figure(
            "requests",
            "provider requests for each waiting generation and minute",
            "",
            [each.requests for each in windows],
            at_most(REQUESTS_GOAL),
        ),
        _figure(
            "delay",
            "slowest of the ends seen, against the longest poll interval at that age",
            "",
            delays,
            at_most(1.0),
        ),
    ]


def _figure(key: str, what: str, unit: str, samples: list[float], goal: Goal) -> Figure:
    return Figure(key=f"waiting.{key}", what=what, unit=unit, samples=tuple(samples), goal=goal)


async def _warm_up(rig: Rig) -> None:
    """What a worker loads once is not what a waiting generation costs."""
    await rig.faults(output={"kind": "ready"})
    handles = [await rig.start(number) for number in range(WARM_UP)]
    await asyncio.gather(*(handle.result() for handle in handles))
    await asyncio.sleep(SETTLE_S / 4)


async def _start(rig: Rig, count: int, rounds: int) -> None:
    """Start `count` generations and wait until all of them wait."""
    started = 0

    async def all_wait() -> bool:
        nonlocal started
        waiting = await _waiting(rig)
        room = min(count - started, ON_THE_WAY_MAX - (started - waiting))
        await asyncio.gather(
            *(rig.start(each, _prompt(each, rounds)) for each in range(started, started + room))
        )
        started += max(0, room)
        return waiting >= count

    await until(all_wait, timeout_s=START_TIMEOUT_S, pause_s=0.2)


def _prompt(number: int, rounds: int) -> str:
    """Tells those that are let go, round by round, from those that hang on."""
    if number % LET_GO_EACH:
        return "waits"
    return f"round {number // LET_GO_EACH % rounds} ends"


async def _waiting(rig: Rig) -> int:
    return await rig.database.fetchval(
        "SELECT count(*) FROM generations WHERE stage = 'generating'"
    )


async def _window(rig: Rig, worker: Child, count: int, before_bytes: int) -> Window:
    """A window of nothing but waiting."""
    looks, spent_s, began = await _looks(rig), cpu_s(worker.pid), time.monotonic()
    await asyncio.sleep(WINDOW_S)
    minutes = (time.monotonic() - began) / 60
    return Window(
        memory_kb=(memory_bytes(worker.pid) - before_bytes) / 1000 / count,
        cpu_ms=(cpu_s(worker.pid) - spent_s) * 1000 / count / minutes,
        requests=(await _looks(rig) - looks) / count / minutes,
    )


async def _looks(rig: Rig) -> int:
    return (await rig.log())["requests"].get(_LOOKS, 0)


async def _delay(rig: Rig, number: int) -> float:
    """Let some jobs go; the slowest delay until an end is read, in longest intervals."""
    text = f"round {number} ends"
    await rig.controls("DELETE", "faults", params={"area": "job", "match": text})

    async def ends() -> list[dict[str, Any]]:
        rows = [row for row in (await rig.log())["predictions"] if row["input"]["prompt"] == text]
        return rows if rows and all(row["end_read_at"] for row in rows) else []

    rows = await until(ends, timeout_s=SEEN_TIMEOUT_S, pause_s=5)
    return max(_share_of_interval(row) for row in rows)


def _share_of_interval(row: dict[str, Any]) -> float:
    created, ended, seen = (
        datetime.fromisoformat(row[name]) for name in ("created_at", "ended_at", "end_read_at")
    )
    longest_s = interval_s((ended - created).total_seconds(), jitter=1.0)
    return (seen - ended).total_seconds() / longest_s
