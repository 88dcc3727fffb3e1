"""Migrations: in order, once, by one runner at a time, and never of an edited file."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from activities.database.migrations import MigrationChanged, all_migrations, migrate, pending
from activities.database.pool import DatabaseUnreachable, connect
from tests.activities.conftest import connection_to, new_database, settings_for_database
from workers.embedded.postgres import EmbeddedPostgres


@pytest.fixture
async def empty_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    async with new_database(postgres) as url:
        yield url


async def test_every_migration_is_applied_in_order_to_an_empty_database(empty_url: str) -> None:
    async with connection_to(empty_url) as connection:
        applied = await migrate(connection)

        recorded = await connection.fetch("SELECT number FROM migrations ORDER BY applied_at")
    assert applied == all_migrations()
    assert [row["number"] for row in recorded] == [each.number for each in all_migrations()]


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [migration.number for migration in all_migrations()]

    assert numbers == list(range(1, len(numbers) + 1))


async def test_migrating_again_applies_nothing(empty_url: str) -> None:
    async with connection_to(empty_url) as connection:
        await migrate(connection)

        assert await migrate(connection) == ()


async def test_an_empty_database_has_everything_pending(empty_url: str) -> None:
    async with connection_to(empty_url) as connection:
        before = await pending(connection)
        await migrate(connection)

        assert before == all_migrations()
        assert await pending(connection) == ()


async def test_runners_at_once_apply_each_migration_once(empty_url: str) -> None:
    async def run() -> int:
        async with connection_to(empty_url) as connection:
            return len(await migrate(connection))

    applied = await asyncio.gather(*(run() for _ in range(4)))

    assert sorted(applied) == [0, 0, 0, len(all_migrations())]


async def test_an_applied_file_that_was_edited_is_refused(empty_url: str) -> None:
    async with connection_to(empty_url) as connection:
        await migrate(connection)
        await connection.execute("UPDATE migrations SET checksum = 'of another text'")

        with pytest.raises(MigrationChanged, match="0001_first"):
            await migrate(connection)
        with pytest.raises(MigrationChanged):
            await pending(connection)


async def test_a_refused_runner_leaves_the_way_free(empty_url: str) -> None:
    async with connection_to(empty_url) as connection:
        await migrate(connection)
        await connection.execute("UPDATE migrations SET checksum = 'of another text'")
        with pytest.raises(MigrationChanged):
            await migrate(connection)

        held = await connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    assert held == 0


async def test_two_databases_of_one_server_share_the_starters_role(
    postgres: EmbeddedPostgres, database_url: str
) -> None:
    async with new_database(postgres) as second, connection_to(second) as connection:
        assert len(await migrate(connection)) == len(all_migrations())


async def test_a_database_that_is_not_there_is_said_to_be_unreachable(database_url: str) -> None:
    elsewhere = settings_for_database(database_url.replace("/test_", "/no_such_"))

    with pytest.raises(DatabaseUnreachable) as told:
        async with connect(elsewhere):
            pass

    assert "host=" not in str(told.value)


async def test_the_pool_speaks_json_and_utc(database_url: str) -> None:
    async with connect(settings_for_database(database_url)) as pool:
        value = await pool.fetchval("SELECT $1::jsonb", {"a": [1, None]})
        zone = await pool.fetchval("SHOW timezone")

    assert (value, zone) == ({"a": [1, None]}, "UTC")


async def test_a_pool_is_closed_even_where_a_connection_is_busy(database_url: str) -> None:
    async with connect(settings_for_database(database_url)) as pool:
        busy = asyncio.create_task(pool.execute("SELECT pg_sleep(60)"))
        await asyncio.sleep(0)

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await busy
