"""One asyncpg pool per process, with JSON as Python values and PostgreSQL errors as two of ours."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from activities.database.settings import DatabaseSettings

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Row: TypeAlias = asyncpg.Record

STARTER_ROLE = "stillmotion_starter"

UNREACHABLE: Sequence[type[Exception]] = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TooManyConnectionsError,
)
"""What asyncpg raises when PostgreSQL can't be used at all."""


class DatabaseUnreachable(Exception):
    """PostgreSQL does not answer. Check STILLMOTION_DATABASE_URL and that the server runs."""


@asynccontextmanager
async def connect(settings: DatabaseSettings, *, role: str | None = None) -> AsyncGenerator[Pool]:
    """A pool for the time of the block.

    Args:
        settings: where, and how many connections at most.
        role: a role to act as; the starter uses `STARTER_ROLE`, which can't touch plans or money.

    Raises:
        DatabaseUnreachable: no connection could be made. The message names no password.
    """
    server_settings = {"application_name": "stillmotion", "timezone": "UTC"}
    if role is not None:
        server_settings["role"] = role
    try:
        pool = await asyncpg.create_pool(
            settings.database_url.get_secret_value(),
            min_size=1,
            max_size=settings.database_connections_max,
            init=_decode_json,
            server_settings=server_settings,
            timeout=10,
        )
    except tuple(UNREACHABLE) as error:
        raise DatabaseUnreachable(
            f"PostgreSQL does not answer ({type(error).__name__})."
        ) from error
    try:
        yield pool
    finally:
        # Terminate what a cancelled task left busy: close() would wait for it for ever.
        pool.terminate()


async def _decode_json(connection: Connection) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
    )
