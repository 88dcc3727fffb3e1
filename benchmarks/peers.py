"""The same generations by our worker, by DBOS Transact in two ways, and by plain asyncio.

A thousand jobs of a minute each, all asked for at once, one engine after the other on one stack.
All four run the functions of our activities against the same database, the same sandbox and the
same media store (see `peers_steps`); what a job renders is a clip that was made before. What they
spend beyond that is what their engine costs, and what it buys is told in the figures' notes.
"""

import asyncio
import json
import signal
import statistics
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import Figure, Goal, Scale, at_least, at_most, tell
from benchmarks.patience import until
from benchmarks.peers_engines import ENGINES
from benchmarks.peers_watch import Spent, spent_by
from benchmarks.rig import AS_IN_PRODUCTION, Rig, opened
from workers.embedded.children import Child, start_child
from workers.stack import environment_of

JOBS = 1000
JOB_S = 60
WARM_UPS = 20
TIMES = 2
"""A round of all engines takes some nine minutes."""
OURS = "temporal"
NAMES = {
    OURS: "Stillmotion on Temporal",
    "dbos_steps": "DBOS, a durable sleep and a step per look",
    "dbos_loop": "DBOS, all looks in one step",
    "plain": "plain asyncio, nothing durable",
}
_FAILED_S = 900

Row = Mapping[str, Any]


class Engine(NamedTuple):
    """What carries jobs out."""

    begin: Callable[[str, Sequence[Row]], Awaitable[None]]
    """Has a list of jobs carried out; the list is called `warm` or `jobs`."""
    child: Child


class Run(NamedTuple):
    """What an engine took for all jobs."""

    wall_s: float
    spent: Spent
    delays_s: Sequence[float]
    """From each job's end to the first reply that said so."""


async def measure(scale: Scale) -> list[Figure]:
    """Ratios of wall time and CPU with their goals; memory and delay beside them."""
    count = scale.of(JOBS, least=WARM_UPS)
    runs: dict[str, list[Run]] = {name: [] for name in NAMES}
    async with opened() as rig:
        for number in range(scale.times(TIMES)):
            names = list(NAMES)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                runs[name].append(await _run(rig, name, count))
                tell(f"peers: {name}: {_sentence(runs[name][-1])}")
    return _figures(runs, f"{count:,} jobs of {JOB_S} s")


async def _run(rig: Rig, name: str, count: int) -> Run:
    """Warm the engine up with jobs that take no time, then have it carry out all of them."""
    running = _ours(rig) if name == OURS else _peer(rig, name)
    prompt = f"{name} {uuid.uuid4().hex[:8]}"
    async with running as engine:
        await _jobs_take(rig, 0)
        await _carried_out(rig, engine, "warm", _rows(rig, WARM_UPS, "warm"))
        await _jobs_take(rig, JOB_S)
        counted = {"client", "worker", "decoders", "postgres"} | ({"temporal"} & {_server(name)})
        async with spent_by(counted) as spent:
            began = time.monotonic()
            await _carried_out(rig, engine, "jobs", _rows(rig, count, prompt))
            wall_s = time.monotonic() - began
    log = (await rig.log())["predictions"]
    delays_s = [_delay_s(row) for row in log if row["input"]["prompt"] == prompt]
    return Run(wall_s, spent, delays_s)


def _server(name: str) -> str:
    """Temporal's idles while the others run, so it is not theirs to pay."""
    return "temporal" if name == OURS else "none"


async def _jobs_take(rig: Rig, work_s: float) -> None:
    await rig.controls("DELETE", "faults")
    await rig.faults(job={"kind": "work", "work_s": work_s}, output={"kind": "ready"})


async def _carried_out(rig: Rig, engine: Engine, name: str, rows: Sequence[Row]) -> None:
    """Begin these jobs and wait until the last one is completed.

    Raises:
        RuntimeError: one of them failed, or the engine's process ended.
    """
    ids = [row["generation_id"] for row in rows]
    await engine.begin(name, rows)

    async def all_done() -> bool:
        stages = await rig.database.fetch(
            "SELECT stage, count(*) AS count FROM generations WHERE generation_id = ANY ($1)"
            " GROUP BY stage",
            ids,
        )
        counts = {row["stage"]: row["count"] for row in stages}
        if engine.child.exit_code is not None:
            raise RuntimeError(f"the engine ended: {engine.child.log_tail()}")
        if counts.get("failed"):
            raise RuntimeError(f"{counts['failed']} of the jobs failed")
        return counts.get("completed", 0) == len(ids)

    await until(all_done, timeout_s=_FAILED_S, pause_s=0.5)


def _rows(rig: Rig, count: int, prompt: str) -> list[Row]:
    asked = (rig.request(number, prompt) for number in range(count))
    return [{"generation_id": each, "request": request} for each, request in asked]


