"""Months of a user: from the plan's anchor, whatever the length of the months and the plan."""

from datetime import UTC, datetime, timedelta

import pytest

from activities.database.pool import Pool
from activities.ledger.repository import Plan, period_at
from activities.ledger.settings import LedgerSettings
from activities.ledger.usage import assign_plan, usage_of
from tests.activities.ledger.conftest import Bank
from workflows.contracts.failures import RequestRefused


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def period(pool: Pool, anchor: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    plan = Plan("pro", "Pro", 30, 100_000_000, 1.0, anchor)
    async with pool.acquire() as connection:
        return await period_at(connection, "ann", plan, now)


@pytest.mark.parametrize(
    ("anchor", "now", "start", "end"),
    [
        ("2026-01-15T10:30", "2026-03-20", "2026-03-15T10:30", "2026-04-15T10:30"),
        ("2026-01-15T10:30", "2026-03-15T10:30", "2026-03-15T10:30", "2026-04-15T10:30"),
        ("2026-01-15T10:30", "2026-03-15T10:29", "2026-02-15T10:30", "2026-03-15T10:30"),
        # The 31st: the last day where the month is shorter, the 31st again where it is not.
        ("2026-01-31", "2026-02-10", "2026-01-31", "2026-02-28"),
        ("2026-01-31", "2026-02-28", "2026-02-28", "2026-03-31"),
        ("2026-01-31", "2026-04-01", "2026-03-31", "2026-04-30"),
        ("2028-01-31", "2028-02-29", "2028-02-29", "2028-03-31"),
        ("2024-02-29", "2026-02-28", "2026-02-28", "2026-03-29"),
        # Clock changes elsewhere move nothing: periods are in UTC.
        ("2026-03-01", "2026-03-29T01:30", "2026-03-01", "2026-04-01"),
        ("2026-09-25T00:30", "2026-10-25T01:00", "2026-10-25T00:30", "2026-11-25T00:30"),
        ("2026-12-31", "2027-01-01", "2026-12-31", "2027-01-31"),
    ],
)
async def test_a_period_is_the_month_from_the_anchor_that_holds_the_moment(
    database: Pool, anchor: str, now: str, start: str, end: str
) -> None:
    assert await period(database, day(anchor), day(now)) == (day(start), day(end))


async def test_without_a_subscription_the_period_is_the_calendar_month(database: Pool) -> None:
    assert await period(database, None, day("2026-11-22T15:00")) == (
        day("2026-11-01"),
        day("2026-12-01"),
    )


async def test_months_follow_each_other_without_gap_or_overlap(database: Pool) -> None:
    anchor, now = day("2026-01-31T23:59"), day("2026-01-31T23:59")

    for _ in range(15):
        start, end = await period(database, anchor, now)
        assert start <= now < end
        assert await period(database, anchor, end - timedelta(microseconds=1)) == (start, end)
        now = end
        assert (await period(database, anchor, now))[0] == end


async def test_a_period_begins_where_an_earlier_one_of_another_rhythm_ended(
    database: Pool,
) -> None:
    await database.execute(
        "INSERT INTO balances (user_id, period)"
        " VALUES ('ann', '[2026-11-01 00:00 UTC, 2026-12-01 00:00 UTC)')"
    )

    start, end = await period(database, day("2026-11-10"), day("2026-12-05"))

    assert (start, end) == (day("2026-12-01"), day("2026-12-10"))


async def test_an_anchor_in_the_future_begins_now(database: Pool) -> None:
    start, end = await period(database, day("2027-01-01"), day("2026-11-22"))

    assert (start, end) == (day("2026-11-22"), day("2026-12-22"))


async def test_a_plan_change_in_mid_period_keeps_what_was_used_and_changes_the_limit(
    bank: Bank,
) -> None:
    small = Bank(bank.pool, LedgerSettings(default_plan="free"))
    for number in range(2):
        await small.hold(f"gen_{number}")
    with pytest.raises(RequestRefused):
        await small.hold("gen_2")

    async with bank.pool.acquire() as connection:
        await assign_plan(connection, "ann", "basic")
        usage = await usage_of(connection, "ann", small.settings)
    await small.hold("gen_2")

    assert (usage.plan, usage.videos_limit, usage.videos_remaining) == ("basic", 10, 8)
    assert await small.balance() == (3, 0, 1_500_000, 0)
    assert await bank.pool.fetchval("SELECT count(*) FROM balances") == 1


async def test_a_smaller_plan_in_mid_period_takes_nothing_back_but_admits_nothing_more(
    bank: Bank,
) -> None:
    await bank.on_plan(videos=5, usd_micros=None)
    for number in range(3):
        await bank.hold(f"gen_{number}")
    async with bank.pool.acquire() as connection:
        await assign_plan(connection, "ann", "free")

    with pytest.raises(RequestRefused):
        await bank.hold("gen_3")
    await bank.settle("gen_0")

    assert await bank.balance() == (2, 1, 1_000_000, 500_000)


async def test_changing_the_plan_keeps_the_anchor_of_the_months(bank: Bank) -> None:
    await bank.subscribe("basic")
    await bank.pool.execute("UPDATE subscriptions SET anchored_at = '2026-01-31 00:00 UTC'")

    async with bank.pool.acquire() as connection:
        await assign_plan(connection, "ann", "pro")

    row = await bank.pool.fetchrow("SELECT plan, anchored_at FROM subscriptions")
    assert row is not None
    assert tuple(row) == ("pro", day("2026-01-31"))


async def test_an_unknown_plan_is_refused_with_the_plans_there_are(bank: Bank) -> None:
    async with bank.pool.acquire() as connection:
        with pytest.raises(LookupError, match="free, basic, pro, enterprise"):
            await assign_plan(connection, "ann", "platinum")


async def test_a_settlement_belongs_to_the_period_of_its_hold(bank: Bank) -> None:
    await bank.hold("gen_one")
    await bank.pool.execute(
        "UPDATE balances SET period = tstzrange(now() - interval '2 months',"
        " now() - interval '1 month')"
    )
    await bank.pool.execute("UPDATE reservations SET spent_on = spent_on - 45")
    await bank.pool.execute(
        "UPDATE spending SET starts_on = CASE span WHEN 'day' THEN starts_on - 45"
        " ELSE date_trunc('month', (now() AT TIME ZONE 'UTC')::date - 45)::date END"
    )

    await bank.settle("gen_one")
    await bank.hold("gen_two")

    rows = await bank.pool.fetch(
        "SELECT videos_reserved, videos_settled FROM balances ORDER BY period"
    )
    assert [tuple(row) for row in rows] == [(0, 1), (1, 0)]
    assert await bank.unbalanced() == 0


async def test_usage_says_what_is_left_of_an_unopened_period(bank: Bank) -> None:
    async with bank.pool.acquire() as connection:
        usage = await usage_of(connection, "ann", LedgerSettings(default_plan="free"))

    assert (usage.videos_remaining, usage.remaining_usd_micros) == (2, 2_000_000)
    assert usage.period_start.day == usage.period_end.day == 1
    assert await bank.pool.fetchval("SELECT count(*) FROM balances") == 0
