"""Waiting for events by one listening connection, which may be lost at any time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.generations.notices import Notices
from tests.activities.conftest import a_request, settings_for_database
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
