"""What a storm does to the processes, and when: a deck of acts, dealt by the seed.

An act waits for its mark, a share of the run's progress, rather than for a moment: the same seed
plays the same acts in the same order at the same marks, on a fast machine and on a slow one.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import asyncpg

from tests.chaos.parts import Kept, Part, Program
from tests.chaos.rig import AWAY, Rig, patiently

SHORT_FREEZE_S = 3.0
LONG_FREEZE_S = 25.0
"""Past the heartbeat timeouts of the activities (20 s): others take a frozen worker's work over."""
FULL_S = 3.0
EXHAUSTED_S = 3.0
LAST_MARK = 0.9
DOWN_S_MAX = 2.0
"""How long a killed part stays down at most."""


class Act(StrEnum):
    """One thing that goes wrong."""

    KILL_WORKER = "kill a worker"
    KILL_CLIENT = "kill a client"
    KILL_TEMPORAL = "kill Temporal"
    KILL_POSTGRES = "kill PostgreSQL"
    KILL_SANDBOX = "kill the provider"
    FREEZE_WORKER = "freeze a worker past its timeouts"
    FREEZE_SERVER = "freeze a server"
    FILL_DISK = "fill the media disk"
    EXHAUST_CONNECTIONS = "take every database connection, cut the others"


@dataclass(frozen=True)
class Mark:
    """An act and when it is due."""

    act: Act
    progress: float
    """0 to 1."""
    dice: int
    """Which of several, and for how long."""


@dataclass
class Crew:
    """Who can be hit."""

    rig: Rig
    workers: list[Program]
    clients: list[Program]
    kept: Kept
    long_freeze_s: float = LONG_FREEZE_S
    busy: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])

    @asynccontextmanager
    async def alone_with(self, part: Part) -> AsyncGenerator[None]:
        """No other act on the same part meanwhile."""
        async with self.busy.setdefault(part.name, asyncio.Lock()):
            yield


def deal(seed: int, acts: list[Act], rounds: int) -> list[Mark]:
    """Every act once a round, in an order of its own, at marks spread over the run."""
    dice = random.Random(f"acts {seed}")
    order = [act for _ in range(rounds) for act in dice.sample(acts, len(acts))]
    share = LAST_MARK / len(order)
    marks = [place * share + dice.uniform(0, share) for place in range(len(order))]
    return [Mark(act, mark, dice.randrange(2**32)) for act, mark in zip(order, marks, strict=True)]


async def play(crew: Crew, mark: Mark) -> str:
    """Do it, undo it; what was done, for the log."""
    dice = random.Random(mark.dice)
    return await PLAYS[mark.act](crew, dice)


async def _kill_worker(crew: Crew, dice: random.Random) -> str:
    return await _kill_kept(crew, dice.choice(crew.workers), dice)


async def _kill_client(crew: Crew, dice: random.Random) -> str:
    return await _kill_kept(crew, dice.choice(crew.clients), dice)


async def _kill_kept(crew: Crew, victim: Program, dice: random.Random) -> str:
    async with crew.alone_with(victim):
        if crew.kept.is_done(victim):
            return f"{victim.name} had ended its work"
        crew.kept.let_alone(victim)
        await victim.kill()
        await asyncio.sleep(dice.uniform(0, DOWN_S_MAX))
        await victim.start()
        crew.kept.keep_again(victim)
    return f"killed {victim.name}"


def _kill(part_of: Callable[[Rig], Part]) -> "Play":
    async def kill(crew: Crew, dice: random.Random) -> str:
        part = part_of(crew.rig)
        async with crew.alone_with(part):
            await part.kill()
            await asyncio.sleep(dice.uniform(0, DOWN_S_MAX))
            await crew.rig.restart(part)
        return f"killed {part.name}"

    return kill


async def _freeze_worker(crew: Crew, dice: random.Random) -> str:
    return await _freeze(crew, dice.choice(crew.workers), crew.long_freeze_s)


async def _freeze_server(crew: Crew, dice: random.Random) -> str:
    return await _freeze(crew, dice.choice(crew.rig.servers), SHORT_FREEZE_S)


async def _freeze(crew: Crew, victim: Part, seconds: float) -> str:
    async with crew.alone_with(victim):
        victim.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            victim.thaw()
    return f"froze {victim.name} for {seconds:.0f} s"


async def _fill_disk(crew: Crew, _: random.Random) -> str:
    if crew.rig.disk is None:
        return "no small disk here: not filled"
    await asyncio.to_thread(crew.rig.disk.fill)
    try:
        await asyncio.sleep(FULL_S)
    finally:
        crew.rig.disk.free()
    return f"the disk was full for {FULL_S:.0f} s"


async def _exhaust_connections(crew: Crew, _: random.Random) -> str:
    async with crew.alone_with(crew.rig.postgres), AsyncExitStack() as stack:
        taken = await _take_all(crew.rig.address.database, stack)
        with suppress(IndexError, *AWAY):
            await taken[0].execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'stillmotion'"
            )
        taken += await _take_all(crew.rig.address.database, stack)
        await asyncio.sleep(EXHAUSTED_S)
    return f"held {len(taken)} connections for {EXHAUSTED_S:.0f} s, the others were cut"


async def _take_all(dsn: str, stack: AsyncExitStack) -> list[Any]:
    """Open connections until there are none left."""
    taken: list[Any] = []
    while True:
        try:
            connection = await asyncpg.connect(dsn)
        except AWAY:
            return taken
        taken.append(connection)
        stack.callback(connection.terminate)


Play = Callable[[Crew, random.Random], Awaitable[str]]
PLAYS: dict[Act, Play] = {
    Act.KILL_WORKER: _kill_worker,
    Act.KILL_CLIENT: _kill_client,
    Act.KILL_TEMPORAL: _kill(lambda rig: rig.temporal),
    Act.KILL_POSTGRES: _kill(lambda rig: rig.postgres),
    Act.KILL_SANDBOX: _kill(lambda rig: rig.sandbox),
    Act.FREEZE_WORKER: _freeze_worker,
    Act.FREEZE_SERVER: _freeze_server,
    Act.FILL_DISK: _fill_disk,
    Act.EXHAUST_CONNECTIONS: _exhaust_connections,
}


class Progress:
    """How far a run is, by the events that its generations have recorded; it never goes back."""

    EVENTS_EACH = 8
    """Of a generation on the usual way; retries and failures roughly level out."""

    def __init__(self, rig: Rig, generations: int) -> None:
        self._rig = rig
        self._expected = generations * self.EVENTS_EACH
        self._base = 0
        self.events = 0

    async def begin(self) -> None:
        """Count from here."""
        self._base = await patiently(self._count)

    async def look(self) -> float:
        """The share that is done, 0 to 1; the last one seen while PostgreSQL is away."""
        with suppress(*AWAY):
            async with asyncio.timeout(2):
                self.events = await self._count() - self._base
        return min(1.0, self.events / self._expected)

    async def _count(self) -> int:
        return await self._rig.stack.value("SELECT count(*) FROM events")
