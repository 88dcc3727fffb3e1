"""A table that is read whole is seen in the plans that PostgreSQL executed."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import pytest

from benchmarks.growth_plans import NoPlans, Seen, log_plans, whole_reads

if TYPE_CHECKING:
    from workers.embedded.locking import DataDirectory
    from workers.embedded.postgres import EmbeddedPostgres

TABLES = """
CREATE TABLE generations (generation_id text PRIMARY KEY);
CREATE TABLE plans (plan text PRIMARY KEY);
INSERT INTO generations SELECT 'gen_' || n FROM generate_series(1, 5000) n;
ANALYZE;
"""


@pytest.fixture
async def connection(postgres: "EmbeddedPostgres") -> "AsyncIterator[asyncpg.Connection]":
    """Whose plans are logged, on a database of its own."""
    server = await asyncpg.connect(postgres.dsn)
    await server.execute("CREATE DATABASE planned")
    dsn = postgres.dsn.replace("/stillmotion?", "/planned?")
    try:
        await log_plans(dsn)
        connection = await asyncpg.connect(dsn)
        await connection.execute(TABLES)
        yield connection
    finally:
        await server.execute("DROP DATABASE planned WITH (FORCE)")
        await server.close()


async def seen(connection: "asyncpg.Connection", directory: "DataDirectory", query: str) -> Seen:
    async def act(user: str) -> None:
        await connection.fetch(query, user)

    return await whole_reads(directory.log_path("postgres"), act, ("gen_1", "gen_2"))


async def test_a_growing_table_that_is_read_whole_is_named(
    connection: "asyncpg.Connection", data_directory: "DataDirectory"
) -> None:
    query = "SELECT * FROM generations WHERE upper(generation_id) = $1"

    told = await seen(connection, data_directory, query)

    assert told == Seen(plans=24, tables=("generations",))


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("SELECT * FROM generations WHERE generation_id = $1", id="by its index"),
        pytest.param("SELECT * FROM plans WHERE upper(plan) = $1", id="a table that stays small"),
    ],
)
async def test_what_needs_no_whole_read_of_a_growing_table_names_none(
    connection: "asyncpg.Connection", data_directory: "DataDirectory", query: str
) -> None:
    told = await seen(connection, data_directory, query)

    assert told == Seen(plans=24, tables=())


async def test_an_act_that_asks_the_database_nothing_proves_nothing(
    connection: "asyncpg.Connection", data_directory: "DataDirectory"
) -> None:
    async def nothing(_: str) -> None:
        """No statement."""

    assert connection is not None
    with pytest.raises(NoPlans):
        await whole_reads(data_directory.log_path("postgres"), nothing, ("gen_1",))
