"""What a job costs where Temporal is billed: events of its history, and billable actions.

A five-minute job and a one-minute job run at once on a stack of their own each, since the server's
`action` metric counts for all workflows together.
"""

import asyncio
import re

import httpx
from pydantic import BaseModel, ConfigDict

from benchmarks.figures import Figure, Scale, at_most, tell
from benchmarks.rig import Rig, opened
from workers.embedded.ports import LOOPBACK, ChosenPorts

LONG_S, SHORT_S = 300, 60
JOBS = 3
EVENTS_GOAL = 55
ACTIONS_GOAL, SECONDS_PER_ACTION = 13, 48
"""A heartbeat reaches the server every 48 s: 0.8 of the timeout of 60 s."""
SETTLE_S = 3.0
_ACTION = re.compile(r"^action\{.*\} ([0-9.e+]+)$", re.MULTILINE)


class Cost(BaseModel):
    """What jobs of one length cost."""

    model_config = ConfigDict(frozen=True)

    work_s: int
    events: tuple[int, ...]
    actions_each: float


async def measure(scale: Scale) -> list[Figure]:
    """Events and actions of the long job, and that its length adds no event."""
    jobs = scale.times(JOBS)
    lengths_s = scale.of(LONG_S, least=20), scale.of(SHORT_S, least=5)
    long, short = await asyncio.gather(*(_cost(work_s, jobs) for work_s in lengths_s))
    heartbeats = long.work_s / SECONDS_PER_ACTION
    means = f"{long.actions_each:.1f} actions each, the mean of {jobs}"
    return [
        Figure(
            key="cost.events",
            what=f"events in the history of a job of {long.work_s} s",
            samples=tuple(long.events),
            goal=at_most(EVENTS_GOAL),
        ),
        Figure(
            key="cost.growth",
            what=f"events that {long.work_s} s of waiting add to those of {short.work_s} s",
            samples=tuple(max(long.events) - each for each in short.events),
            goal=at_most(0),
        ),
        Figure(
            key="cost.actions",
            what=f"billable actions of a job of {long.work_s} s, less a heartbeat each 48 s",
            samples=(long.actions_each - heartbeats,),
            goal=at_most(ACTIONS_GOAL),
            notes=(
                f"{means}; {short.actions_each:.1f} for a job of {short.work_s} s.",
                "Read from the server's `action` metric.",
            ),
        ),
    ]


async def _cost(work_s: int, jobs: int) -> Cost:
    async with opened(sandbox_work_s=work_s) as rig, rig.worker():
        await rig.faults(output={"kind": "ready"})
        before = await actions_of(rig)
        handles = [await rig.start(number) for number in range(jobs)]
        for handle in handles:
            await handle.result()
        actions = await actions_of(rig) - before
        events = [(await handle.describe()).history_length for handle in handles]
    tell(f"  {work_s} s: {events} events, {actions / jobs:.1f} actions each")
    return Cost(work_s=work_s, events=tuple(events), actions_each=actions / jobs)


async def actions_of(rig: Rig) -> float:
    """The server's counter of billable actions, when it has counted what is over."""
    await asyncio.sleep(SETTLE_S)
    remembered = rig.folder / "stack" / "temporal" / "ports.json"
    ports = ChosenPorts.model_validate_json(await asyncio.to_thread(remembered.read_bytes))
    async with httpx.AsyncClient(trust_env=False) as http:
        reply = await http.get(f"http://{LOOPBACK}:{ports.metrics}/metrics")
    return sum(float(value) for value in _ACTION.findall(reply.raise_for_status().text))
