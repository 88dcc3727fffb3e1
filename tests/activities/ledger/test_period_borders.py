"""Around midnight and the end of a month: each hold belongs to the moment of its transaction."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from activities.database.pool import Pool, connect
from activities.ledger import repository as money
from activities.ledger.settings import LedgerSettings
from activities.ledger.usage import assign_plan
from tests.activities.conftest import settings_for_database
from tests.activities.ledger.clocks import set_clock, set_up_clock
from tests.activities.ledger.conftest import Bank
from tests.activities.ledger.locks import waits
from workflows.contracts.failures import FailureKind, RequestRefused


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


LAST_MOMENT = at("2026-11-30T23:59:59.999999")
MIDNIGHT = at("2026-12-01")
OVERLAPPING = "INSERT INTO balances (user_id, period) VALUES ('ann', tstzrange($1, $2, '[)'))"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Pool]:
    """Its clock is ours."""
    async with connect(settings_for_database(database_url, connections_max=1)) as first:
        await set_up_clock(first)
    async with connect(settings_for_database(database_url)) as pool:
        yield pool


async def periods(bank: Bank) -> list[tuple[date, date, int]]:
    """Each period of ann's, and the videos that are reserved or settled in it."""
    rows = await bank.pool.fetch(
        "SELECT lower(period)::date, upper(period)::date, videos_reserved + videos_settled"
        " FROM balances WHERE user_id = 'ann' ORDER BY period"
    )
    return [tuple(row) for row in rows]


async def spending(bank: Bank) -> dict[tuple[str, date], tuple[int, int]]:
    rows = await bank.pool.fetch("SELECT * FROM spending")
    return {(row["span"], row["starts_on"]): tuple(row)[2:] for row in rows}


async def test_a_hold_before_midnight_and_one_at_midnight_belong_to_two_months(bank: Bank) -> None:
    await set_clock(bank.pool, LAST_MOMENT)
    await bank.hold("gen_old", 5)
    await set_clock(bank.pool, MIDNIGHT)
    await bank.hold("gen_new", 7)

    assert await periods(bank) == [
        (date(2026, 11, 1), date(2026, 12, 1), 1),
        (date(2026, 12, 1), date(2027, 1, 1), 1),
    ]
    assert await spending(bank) == {
        ("day", date(2026, 11, 30)): (5, 0),
        ("month", date(2026, 11, 1)): (5, 0),
        ("day", date(2026, 12, 1)): (7, 0),
        ("month", date(2026, 12, 1)): (7, 0),
    }


async def test_what_is_booked_after_midnight_belongs_to_the_day_of_its_hold(bank: Bank) -> None:
    await set_clock(bank.pool, LAST_MOMENT)
    for name in ("gen_settled", "gen_lost", "gen_corrected"):
        await bank.hold(name, 5)
    await set_clock(bank.pool, MIDNIGHT)

    await bank.settle("gen_settled", 5)
    await bank.release("gen_lost", house_usd_micros=4)
    await bank.settle("gen_corrected", 5)
    async with bank.pool.acquire() as connection, connection.transaction():
        held = await money.reservation_of(connection, "gen_corrected")
        assert held is not None
        await money.correct(connection, held, user_usd_micros=-3)

    assert await periods(bank) == [(date(2026, 11, 1), date(2026, 12, 1), 2)]
    assert await spending(bank) == {
        ("day", date(2026, 11, 30)): (0, 11),
        ("month", date(2026, 11, 1)): (0, 11),
    }
    assert await bank.unbalanced() == 0
    assert await bank.pool.fetch(money.SQL["unbalanced_spending"]) == []


async def test_a_quota_that_is_used_up_is_whole_again_when_the_period_ends(bank: Bank) -> None:
    await set_clock(bank.pool, LAST_MOMENT)
    free = replace(bank, settings=LedgerSettings(default_plan="free"))
    await free.hold("gen_one")
    await free.hold("gen_two")
    with pytest.raises(RequestRefused, match=r"the period ends 2026-12-01 00:00 UTC\.$"):
        await free.hold("gen_three")

    await set_clock(bank.pool, MIDNIGHT)
    await free.hold("gen_three")

    assert [videos for _, _, videos in await periods(bank)] == [2, 1]


