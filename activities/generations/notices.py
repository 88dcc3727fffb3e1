"""Waiting for a generation's events without asking again and again: one listening connection.

    with notices.of(generation_id) as news:
        while not done:
            news.clear()
            …read the events…
            await the first of news.wait() and a slow timeout

A notice says that there is something to read, never what. Whoever waits reads again after a while
in any case, since notices are lost while the connection is. Who follows many generations listens to
all of them at once (`every`), and is told when some may have been missed.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, Self

import asyncpg
import structlog

from activities.database.pool import UNREACHABLE
from activities.database.settings import DatabaseSettings

CHANNEL = "stillmotion_events"
"""Payload: the event's number, a space, the generation's id (`append` in queries.sql)."""

CONNECT_TIMEOUT_S = 10.0
LIVENESS_INTERVAL_S = 60.0
"""How soon a connection is missed that a network dropped without a word."""
RECONNECT_PAUSE_S_MIN, RECONNECT_PAUSE_S_MAX = 0.5, 30.0

_SEQ = re.compile(r"[0-9]{1,9}")

log = structlog.get_logger()


class Listener(Protocol):
    """Hears of every event of every generation. Called on the event loop: it must not wait."""

    def heard(self, generation_id: str, seq: int) -> None:
        """An event was committed. In the order of the commits."""

    def missed(self) -> None:
        """Notices may have been lost: whoever needs them all reads again."""


class Notices:
    """Wakes those who wait for events. Connects with the first of them, stays connected after."""

    def __init__(self, settings: DatabaseSettings, *, role: str | None = None) -> None:
        self._settings = settings
        self._role = role
        self._listeners: set[Listener] = set()
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._listening: asyncio.Task[None] | None = None
        self._pause_s = RECONNECT_PAUSE_S_MIN

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    @contextmanager
    def of(self, generation_id: str) -> Generator[asyncio.Event]:
        """An event that is set whenever something happened to the generation; clear it, then read.

        It is also set when notices may have been missed.
        """
        self._begin()
        news = asyncio.Event()
        self._waiting[generation_id].add(news)
        try:
            yield news
        finally:
            self._waiting[generation_id].discard(news)
            if not self._waiting[generation_id]:
                del self._waiting[generation_id]

    @contextmanager
    def every(self, listener: Listener) -> Generator[None]:
        """Have `listener` hear of every event, for the time of the block.

        It is told `missed` when the connection is made, the first time too.
        """
        self._begin()
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    def _begin(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        """Listen for ever; a lost connection is made again."""
        while True:
            try:
                await self._listen_once()
            except (
                *UNREACHABLE,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
            ) as error:
                log.warning("no notices of events for now", error=type(error).__name__)
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, RECONNECT_PAUSE_S_MAX)

    async def _listen_once(self) -> None:
        """Listen until the connection is lost."""
        connection = await self._connect()
        try:
            lost = asyncio.Event()

            def gone(_: object) -> None:
                lost.set()

            connection.add_termination_listener(gone)
            await connection.add_listener(CHANNEL, self._heard)
            # However this connection ends, the next one is no repeat of a failure.
            self._pause_s = RECONNECT_PAUSE_S_MIN
            # What happened before is news to whoever waited without a connection.
            self._wake_all()
            while not lost.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(LIVENESS_INTERVAL_S):
                        await lost.wait()
                        return
                await connection.execute("SELECT 1", timeout=CONNECT_TIMEOUT_S)
        finally:
            connection.terminate()

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        server_settings = {"application_name": "stillmotion notices", "timezone": "UTC"}
        if self._role is not None:
            server_settings["role"] = self._role
        return await asyncpg.connect(
            self._settings.database_url.get_secret_value(),
            server_settings=server_settings,
            timeout=CONNECT_TIMEOUT_S,
        )

    def _heard(self, *told: Any) -> None:  # noqa: ANN401 - connection, process id, channel, payload
        number, _, generation_id = str(told[-1]).partition(" ")
        for news in self._waiting.get(generation_id, ()):
            news.set()
        if _SEQ.fullmatch(number) is None:
            # Not one of ours: whoever may connect may notify.
            return
        for listener in tuple(self._listeners):
            listener.heard(generation_id, int(number))

    def _wake_all(self) -> None:
        for waiting in self._waiting.values():
            for news in waiting:
                news.set()
        for listener in tuple(self._listeners):
            listener.missed()
