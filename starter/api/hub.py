"""One reader of events for all who follow: a thousand streams cost what happens, not what waits.

    notices (LISTEN) ──▶ which generations have news ──▶ one read for all of them ──▶ each follower

One connection listens. What is heard within a moment is read by one statement, written once, and
handed to whoever follows the generation or its user. A follower holds a bounded number of messages
that its client has not taken; one more, and it is late: its stream ends, and the client goes on
from its `Last-Event-ID`. Where notices may have been lost, everything that could have happened
meanwhile is read again; followers leave out what they know.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import chain
from typing import Self

import asyncpg

from activities.database.pool import UNREACHABLE, Pool
from activities.generations import following
from activities.generations.notices import Notices
from starter.api.messages import Message, message_of
from starter.api.problems import Problem

FOLLOWERS_MAX = 3000
"""Of a process, fewer than the connections it takes (`serving`): the others are for requests."""

WAITING_MAX = 1000
"""Messages that a follower's client may be behind: what a hundred generations do in their lives.
They are written once for all, so each costs a follower eight bytes."""

PAUSE_S = 0.01
"""After half as many, so that who takes what he is given is never late."""

GATHER_S = 0.02
"""News of so long is read at once. Nobody sees the difference, and a burst costs one read."""

RETRY_S = 1.0
"""Between two reads while PostgreSQL doesn't answer."""

OVERLAP_S = 60.0
"""How much is read again where something may have been missed. A step's transaction takes
milliseconds: an event that was written before a later one, and committed after it, is among them.
It makes up for clocks that differ, too."""

DUE_MAX = 10_000
"""Generations with news that wait for a read; beyond, everything is looked for instead."""

DATABASE_AWAY = (
    *UNREACHABLE,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What a read raises while PostgreSQL is not there."""

_log = logging.getLogger(__name__)


class Late(Exception):
    """Messages are missing: the client goes on from the last one that it has."""


class Follower:
    """What one stream has not sent yet."""

    def __init__(self, waiting_max: int) -> None:
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(waiting_max)
        self._is_late = False

    def tell(self, message: Message) -> None:
        """Hand it a message; where there is no room, it is late from now on."""
        if self._is_late:
            return
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.leave_behind()

    def leave_behind(self) -> None:
        """Hand it nothing more: it is late."""
        self._is_late = True

    async def next(self, within_s: float) -> Message | None:
        """The next message; None where none comes within so long.

        Raises:
            Late: messages are missing from here on.
        """
        if self._is_late:
            raise Late
        try:
            async with asyncio.timeout(within_s):
                return await self._waiting.get()
        except TimeoutError:
            return None


class Hub:
    """The followers of a process. Listens from the first of them on; `notices` are its own."""

    def __init__(
        self,
        pool: Pool,
        notices: Notices,
        *,
        followers_max: int = FOLLOWERS_MAX,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._pool = pool
        self._notices = notices
        self._followers_max = followers_max
        self._waiting_max = waiting_max
        self._of_generation: defaultdict[str, set[Follower]] = defaultdict(set)
        self._of_user: defaultdict[str, set[Follower]] = defaultdict(set)
        self._count = 0
        self._due: dict[str, int] = {}
        self._has_missed = False
        self._whole_until = datetime.now(UTC)
        self._news = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._telling is not None:
            self._telling.cancel()
            with suppress(asyncio.CancelledError):
                await self._telling

    @property
    def count(self) -> int:
        """How many follow now."""
        return self._count

    @contextmanager
    def of_generation(self, generation_id: str) -> Generator[Follower]:
        """Follow one generation for the time of the block; read what was before after entering.

        Raises:
            Problem: 503: too many follow.
        """
        with self._following(self._of_generation, generation_id) as follower:
            yield follower

    @contextmanager
    def of_user(self, user_id: str) -> Generator[Follower]:
        """Follow all generations of a user; else as `of_generation`."""
        with self._following(self._of_user, user_id) as follower:
            yield follower

    @contextmanager
    def _following(
        self, followers: defaultdict[str, set[Follower]], name: str
    ) -> Generator[Follower]:
        if self._count >= self._followers_max:
            detail = "Too many streams are open here. Try again."
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                detail,
                headers={"Retry-After": "5"},
                kind="too_many_streams",
            )
        if self._telling is None:
            self._whole_until = datetime.now(UTC)
            self._telling = asyncio.create_task(self._tell_for_ever())
        follower = Follower(self._waiting_max)
        followers[name].add(follower)
        self._count += 1
        try:
            yield follower
        finally:
            self._count -= 1
            followers[name].discard(follower)
            if not followers[name]:
                del followers[name]

    # What the notices tell

    def heard(self, generation_id: str, seq: int) -> None:
        """An event was committed: it is read, where anybody follows it."""
        if not self._has_missed:
            # What was committed before it has been heard, too.
            self._whole_until = datetime.now(UTC)
        if not self._of_user and generation_id not in self._of_generation:
            return
        if len(self._due) >= DUE_MAX:
            self.missed()
            return
        self._due[generation_id] = min(seq, self._due.get(generation_id, seq))
        self._news.set()

    def missed(self) -> None:
        """Notices may have been lost."""
        self._due.clear()
        self._has_missed = True
        self._news.set()

    # Telling

    async def _tell_for_ever(self) -> None:
        with self._notices.every(self):
            while True:
                await self._news.wait()
                await asyncio.sleep(GATHER_S)
                self._news.clear()
                await self._tell_news()

    async def _tell_news(self) -> None:
        """Tell what was heard. What can't be read now counts as missed."""
        due, self._due = self._due, {}
        has_missed, self._has_missed = self._has_missed, False
        whole_until = self._whole_until
        try:
            await self._tell(await self._missing() if has_missed else due)
        except DATABASE_AWAY as error:
            _log.warning("events can't be read for now: %s", type(error).__name__)
            self.missed()
            self._whole_until = whole_until
            await asyncio.sleep(RETRY_S)
        except Exception as error:  # noqa: BLE001 - nobody is to be left with a gap
            # By its type only, as for requests: its words may quote what was asked for.
            _log.error("events could not be told: %s", type(error).__name__)
            for follower in chain(*self._of_generation.values(), *self._of_user.values()):
                follower.leave_behind()

    async def _missing(self) -> dict[str, int]:
        """Where to read on so that nothing is left out since the last moment that was heard of."""
        since = self._whole_until - timedelta(seconds=OVERLAP_S)
        users = await following.recent(self._pool, self._of_user, since) if self._of_user else {}
        return users | dict.fromkeys(self._of_generation, 1)

    async def _tell(self, due: Mapping[str, int]) -> None:
        """Read what is due, and hand each event to its followers."""
        generations = [each for each in due if each in self._of_generation]
        read = await following.told(
            self._pool, due, generations=generations, users=tuple(self._of_user)
        )
        for number, told in enumerate(read, start=1):
            followers = (
                *self._of_generation.get(told.facts.generation_id, ()),
                *self._of_user.get(told.user_id, ()),
            )
            if followers:
                message = message_of(told)
                for follower in followers:
                    follower.tell(message)
            if number % max(1, self._waiting_max // 2) == 0:
                await asyncio.sleep(PAUSE_S)
