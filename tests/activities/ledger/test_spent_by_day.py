"""What a user's videos cost day by day: the ledger's own numbers, on the day of the asking."""

from datetime import UTC, datetime, timedelta
from typing import Any

from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.daily import DaySpend, first_day, spent_by_day
from tests.activities.conftest import WAN, a_request
from tests.activities.ledger.conftest import Bank


async def made(bank: Bank, generation_id: str, **asked: Any) -> None:
    """A generation that was reserved for $0.50."""
    async with bank.pool.acquire() as connection, connection.transaction():
        request = a_request(**{"model": WAN, **asked})
        await generations.claim(connection, generation_id, request)
        await money.hold(connection, generation_id, request.user_id, 500_000, bank.settings)


async def asked_for(bank: Bank, generation_id: str, days_ago: int) -> None:
    """Let a generation have been asked for on an earlier day, in the period of then."""
    await bank.pool.execute(
        "WITH moved AS (UPDATE reservations SET spent_on = spent_on - $2::integer"
        " WHERE generation_id = $1 RETURNING spent_on)"
        " UPDATE spending SET starts_on = moved.spent_on FROM moved WHERE span = 'day'",
        generation_id,
        days_ago,
    )


async def test_each_day_has_what_its_videos_cost_by_model_and_product(bank: Bank) -> None:
    await made(bank, "gen_today", source="video_studio")
    await bank.settle("gen_today", 300_000)
    await made(bank, "gen_held", source="video_studio")
    await made(bank, "gen_early")
    await bank.settle("gen_early", 500_000)
    await asked_for(bank, "gen_early", 3)
    await made(bank, "gen_bobs", user_id="bob")

    days = await spent_by_day(bank.pool, "ann")

    today = datetime.now(UTC).date()
    assert days == [
        DaySpend(
            day=today - timedelta(days=3),
            model=WAN,
            source="api",
            videos_reserved=0,
            videos_settled=1,
            reserved_usd_micros=0,
            settled_usd_micros=500_000,
        ),
        DaySpend(
            day=today,
            model=WAN,
            source="video_studio",
            videos_reserved=1,
            videos_settled=1,
            reserved_usd_micros=500_000,
            settled_usd_micros=300_000,
        ),
    ]


async def test_what_was_given_back_and_what_the_house_pays_leaves_nothing(bank: Bank) -> None:
    await made(bank, "gen_released")
    await bank.release("gen_released")
    await made(bank, "gen_lost")
    await bank.release("gen_lost", house_usd_micros=500_000)

    assert await spent_by_day(bank.pool, "ann") == []


async def test_a_correction_belongs_to_the_day_of_the_asking(bank: Bank) -> None:
    await made(bank, "gen_early")
    await bank.settle("gen_early", 500_000)
    await asked_for(bank, "gen_early", 2)
    async with bank.pool.acquire() as connection, connection.transaction():
        held = await money.reservation_of(connection, "gen_early")
        assert held is not None
        await money.correct(connection, held, user_usd_micros=-100_000)

    (day,) = await spent_by_day(bank.pool, "ann")

    assert (day.day, day.settled_usd_micros) == (
        datetime.now(UTC).date() - timedelta(days=2),
        400_000,
    )


async def test_days_before_the_first_one_are_left_out(bank: Bank) -> None:
    await made(bank, "gen_early")
    await bank.settle("gen_early", 500_000)
    await asked_for(bank, "gen_early", 2)

    assert await spent_by_day(bank.pool, "ann", days=2) == []
    assert len(await spent_by_day(bank.pool, "ann", days=3)) == 1


def test_the_days_end_with_the_present_one() -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)

    assert (first_day(1, noon).isoformat(), first_day(30, noon).isoformat()) == (
        "2026-11-23",
        "2026-10-25",
    )
