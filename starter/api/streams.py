"""What one stream of events tells: each event once, in order, and how far its generations are.

A stream is given everything that could be news, some of it twice, and leaves out what it has told
already and what its caller may not see.
"""

import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from activities.generations.following import Told
from starter.api.hub import Follower, Late
from starter.api.messages import (
    KEEP_ALIVE,
    Message,
    message_of,
    retry_after,
    tick_of,
    with_id,
)
from workflows.contracts.progress import ProgressFacts, estimate
from workflows.contracts.requests import Source
from workflows.contracts.stages import TERMINAL

TICK_S = 3.0
"""How often the progress is estimated anew. While a video is made, a percent takes some two
seconds."""

QUIET_S = 15.0
"""Between two comments, and two looks at whether the caller may still listen. Proxies drop what has
been silent for half a minute."""

STREAM_S_MAX = 3600.0
"""Then the reader asks again, and may come to another process."""

AGAIN_S = 1
"""When to ask again after a stream that broke off."""

ENDED_AGAIN_S = 60
"""When to ask again after the end. A browser does so in any case, and is told then that there is
nothing more."""


class Numbering(Protocol):
    """What a stream's ids count."""

    def number_of(self, event: Told) -> int | None:
        """The id that an event is told under; None where the reader knows it."""


class OfOne:
    """The events of one generation: its own numbers, without gaps."""

    def __init__(self, after: int) -> None:
        self._after = after

    def number_of(self, event: Told) -> int | None:
        """Its number; None up to the one that the reader goes on from."""
        return event.seq if event.seq > self._after else None


class OfAll:
    """Everybody's events in the order of their writing; what is told late keeps the highest."""

    def __init__(self, after: int) -> None:
        self._highest = after

    def number_of(self, event: Told) -> int | None:
        """The highest number so far: whoever goes on from it has been told all up to there."""
        self._highest = max(self._highest, event.event_id)
        return self._highest


@dataclass
class _Running:
    """How far a generation is, as it was told last."""

    facts: ProgressFacts
    percent: int
    message: str


class Stream:
    """The memory of one stream, for a caller who may see these products."""

    def __init__(self, numbering: Numbering, sources: Collection[Source]) -> None:
        self._numbering = numbering
        self._sources = frozenset(sources)
        self._seen: dict[str, int] = {}
        self._running: dict[str, _Running] = {}

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing that it has seen goes on."""
        return bool(self._seen) and not self._running

    def event(self, message: Message) -> bytes:
        """What to send of an event; nothing where it is no news to this reader."""
        event, facts = message.told, message.told.facts
        generation_id = facts.generation_id
        if event.source not in self._sources or event.seq <= self._seen.get(generation_id, 0):
            return b""
        self._seen[generation_id] = event.seq
        before = self._running.pop(generation_id, None)
        if facts.stage not in TERMINAL:
            seen = estimate(facts, facts.since)
            percent = max(seen.percent, before.percent if before is not None else 0)
            self._running[generation_id] = _Running(facts, percent, seen.message)
        number = self._numbering.number_of(event)
        return b"" if number is None else with_id(number, message.body)

    def progress(self, now: datetime) -> bytes:
        """What to send of what goes on: where it is further than was told last."""
        ticks: list[bytes] = []
        for running in self._running.values():
            seen = estimate(running.facts, now)
            # Another clock than PostgreSQL's may be behind.
            percent = max(running.percent, seen.percent)
            if (percent, seen.message) != (running.percent, running.message):
                running.percent, running.message = percent, seen.message
                ticks.append(tick_of(running.facts, seen, percent))
        return b"".join(ticks)


async def pieces(
    stream: Stream,
    following: AbstractContextManager[Follower],
    read: Callable[[], Awaitable[list[Told]]],
    *,
    may_listen: Callable[[], Awaitable[bool]],
    ends: bool,
) -> AsyncGenerator[bytes]:
    """A stream's bytes: what was before, then what happens, until it ends.

    Args:
        stream: Its memory.
        following: Entered first, so that nothing is missed between `read` and what is heard.
        read: What was before.
        may_listen: Whether the caller still may; asked now and then.
        ends: Whether it ends where nothing goes on any more.

    Raises:
        Problem: before the first piece: too many follow.
        asyncpg.PostgresError, OSError: before the first piece: what was before can't be read.
    """
    with following as follower:
        before = deque(await read())
        yield retry_after(AGAIN_S)
        while before:
            # Nothing of it is kept: there are a thousand streams, each for an hour.
            yield stream.event(message_of(before.popleft()))
        begun_at = quiet_since = tick_at = time.monotonic()
        while not (ends and stream.is_at_rest):
            now = time.monotonic()
            if now - begun_at > STREAM_S_MAX:
                return
            if now - quiet_since > QUIET_S:
                if not await may_listen():
                    return
                quiet_since = now
                yield KEEP_ALIVE
            if now >= tick_at:
                tick_at = now + TICK_S
                yield stream.progress(datetime.now(UTC))
            try:
                message = await follower.next(tick_at - now)
            except Late:
                return
            if message is not None:
                yield stream.event(message)
        yield retry_after(ENDED_AGAIN_S)
