"""A user's rows: what they lead to, and the one transaction that erases them."""

import base64
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from activities.access import repository as access
from activities.database.pool import Connection, Pool
from activities.database.statements import statements
from activities.generations.repository import user_hash
from workflows.contracts.batch_results import BatchState
from workflows.contracts.stages import TERMINAL, Stage

SQL = statements("activities.erasing", "queries.sql")

PSEUDONYM_PREFIX = "erased_"
_OPEN_BATCH = frozenset({BatchState.ACCEPTED, BatchState.RUNNING})


class StillRunning(Exception):
    """Generations or batches of the user go on, and may still be paid for. Cancel them first."""

    def __init__(self, generations: Sequence[str], batches: Sequence[str]) -> None:
        super().__init__("something of the user goes on")
        self.generations = tuple(generations)
        self.batches = tuple(batches)


class ErasedInPart(StillRunning):
    """The same, of what began after a part was erased: what had ended is erased already."""


class Prediction(NamedTuple):
    """A job of the user at the provider."""

    prediction_id: str
    base_url: str
    known_at: datetime
    """When it was there: accepted, or, of a stray, found."""


class Belongings(NamedTuple):
    """What rows of a user lead to."""

    owner: str
    """The user's keyed hash, in the keys of their files."""
    runs: Mapping[str, tuple[str, ...]]
    """Generation id → the workflow runs that are on record."""
    batches: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    files: frozenset[str]
    in_doubt: int
    """Submissions of which nobody knows whether the provider took them."""


class Uncovered(Exception):
    """Something came up since the belongings were read: they have to be read again."""


async def require_owner(pool: Pool) -> None:
    """Make sure that this database user may erase.

    Raises:
        asyncpg.InsufficientPrivilegeError: it may not.
    """
    await pool.execute(SQL["require_owner"])


async def belongings_of(pool: Pool, user_id: str) -> Belongings:
    """What is there to be erased.

    Raises:
        StillRunning: not yet.
    """
    async with pool.acquire() as connection:
        owner = await user_hash(connection, user_id)
        rows = await connection.fetch(SQL["generations"], user_id)
        batches = await connection.fetch(SQL["batches"], user_id)
        predictions = await connection.fetch(SQL["predictions"], user_id)
        files = await connection.fetch(SQL["files"], user_id)
    running = [row["generation_id"] for row in rows if Stage(row["stage"]) not in TERMINAL]
    going_on = [row["batch_id"] for row in batches if BatchState(row["state"]) in _OPEN_BATCH]
    if running or going_on:
        raise StillRunning(running, going_on)
    return Belongings(
        owner=owner,
        runs={row["generation_id"]: tuple(row["runs"]) for row in rows},
        batches=tuple(row["batch_id"] for row in batches),
        predictions=tuple(
            Prediction(row["prediction_id"], row["base_url"], row["known_at"])
            for row in predictions
        ),
        files=frozenset(row["key"] for row in files if row["key"] is not None),
        in_doubt=sum(row["in_doubt"] for row in rows),
    )


async def erase_rows(
    pool: Pool, user_id: str, covered: Belongings, counts: Mapping[str, int]
) -> tuple[str, dict[str, int]] | None:
    """Erase every row of a user, or what in it is theirs, in one transaction.

    Args:
        pool: As the owner of the schema.
        user_id: Whose.
        covered: What was erased elsewhere before: no row that leads to more may go.
        counts: How much that was.

    Returns:
        The pseudonym that stands for them now, and all counts; None where nothing is known of them.

    Raises:
        Uncovered: there is more by now.
    """
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval(SQL["is_known"], user_id):
            return None
        await _require_covered(connection, user_id, covered)
        pseudonym = PSEUDONYM_PREFIX + base64.b32encode(os.urandom(16)).decode().lower().rstrip("=")
        ids = list(covered.runs)
        await connection.execute(SQL["begin_erasing"])
        for name in ("blank_events", "blank_submissions", "blank_attempts", "forget_callbacks"):
            await connection.execute(SQL[name], ids)
        await connection.execute(SQL["forget_findings"], user_id)
        told = dict(counts) | {
            "generations": len(ids),
            "batches": len(covered.batches),
            "assets": _count(await connection.execute(SQL["forget_assets"], user_id)),
            "inputs": _count(await connection.execute(SQL["forget_media"], user_id)),
            "plans": _count(await connection.execute(SQL["forget_plan"], user_id)),
            "keys": await access.forget(connection, user_id),
        }
        await connection.execute(SQL["forget_notes"], covered.owner)
        batches = list(covered.batches)
        await connection.execute(SQL["blank_items"], batches)
        await connection.execute(SQL["blank_batches"], batches, pseudonym)
        owner = await user_hash(connection, pseudonym)
        await connection.execute(SQL["blank_generations"], ids, pseudonym, owner)
        await connection.execute(SQL["rename_balances"], user_id, pseudonym)
        await connection.execute(SQL["record"], pseudonym, told)
    return pseudonym, told


async def _require_covered(connection: Connection, user_id: str, covered: Belongings) -> None:
    """Hold the rows that lead elsewhere, and raise Uncovered where there are others by now.

    Batches first, as everybody who locks a batch and its generations does.
    """
    batches = await connection.fetch(SQL["lock_batches"], user_id)
    generations = await connection.fetch(SQL["lock_generations"], user_id)
    files = await connection.fetch(SQL["lock_files"], user_id)
    if (
        {row["generation_id"] for row in generations} != set(covered.runs)
        or {row["batch_id"] for row in batches} != set(covered.batches)
        or not covered.files.issuperset(row["key"] for row in files)
        or any(Stage(row["stage"]) not in TERMINAL for row in generations)
        or any(BatchState(row["state"]) in _OPEN_BATCH for row in batches)
    ):
        raise Uncovered


def _count(status: str) -> int:
    """How many rows a statement changed, by its command tag, such as `DELETE 3`."""
    return int(status.rpartition(" ")[2])
