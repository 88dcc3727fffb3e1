"""No hold passes the limit that is in force when it takes, whoever changes it meanwhile."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from activities.database.pool import connect
from activities.ledger import repository as money
from activities.ledger.settings import LedgerSettings
from activities.ledger.usage import assign_plan
from tests.activities.conftest import settings_for_database
from tests.activities.ledger.conftest import Bank
from tests.activities.ledger.locks import locked, waits
from workflows.contracts.failures import FailureKind, RequestRefused

BALANCES = "SELECT FROM balances FOR NO KEY UPDATE"
"""As strong as the lock of a hold. A stronger one would stop it where it makes its reservation."""

MONTH_AND_DAY = """
INSERT INTO spending (span, starts_on)
SELECT span, date_trunc(span, now() AT TIME ZONE 'UTC')::date
FROM unnest(ARRAY['month', 'day']) AS span
"""

LOWER = "UPDATE plans SET videos_limit = 1 WHERE plan = 'mine'"
LOWER_COST = "UPDATE plans SET cost_limit_usd_micros = 600000 WHERE plan = 'mine'"
RAISE = "UPDATE plans SET videos_limit = 5 WHERE plan = 'mine'"
DOWNGRADE = "UPDATE subscriptions SET plan = 'smaller' WHERE user_id = 'ann'"
LEAVE = "DELETE FROM subscriptions WHERE user_id = 'ann'"


@pytest.mark.parametrize(
    "change", [LOWER, LOWER_COST, DOWNGRADE], ids=["videos", "cost", "another plan"]
)
async def test_a_limit_that_is_lowered_while_a_hold_waits_stops_it(bank: Bank, change: str) -> None:
    await bank.on_plan(videos=5, usd_micros=None)
    await bank.plan("smaller", videos=1, usd_micros=None)
    await bank.hold("gen_one")

    async with locked(bank.pool, BALANCES):
        second = await waits(bank.pool, bank.hold("gen_two"))
        await bank.pool.execute(change)
    with pytest.raises(RequestRefused) as refused:
        await second

    assert refused.value.failure.kind is FailureKind.QUOTA_EXCEEDED
    assert await bank.balance() == (1, 0, 500_000, 0)
    assert await bank.spending() == {"day": (500_000, 0), "month": (500_000, 0)}


async def test_a_limit_that_is_raised_while_a_hold_waits_lets_it_through(bank: Bank) -> None:
    await bank.on_plan(videos=1, usd_micros=None)
    await bank.hold("gen_one")

    async with locked(bank.pool, BALANCES):
        second = await waits(bank.pool, bank.hold("gen_two"))
        await bank.pool.execute(RAISE)
    await second

    assert await bank.balance() == (2, 0, 1_000_000, 0)


async def test_a_plan_that_ends_while_a_hold_waits_stops_it(bank: Bank) -> None:
    await bank.on_plan(videos=5, usd_micros=None)
    strict = replace(bank, settings=LedgerSettings(default_plan="none"))
    await strict.hold("gen_one")

    async with locked(bank.pool, BALANCES):
        second = await waits(bank.pool, strict.hold("gen_two"))
        await bank.pool.execute(LEAVE)
    with pytest.raises(RequestRefused) as refused:
        await second

    assert refused.value.failure.kind is FailureKind.NO_PLAN


async def test_a_batch_that_waits_while_its_limit_is_lowered_holds_nothing(bank: Bank) -> None:
    await bank.on_plan(videos=5, usd_micros=None)
    await bank.hold("gen_one", 1)
    await bank.release("gen_one")

    async def batch() -> None:
        async with bank.pool.acquire() as connection, connection.transaction():
            for number in range(3):
                await money.hold(connection, f"gen_of_{number}", "ann", 1, bank.settings)

    async with locked(bank.pool, BALANCES):
        waiting = await waits(bank.pool, batch())
        await bank.pool.execute("UPDATE plans SET videos_limit = 2 WHERE plan = 'mine'")
    with pytest.raises(RequestRefused, match=r"^videos: 2 of the 2 of plan Mine"):
        await waiting

    assert await bank.balance() == (0, 0, 0, 0)
    assert await bank.entries("gen_of_0") == []


async def test_each_process_keeps_to_its_own_cap(database_url: str, bank: Bank) -> None:
    low, high = Decimal("0.000007"), Decimal("0.000011")
    async with connect(settings_for_database(database_url, connections_max=20)) as wide:
        processes = [
            Bank(wide, LedgerSettings(default_plan="enterprise", spend_limit_usd_day=cap))
            for cap in (low, high)
        ]

        outcomes = await asyncio.gather(
            *(processes[n % 2].hold(f"gen_{n}", 1, f"user-{n}") for n in range(30)),
            return_exceptions=True,
        )

    # The rows of spending are held until the commit, so entries stand in the order of the holds.
    rows = await bank.pool.fetch("SELECT generation_id FROM ledger ORDER BY entry_id")
    order = [int(row[0].removeprefix("gen_")) for row in rows]
    taken_by_low = [place for place, number in enumerate(order, start=1) if number % 2 == 0]
    assert sorted(order) == [n for n, outcome in enumerate(outcomes) if outcome is None]
    assert len(order) == 11
    assert max(taken_by_low, default=0) <= 7


@pytest.mark.parametrize(
    ("videos", "usd_micros", "told"),
    [(0, None, "videos: 0 of the 0 of plan Mine"), (None, 1, "cost: $0.50 more than the $0.00")],
)
async def test_where_plan_and_cap_both_stop_a_hold_the_plan_is_told(
    bank: Bank, videos: int | None, usd_micros: int | None, told: str
) -> None:
    await bank.on_plan(videos, usd_micros)
    closed = replace(bank, settings=LedgerSettings(spend_limit_usd_day=Decimal(0)))

    with pytest.raises(RequestRefused) as refused:
        await closed.hold("gen_one")

    assert refused.value.failure.message.startswith(told)


async def test_a_settlement_locks_the_day_before_the_month_as_a_hold_does(bank: Bank) -> None:
    # In table and index the day stands behind the month, where a plain update would find it last.
    await bank.pool.execute(MONTH_AND_DAY)
    await bank.hold("gen_one")
    await bank.pool.execute("UPDATE spending SET settled_usd_micros = 0 WHERE span = 'day'")

    async with locked(bank.pool, "SELECT FROM spending WHERE span = 'day' FOR UPDATE"):
        settlement = await waits(bank.pool, bank.settle("gen_one"))
        month = "SELECT FROM spending WHERE span = 'month' FOR UPDATE NOWAIT"
        async with locked(bank.pool, month):
            pass
    await settlement

    assert await bank.spending() == {"day": (0, 500_000), "month": (0, 500_000)}


async def test_a_hold_that_waits_does_not_keep_a_balance_from_whom_it_waits_for(
    bank: Bank,
) -> None:
    await bank.hold("gen_one")
    balance_id = await bank.pool.fetchval("SELECT balance_id FROM balances")

    async with locked(bank.pool, "SELECT FROM spending WHERE span = 'day' FOR UPDATE"):
        second = await waits(bank.pool, bank.hold("gen_two"))
        # Whoever has spending's rows comes to the balance's next.
        at_once = money.SQL["lock_balance"].removesuffix(";") + " NOWAIT"
        async with locked(bank.pool, at_once, balance_id):
            pass
    await second

    assert await bank.balance() == (2, 0, 1_000_000, 0)


async def test_many_holds_and_ends_at_once_wait_for_each_other_in_one_order(
    database_url: str, bank: Bank
) -> None:
    async with connect(settings_for_database(database_url, connections_max=20)) as wide:
        many = Bank(wide, bank.settings)
        await asyncio.gather(*(many.hold(f"gen_{n}", 7, f"user-{n % 3}") for n in range(30)))

        await asyncio.gather(
            *(many.settle(f"gen_{n}", 5) for n in range(0, 30, 3)),
            *(many.release(f"gen_{n}", house_usd_micros=2) for n in range(1, 30, 3)),
            *(many.hold(f"gen_later_{n}", 7, f"user-{n % 3}") for n in range(30)),
        )

    assert await bank.spending() == {"day": (40 * 7, 70), "month": (40 * 7, 70)}
    assert await bank.unbalanced() == 0
    assert await bank.pool.fetch(money.SQL["unbalanced_spending"]) == []


async def test_below_what_is_used_nothing_is_granted_and_everything_is_booked(bank: Bank) -> None:
    await bank.on_plan(videos=5, usd_micros=5_000_000)
    await bank.plan("smaller", videos=1, usd_micros=100_000)
    for number in range(3):
        await bank.hold(f"gen_{number}")
    async with bank.pool.acquire() as connection:
        await assign_plan(connection, "ann", "smaller")

    await bank.settle("gen_0")
    await bank.settle("gen_1", 200_000)
    await bank.release("gen_2")
    with pytest.raises(RequestRefused, match=r"^videos: 2 of the 1 of plan Smaller"):
        await bank.hold("gen_3", 0)

    assert await bank.balance() == (0, 2, 0, 700_000)
    assert await bank.unbalanced() == 0
