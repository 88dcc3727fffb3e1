"""What a user's videos cost day by day, for plots; from the ledger, as everything about money."""

from datetime import UTC, date, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from activities.database.pool import Pool
from activities.database.statements import statements

SQL = statements("activities.ledger", "daily.sql")

DAYS = 30
"""As many as a month has, whenever the user's period began."""


class DaySpend(BaseModel):
    """What one model's videos for one product cost on one day."""

    model_config = ConfigDict(frozen=True)

    day: date
    """When they were asked for, in UTC. What is booked or corrected later belongs to it, too."""
    model: str
    source: str
    videos_reserved: int
    videos_settled: int
    reserved_usd_micros: int
    settled_usd_micros: int


def first_day(days: int, now: datetime) -> date:
    """The first of so many days, of which the last one is that of `now`."""
    return now.astimezone(UTC).date() - timedelta(days=days - 1)


async def spent_by_day(pool: Pool, user_id: str, *, days: int = DAYS) -> list[DaySpend]:
    """What a user's videos cost on each of the last days; days without any are left out.

    Args:
        pool: The database.
        user_id: Whose.
        days: How many, today's among them.
    """
    rows = await pool.fetch(SQL["daily"], user_id, first_day(days, datetime.now(UTC)))
    return [DaySpend(**row) for row in rows]
