"""What the sweeper leaves to a person, one row a thing, and the record of each sweep.

A row goes when its look was had and did not find it again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from activities.database.pool import Pool
from activities.sweeping.turns import SQL
from workflows.contracts.sweeps import FindingKind, SweepRecord

ROWS_MAX = 200
"""Of one kind: who has more of them needs no longer list."""

SWEEPS_KEPT = timedelta(days=30)


class Found(NamedTuple):
    """One kind: how many, and the one that is known longest."""

    kind: FindingKind
    many: int
    subject: str
    detail: str
    found_at: datetime


class LastSweep(NamedTuple):
    """The sweep that ended last; `age` is by the database's clock."""

    run_id: str
    started_at: datetime
    ended_at: datetime
    repaired: dict[str, int]
    found: dict[str, int]
    failed: dict[str, str]
    age: timedelta


class Findings:
    """The rows. Reading them needs the starter's role only."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def replace(
        self,
        kind: FindingKind,
        found: Mapping[str, str],
        *,
        among: Sequence[str] | None = None,
        keep: timedelta = timedelta(),
    ) -> int:
        """Have the rows of `kind` say what is there now; returns how many were found.

        Args:
            kind: What was looked for, with success.
            found: Subject → what to say of it.
            among: The subjects that were looked at; None = all that there are.
            keep: How long one stays that is not found any more, since only its trace ends.
        """
        subjects = list(found)[:ROWS_MAX]
        details = [found[subject] for subject in subjects]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["upsert_findings"], kind.value, subjects, details)
            looked_at = None if among is None else list(among)
            await connection.execute(SQL["forget_findings"], kind.value, subjects, looked_at, keep)
        return len(found)

    async def forget_deleted_assets(self) -> None:
        """An asset that was deleted has lost nothing."""
        await self._pool.execute(SQL["forget_deleted_assets"])

    async def by_kind(self) -> list[Found]:
        """Every kind that there is something of."""
        rows = await self._pool.fetch(SQL["count_findings"])
        return [
            Found(
                FindingKind(row["kind"]),
                row["many"],
                row["subject"],
                row["detail"],
                row["found_at"],
            )
            for row in rows
        ]

    async def record(self, sweep: SweepRecord) -> bool:
        """Keep the sweep; False where it was kept before."""
        kept = await self._pool.fetchval(
            SQL["record_sweep"],
            sweep.run_id,
            sweep.started_at,
            sweep.repaired,
            sweep.found,
            sweep.failed,
        )
        await self._pool.execute(SQL["forget_sweeps"], SWEEPS_KEPT)
        return kept is not None

    async def last_sweep(self) -> LastSweep | None:
        """The sweep that ended last; None before the first."""
        row = await self._pool.fetchrow(SQL["last_sweep"])
        columns: dict[str, Any] = dict(row) if row is not None else {}
        return LastSweep(**columns) if columns else None
