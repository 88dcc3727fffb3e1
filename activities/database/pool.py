"""One asyncpg pool per process, with JSON as Python values and PostgreSQL errors as two of ours."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

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


class _Connection(asyncpg.Connection):  # pyright: ignore[reportMissingTypeArgument]
    """A connection that goes back to the pool without a round trip, unless it holds a lock.

    asyncpg would reset cursors, listeners, settings and locks of the session after each use: a
    third of all our round trips. We keep no such state but the lock of `hold_session_locks`. A
    transaction that was left open is rolled back all the same.
    """

    _is_holding_locks = False

    def hold_locks(self) -> None:
        """See `hold_session_locks`."""
        self._is_holding_locks = True

    def get_reset_query(self) -> str:
        """What asyncpg runs when the connection goes back; nothing where it is empty."""
        held, self._is_holding_locks = self._is_holding_locks, False
        return "SELECT pg_advisory_unlock_all()" if held else ""


def hold_session_locks(connection: Connection) -> None:
    """Say before taking advisory locks of the session that the pool is to free them at the end."""
    # A pool's proxy passes on what it does not know itself.
    cast("_Connection", connection).hold_locks()


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
            connection_class=_Connection,
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
