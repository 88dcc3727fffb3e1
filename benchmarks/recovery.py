"""How soon a killed worker's waits are taken over: from SIGKILL to the next poll of each job.

The server notices by the heartbeat timeout, then repeats the poll a second later. Jobs hang
throughout; each round kills the worker that the round before left behind.
"""

import asyncio
import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from benchmarks.figures import Figure, Scale, at_most, tell
from benchmarks.patience import until
from benchmarks.rig import Rig, opened
from workers.embedded.children import Child

HEARTBEAT_TIMEOUT_S = 10
BEYOND_GOAL_S = 5.0
JOBS = 20
REPEATS = 5
LAST_REQUESTS_S = 0.5
"""What a dead worker had sent is answered by then."""
TAKEN_OVER_S = 120.0


async def measure(scale: Scale) -> list[Figure]:
    """Seconds beyond the heartbeat timeout, with a second worker there and with a restarted one."""
    jobs, times = scale.of(JOBS), scale.times(REPEATS)
    second: list[float] = []
    restarted: list[float] = []
    async with opened() as rig, AsyncExitStack() as workers:
        await rig.faults(job={"kind": "hang"}, output={"kind": "ready"})
        worker = await workers.enter_async_context(_worker(rig))
        for _ in range(times):
            waiting = await _waiting(rig, jobs)
            other = await workers.enter_async_context(_worker(rig))
            second.append(await _taken_over(rig, worker, waiting))
            waiting = await _waiting(rig, jobs)
            taking = asyncio.create_task(_taken_over(rig, other, waiting))
            await other.wait()
            worker = await workers.enter_async_context(_worker(rig))
            restarted.append(await taking)
            tell(f"  second worker {second[-1]:.1f} s, restarted {restarted[-1]:.1f} s")
    return [
        _figure("second", "with a second worker there", second, jobs),
        _figure("restarted", "with a worker started anew", restarted, jobs),
    ]


async def _waiting(rig: Rig, jobs: int) -> set[str]:
    """Start jobs until they are polled; their predictions.

    New ones in each round: the pause before another try doubles with each worker that a job lost.
    """
    prompt = uuid.uuid4().hex
    for number in range(jobs):
        await rig.start(number, prompt)

    async def polled() -> set[str]:
        rows = [each for each in await _rows(rig) if each["input"]["prompt"] == prompt]
        ready = len(rows) == jobs and all(each["reads"] for each in rows)
        return {each["id"] for each in rows} if ready else set()

    return await until(polled, timeout_s=TAKEN_OVER_S)


def _worker(rig: Rig) -> Any:  # noqa: ANN401 - the rig's own context manager
    return rig.worker(settings={"STILLMOTION_HEARTBEAT_TIMEOUT_S": str(HEARTBEAT_TIMEOUT_S)})


def _figure(key: str, how: str, beyond_s: list[float], jobs: int) -> Figure:
    return Figure(
        key=f"recovery.{key}",
        what=f"SIGKILL of a worker to the next poll, beyond the heartbeat timeout, {how}",
        unit="s",
        samples=tuple(beyond_s),
        goal=at_most(BEYOND_GOAL_S),
        notes=(f"The slowest of {jobs} jobs; the heartbeat timeout is {HEARTBEAT_TIMEOUT_S} s.",),
    )


async def _taken_over(rig: Rig, worker: Child, waiting: set[str]) -> float:
    """Kill a worker; seconds until the last of its jobs is polled again, less the timeout."""
    worker.kill()
    killed_at = datetime.now(UTC)
    await worker.wait()
    await asyncio.sleep(LAST_REQUESTS_S)
    before = {row["id"]: row["reads"] for row in await _rows(rig)}
    polled: dict[str, datetime] = {}

    async def all_polled() -> bool:
        for row in await _rows(rig):
            if row["id"] not in polled and row["reads"] > before[row["id"]]:
                polled[row["id"]] = datetime.fromisoformat(row["read_at"])
        return waiting <= set(polled)

    await until(all_polled, timeout_s=TAKEN_OVER_S, pause_s=0.2)
    last_at = max(polled[each] for each in waiting)
    return (last_at - killed_at).total_seconds() - HEARTBEAT_TIMEOUT_S


async def _rows(rig: Rig) -> list[dict[str, Any]]:
    return (await rig.log())["predictions"]
