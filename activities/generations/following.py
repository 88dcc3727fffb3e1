"""What followers are told: events with the progress that each stands for, in few reads for many.

One statement reads what happened to any number of generations. Nothing here waits: `notices` says
when there is something to read.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

from activities.database.pool import Pool, Row
from activities.database.statements import statements
from workflows.contracts.failures import Failure
from workflows.contracts.progress import ProgressFacts
from workflows.contracts.requests import Source
from workflows.contracts.stages import Stage

SQL = statements("activities.generations", "following.sql")


class Told(NamedTuple):
    """One event."""

    event_id: int
    """Counts the events of everybody in the order in which they were written, which is nearly that
    of their commits: steps that are under way at the same time may be committed the other way
    round."""
    user_id: str
    source: Source
    seq: int
    """Counts the events of its generation, from 1 without gaps."""
    facts: ProgressFacts
    """As of the event: its generation, stage and moment, and what progress is estimated from."""


async def told(
    pool: Pool,
    first: Mapping[str, int],
    *,
    generations: Collection[str] = (),
    users: Collection[str] = (),
) -> list[Told]:
    """Events of `first`, each generation from that number on; in the order of their writing.

    Only of `generations` and of what belongs to `users`: what else `first` names is left out.
    """
    if not first:
        return []
    rows = await pool.fetch(
        SQL["told"], list(first), list(first.values()), list(generations), list(users)
    )
    return [_told(row) for row in rows]


async def recent(pool: Pool, users: Collection[str], since: datetime) -> dict[str, int]:
    """By generation, the number to read on from, so that nothing since a moment is left out.

    What has not ended is among them in any case, with its last event at least. Only the newest
    thousand generations of each user are looked at: who was away for so long reads the list.
    """
    rows = await pool.fetch(SQL["recent"], list(users), since)
    return {row["generation_id"]: row["seq"] for row in rows}


async def moment_of(pool: Pool, event_id: int) -> datetime | None:
    """When an event was written; None where there never was one as old."""
    return await pool.fetchval(SQL["moment"], event_id)


def _told(row: Row) -> Told:
    facts = ProgressFacts(
        generation_id=row["generation_id"],
        stage=Stage(row["stage"]),
        since=row["at"],
        started_at=row["created_at"],
        expected_s=row["expected_s"],
        generating_since=row["generating_since"],
        downloading_since=row["downloading_since"],
        failure=Failure.model_validate(row["failure"]) if row["failure"] else None,
    )
    return Told(row["event_id"], row["user_id"], Source(row["source"]), row["seq"], facts)