@asynccontextmanager
async def _ours(rig: Rig) -> AsyncGenerator[Engine]:
    """The production worker; workflows are started as any backend does."""

    async def begin(_name: str, rows: Sequence[Row]) -> None:
        await asyncio.gather(*(rig.begin(row["generation_id"], row["request"]) for row in rows))

    async with rig.worker() as child:
        yield Engine(begin, child)


@asynccontextmanager
async def _peer(rig: Rig, engine: str) -> AsyncGenerator[Engine]:
    """A process of another engine, with the settings of our worker."""
    assert engine in ENGINES, "every other name is an engine's"
    folder = rig.folder / f"{engine}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    child = await start_child(
        [sys.executable, "-m", "benchmarks.peers_worker", engine, str(folder)],
        env=environment_of(rig.address) | AS_IN_PRODUCTION,
        log_path=folder / "log",
        stop_signal=signal.SIGTERM,
        cwd=Path(__file__).parents[1],
    )

    async def ready() -> bool:
        if child.exit_code is not None:
            raise RuntimeError(f"the peer ended: {child.log_tail()}")
        return (folder / "ready").exists()

    async def begin(name: str, rows: Sequence[Row]) -> None:
        aside = folder / f"{name}.new"
        aside.write_text(json.dumps(rows), "utf-8")
        aside.replace(folder / f"{name}.json")

    try:
        await until(ready, timeout_s=60)
        yield Engine(begin, child)
    finally:
        child.kill()
        await child.stop()


def _delay_s(row: Row) -> float:
    ended, seen = (datetime.fromisoformat(row[name]) for name in ("ended_at", "end_read_at"))
    return (seen - ended).total_seconds()


def _sentence(run: Run) -> str:
    parts = ", ".join(f"{part} {seconds:.0f}" for part, seconds in run.spent.cpu_s.items())
    return (
        f"{run.wall_s:.0f} s, {run.spent.total_cpu_s:.0f} s of CPU ({parts}),"
        f" {run.spent.peak_bytes / 1e6:.0f} MB, an end is seen after"
        f" {statistics.median(run.delays_s):.1f} s, at most {max(run.delays_s):.1f} s"
    )


def _figures(runs: Mapping[str, Sequence[Run]], what: str) -> list[Figure]:
    rounds = len(runs[OURS])
    times = (
        f"{rounds} sample{'s' if rounds > 1 else ''}, each engine in turn, another first in each"
    )

    def ratio(top: str, bottom: str, value: Callable[[Run], float]) -> tuple[float, ...]:
        return tuple(value(a) / value(b) for a, b in zip(runs[top], runs[bottom], strict=True))

    def figure(key: str, text: str, samples: Sequence[float], goal: Goal | None = None) -> Figure:
        return Figure(
            key=f"peers.{key}",
            what=f"{text}: {what}",
            samples=tuple(samples),
            goal=goal,
            notes=(f"{times}: {', '.join(f'{sample:.2f}' for sample in samples)}.",),
        )

    def wall(run: Run) -> float:
        return run.wall_s

    def cpu(run: Run) -> float:
        return run.spent.total_cpu_s

    steps, loop = NAMES["dbos_steps"], NAMES["dbos_loop"]
    judged = [
        figure("wall", f"wall time, {steps} / ours", ratio("dbos_steps", OURS, wall), at_least(1)),
        figure("cpu", f"CPU, {steps} / ours", ratio("dbos_steps", OURS, cpu), at_least(1)),
        figure("cpu_loop", f"CPU, ours / {loop}", ratio(OURS, "dbos_loop", cpu), at_most(1.5)),
    ]
    told = [_told(name, each, what) for name, each in runs.items()]
    return [*judged, *(figure for each in told for figure in each)]


def _told(name: str, runs: Sequence[Run], what: str) -> list[Figure]:
    """An engine's own numbers: what the ratios are made of."""
    rows: list[tuple[str, str, str, list[float]]] = [
        ("wall", "wall time", "s", [run.wall_s for run in runs]),
        ("cpu", "CPU of all processes", "s", [run.spent.total_cpu_s for run in runs]),
        ("memory", "peak memory", "MB", [run.spent.peak_bytes / 1e6 for run in runs]),
        ("delay", "delay until an end is seen", "s", [statistics.median(r.delays_s) for r in runs]),
    ]
    return [
        Figure(
            key=f"peers.{name}.{key}",
            what=f"{text}, {NAMES[name]}",
            unit=unit,
            samples=tuple(samples),
            notes=(_NOTES[name], what, *map(_sentence, runs)) if key == "cpu" else (),
        )
        for key, text, unit, samples in rows
    ]


_NOTES = {
    OURS: "Survives any crash in the middle of any step, on any number of hosts; a wait costs no"
    " row.",
    "dbos_steps": "Survives any crash between two looks, at two rows for each look; a dead"
    " process's workflows go on when one of its executor id and version starts.",
    "dbos_loop": "The same, but that all looks are one row, and one step begins them anew.",
    "plain": "Survives nothing: a crash loses who waits for what was paid.",
}
