"""The guards that keep the money, each of which can be taken out to see that a run notices.

Only the processes of `broken_worker` and `second_hand` do so; the code under test has no switch.
"""

from enum import StrEnum
from typing import Any, cast

import asyncpg

from activities.ledger import repository as money
from activities.provider import submissions


class Guard(StrEnum):
    """What is taken out."""

    SENDING = "sending"
    """The row says SENDING before the POST: it says so only with the outcome."""
    LOCK = "lock"
    """One sender or reconciler at a time: everyone obtains the lock."""
    SEND_BY = "send_by"
    """The send window: its clock stands still, so it never closes."""
    TOMBSTONE = "tombstone"
    """A release before the reserve leaves nothing behind."""
    SETTLEMENT = "settlement"
    """A hold ends once: neither its state nor an index says that it has ended."""


async def take_out(guard: Guard | None, database_url: str) -> None:
    """Take a guard out of this process, and `settlement` out of the database as well.

    The send window's is the clock that the worker is given: see `broken_worker`.
    """
    match guard:
        case Guard.SENDING:
            _replace(submissions.SQL, "sending", "state = 'sending'", "state = 'prepared'")
        case Guard.LOCK:
            _replace(submissions.SQL, "try_lock", "pg_try_advisory_lock(", "TRUE OR 0 = (")
        case Guard.TOMBSTONE:
            told = cast(dict[str, str], money.SQL)
            assert "INSERT INTO reservations" in told["insert_tombstone"]
            told["insert_tombstone"] = "SELECT $1::text"
        case Guard.SETTLEMENT:
            await _settle_again_and_again(database_url)
        case Guard.SEND_BY | None:
            pass


def _replace(statements: Any, name: str, guard: str, nothing: str) -> None:
    assert guard in statements[name], f"the guard of {name} is where it was"
    statements[name] = statements[name].replace(guard, nothing)


async def _settle_again_and_again(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("DROP INDEX IF EXISTS ledger_one_end, ledger_one_house")
    finally:
        await connection.close()
    settle = money.settle

    async def reopen_and_settle(
        connection: Any, generation_id: str, *args: Any, **more: Any
    ) -> int:
        await connection.execute(
            "UPDATE reservations SET state = 'reserved', closed_at = NULL WHERE generation_id = $1",
            generation_id,
        )
        return await settle(connection, generation_id, *args, **more)

    setattr(money, "settle", reopen_and_settle)  # noqa: B010 - not a member that others replace
