"""Where a look that takes things in slices, or span by span, goes on next time."""

from datetime import datetime

from activities.database.pool import Pool
from activities.database.statements import statements

SQL = statements("activities.sweeping", "queries.sql")


class Turns:
    """Places of the looks, kept in the database: any worker may have the next turn."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def place(self, look: str) -> str:
        """Where `look` stopped; empty at the beginning."""
        return await self._pool.fetchval(SQL["place"], look) or ""

    async def leave(self, look: str, place: str) -> None:
        """Have `look` go on at `place`."""
        await self._pool.execute(SQL["leave"], look, place)

    async def time(self, look: str) -> datetime | None:
        """Up to when `look` has looked; None where it never has."""
        place = await self.place(look)
        return datetime.fromisoformat(place) if place else None

    async def leave_time(self, look: str, at: datetime) -> None:
        """`look` has seen everything up to `at`."""
        await self.leave(look, at.isoformat())