async def test_a_cap_for_the_day_ends_at_midnight_and_one_for_the_month_does_not(
    bank: Bank,
) -> None:
    caps = LedgerSettings(
        default_plan="enterprise",
        spend_limit_usd_day=Decimal("0.000005"),
        spend_limit_usd_month=Decimal("0.000012"),
    )
    capped = replace(bank, settings=caps)
    await set_clock(bank.pool, at("2026-11-10T23:59:59"))
    await capped.hold("gen_one", 5)
    with pytest.raises(RequestRefused, match="for this day") as refused:
        await capped.hold("gen_two", 1)

    await set_clock(bank.pool, at("2026-11-11"))
    await capped.hold("gen_two", 5)
    await set_clock(bank.pool, at("2026-11-12"))
    await capped.hold("gen_three", 2)
    with pytest.raises(RequestRefused, match="for this month"):
        await capped.hold("gen_four", 1)

    assert refused.value.failure.kind is FailureKind.SPEND_LIMIT_REACHED


async def test_many_first_holds_at_once_open_one_period(bank: Bank) -> None:
    await set_clock(bank.pool, MIDNIGHT)

    await asyncio.gather(*(bank.hold(f"gen_{number}") for number in range(8)))

    assert await periods(bank) == [(date(2026, 12, 1), date(2027, 1, 1), 8)]


async def test_a_first_hold_waits_for_another_period_and_begins_its_own_where_that_ends(
    bank: Bank,
) -> None:
    await set_clock(bank.pool, MIDNIGHT)
    await bank.subscribe("pro")
    await bank.pool.execute("UPDATE subscriptions SET anchored_at = '2026-11-22 00:00 UTC'")

    # A transaction of the last moment, when the calendar still was the user's rhythm.
    async with bank.pool.acquire() as connection, connection.transaction():
        await connection.execute(OVERLAPPING, at("2026-11-01"), MIDNIGHT)
        hold = await waits(bank.pool, bank.hold("gen_one"))
    await hold

    assert await periods(bank) == [
        (date(2026, 11, 1), date(2026, 12, 1), 0),
        (date(2026, 12, 1), date(2026, 12, 22), 1),
    ]


async def test_a_hold_whose_clock_is_behind_ends_its_period_where_the_next_has_begun(
    bank: Bank,
) -> None:
    await set_clock(bank.pool, LAST_MOMENT)
    await bank.pool.execute(OVERLAPPING, at("2026-12-01"), at("2027-01-01"))
    await bank.subscribe("pro")
    await bank.pool.execute("UPDATE subscriptions SET anchored_at = '2026-11-22 00:00 UTC'")

    await bank.hold("gen_one")

    assert await periods(bank) == [
        (date(2026, 11, 22), date(2026, 12, 1), 1),
        (date(2026, 12, 1), date(2027, 1, 1), 0),
    ]


async def test_a_first_plan_in_mid_period_changes_its_limits_and_not_its_end(bank: Bank) -> None:
    free = replace(bank, settings=LedgerSettings(default_plan="free"))
    await set_clock(bank.pool, at("2026-11-20"))
    await free.hold("gen_one")
    async with bank.pool.acquire() as connection:
        await assign_plan(connection, "ann", "basic")
    await bank.pool.execute("UPDATE subscriptions SET anchored_at = '2026-11-21 00:00 UTC'")

    await set_clock(bank.pool, at("2026-11-30"))
    await free.hold("gen_two")
    await free.hold("gen_three")
    await set_clock(bank.pool, MIDNIGHT)
    await free.hold("gen_four")
    await set_clock(bank.pool, at("2026-12-21"))
    await free.hold("gen_five")

    assert await periods(bank) == [
        (date(2026, 11, 1), date(2026, 12, 1), 3),
        (date(2026, 12, 1), date(2026, 12, 21), 1),
        (date(2026, 12, 21), date(2027, 1, 21), 1),
    ]
