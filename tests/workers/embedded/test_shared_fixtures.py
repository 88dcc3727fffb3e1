"""The session's servers, as every other test uses them."""

import asyncpg
from temporalio.client import Client

from workers.embedded.postgres import EmbeddedPostgres


async def test_the_session_has_one_postgres_for_all_tests(postgres: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(postgres.dsn)

    try:
        assert await connection.fetchval("SELECT current_database()") == "stillmotion"
    finally:
        await connection.close()


async def test_the_session_has_one_temporal_for_all_tests(temporal_server: str) -> None:
    client = await Client.connect(temporal_server)

    assert await client.service_client.check_health()
