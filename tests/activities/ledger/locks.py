"""Rows that somebody holds, and calls that are known to wait for one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager

from activities.database.pool import Pool


@asynccontextmanager
async def locked(pool: Pool, statement: str, *arguments: object) -> AsyncGenerator[None]:
    """Rows that nobody else gets for the time of the block."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetch(statement, *arguments)
        yield


async def waits(pool: Pool, outcome: Awaitable[object]) -> "asyncio.Future[object]":
    """Begin it, and come back when it waits for a row."""
    begun = asyncio.ensure_future(outcome)
    while not await pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ):
        assert not begun.done(), "it does not wait"
        await asyncio.sleep(0.005)
    return begun
