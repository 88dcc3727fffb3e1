"""Waiting for events by one listening connection, which may be lost at any time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from activities.database.pool import Pool
from activities.generations import notices as module
from activities.generations import repository as generations
from activities.generations.notices import Notices
from tests.activities.conftest import a_request, settings_for_database
from workers.embedded.sockets import SOCKET_NAME
from workflows.contracts.stages import Stage

LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stillmotion notices'"


@pytest.fixture
async def notices(database_url: str) -> AsyncIterator[Notices]:
    async with Notices(settings_for_database(database_url)) as listening:
        yield listening


async def claimed(pool: Pool, generation_id: str) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await generations.claim(connection, generation_id, a_request())


async def entered(pool: Pool, generation_id: str, stage: Stage) -> None:
    async with pool.acquire() as connection, connection.transaction():
        assert await generations.record(connection, generation_id, stage)


async def come(news: asyncio.Event) -> None:
    await asyncio.wait_for(news.wait(), 20)
    news.clear()


async def test_an_event_wakes_whoever_waits_for_its_generation_and_nobody_else(
    notices: Notices, database: Pool
) -> None:
    # A wire caller's id may hold anything, spaces too.
    await claimed(database, "gen one of mine")
    await claimed(database, "gen_two")
    with notices.of("gen one of mine") as first, notices.of("gen_two") as second:
        await come(first)
        await come(second)

        await entered(database, "gen one of mine", Stage.RESERVING)
        await come(first)

        assert not second.is_set()


async def test_many_wait_by_one_connection_that_is_opened_when_it_is_needed(
    notices: Notices, database: Pool
) -> None:
    before = await database.fetchval(LISTENERS)
    await claimed(database, "gen_one")
    with notices.of("gen_one") as first, notices.of("gen_one") as second:
        await come(first)
        await come(second)
        during = await database.fetchval(LISTENERS)
        await entered(database, "gen_one", Stage.RESERVING)

        await come(first)
        await come(second)

    assert (before, during) == (0, 1)


async def test_a_lost_connection_is_made_again_and_what_happened_meanwhile_is_news(
    notices: Notices, database: Pool
) -> None:
    await claimed(database, "gen_one")
    with notices.of("gen_one") as news:
        await come(news)
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'stillmotion notices'"
        )
        await entered(database, "gen_one", Stage.RESERVING)
        await come(news)

        # The new connection hears too.
        await entered(database, "gen_one", Stage.PROMPTING)
        await come(news)


class Network:
    """Stands before PostgreSQL; drops what is connected without a word whenever it is told to."""

    def __init__(self, url: str) -> None:
        self._socket = Path(parse_qs(urlsplit(url).query)["host"][0]) / SOCKET_NAME
        self._passing: set[asyncio.Task[None]] = set()
        self._held: list[asyncio.StreamWriter] = []
        self.carried = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._socket)
        self.carried += 1
        ways = ((reader, far_writer), (far_reader, writer))
        self._passing |= {asyncio.create_task(self._pass_on(*way)) for way in ways}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except asyncio.CancelledError:
            self._held.append(writer)
        else:
            writer.close()

    async def drop(self) -> None:
        """From now on nothing comes through of what was connected, in either direction."""
        for each in self._passing:
            each.cancel()
        await asyncio.gather(*self._passing)
        self._passing.clear()

    async def end(self) -> None:
        await self.drop()
        for each in self._held:
            each.close()


async def test_one_loss_after_the_other_is_not_waited_for_longer_each_time(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIVENESS_INTERVAL_S", 0.02)
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 0.2)
    # The tenth would take a minute, if each were waited for twice as long as the one before.
    monkeypatch.setattr(module, "RECONNECT_PAUSE_S_MIN", 0.05)
    monkeypatch.setattr(module, "RECONNECT_PAUSE_S_MAX", 1000.0)
    network = Network(database_url)
    folder = parse_qs(urlsplit(database_url).query)["host"][0]
    url = database_url.replace(quote(folder), quote(str(tmp_path))).replace(folder, str(tmp_path))

    async with (
        await asyncio.start_unix_server(network.serve, tmp_path / SOCKET_NAME),
        Notices(settings_for_database(url)) as notices,
    ):
        with notices.of("gen_one") as news:
            await come(news)
            for _ in range(10):
                await network.drop()
                await come(news)
        await network.end()

    assert network.carried > 10


async def test_a_database_that_is_not_there_is_waited_for_without_an_error(
    database_url: str,
) -> None:
    nowhere = database_url.replace("/test_", "/nothing_like_test_")
    async with Notices(settings_for_database(nowhere)) as notices:
        with notices.of("gen_one") as news:
            await asyncio.sleep(0.3)

            assert not news.is_set()


async def test_who_has_left_is_forgotten(notices: Notices, database: Pool) -> None:
    await claimed(database, "gen_one")
    with notices.of("gen_one") as news:
        await come(news)
    await entered(database, "gen_one", Stage.RESERVING)
    with notices.of("gen_two") as other, notices.of("gen_one"):
        await entered(database, "gen_one", Stage.PROMPTING)
        await asyncio.sleep(0.1)

        assert not news.is_set()
        assert not other.is_set()
