"""Which tables PostgreSQL reads whole, by the very plans that it executes for the clients.

`auto_explain` writes the plan of each statement into the server's log. An EXPLAIN of our own would
plan another time, with other values at hand, and not see what a trigger or a foreign key does.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import asyncpg

CALLS = 12
"""For each user: more than the five after which a prepared statement may change its plan."""

GROWING = {
    *(
        "generations",
        "events",
        "submissions",
        "submission_attempts",
        "media",
        "assets",
        "callbacks",
    ),
    *("reservations", "ledger", "bills", "balances", "subscriptions", "batches", "batch_items"),
}
"""The others have a row per plan, day, setting or account."""

_SETTINGS = (
    "session_preload_libraries = 'auto_explain'",
    "auto_explain.log_min_duration = 0",
    "auto_explain.log_nested_statements = on",
)
_WHOLE = re.compile(r"Seq Scan on (\w+)")
_PLAN = re.compile(r"^\s*Query Text:", re.MULTILINE)


class Seen(NamedTuple):
    """What the log tells of one act."""

    plans: int
    tables: tuple[str, ...]
    """Growing ones that were read whole."""


class NoPlans(RuntimeError):
    """The log holds no plan of an act that was done: nothing would be proven by it."""


async def log_plans(dsn: str) -> None:
    """From the next connection on, each statement's plan goes to the log."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("LOAD 'auto_explain'")
        database = await connection.fetchval("SELECT current_database()")
        for setting in _SETTINGS:
            await connection.execute(f'ALTER DATABASE "{database}" SET {setting}')
    finally:
        await connection.close()


async def whole_reads(
    log: Path, act: Callable[[str], Awaitable[object]], users: Sequence[str]
) -> Seen:
    """Do the act for each of the users, and read what was executed.

    Raises:
        NoPlans: the log tells of none.
    """
    before = await asyncio.to_thread(log.read_bytes)
    for _ in range(CALLS):
        for user in users:
            await act(user)
    after = await asyncio.to_thread(log.read_bytes)
    text = after[len(before) :].decode(errors="replace")
    plans = len(_PLAN.findall(text))
    if plans == 0:
        raise NoPlans("the server's log holds no plan")
    return Seen(plans, tuple(sorted(set(_WHOLE.findall(text)) & GROWING)))
