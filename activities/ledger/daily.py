"""What a user's videos cost day by day, for plots; from the ledger, as everything about money."""

from datetime import UTC, date, datetime, timedelta

from activities.database.pool import Pool
from activities.database.statements import statements
from activities.ledger.usage import Share

SQL = statements("activities.ledger", "daily.sql")

DAYS = 30
"""As many as a month has, whenever the user's period began."""


class DaySpend(Share):
    """What one model's videos for one product cost on one day."""

    day: date
    """When they were asked for, in UTC. What is booked or corrected later belongs to it, too."""


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
