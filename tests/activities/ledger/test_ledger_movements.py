"""Holds, settlements and releases: each once, however often it is asked for."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from activities.database.pool import Pool, connect
from activities.ledger.settings import LedgerSettings
from tests.activities.conftest import settings_for_database
from tests.activities.ledger.conftest import Bank
from workflows.contracts.failures import FailureKind, RequestRefused


async def test_a_hold_takes_one_video_and_its_cost(bank: Bank) -> None:
    await bank.hold("gen_one", 500_000)

    assert await bank.balance() == (1, 0, 500_000, 0)
    assert await bank.spending() == {"day": (500_000, 0), "month": (500_000, 0)}
    assert await bank.entries("gen_one") == [("user", "reserve", 0)]


async def test_a_second_hold_of_the_same_generation_holds_nothing_more(bank: Bank) -> None:
    await bank.hold("gen_one")

    await bank.hold("gen_one")

    assert await bank.balance() == (1, 0, 500_000, 0)
    assert await bank.spending() == {"day": (500_000, 0), "month": (500_000, 0)}


async def test_two_holds_of_one_generation_at_once_hold_it_once(bank: Bank) -> None:
    await asyncio.gather(*(bank.hold("gen_one") for _ in range(6)))

    assert await bank.balance() == (1, 0, 500_000, 0)
    assert await bank.unbalanced() == 0


async def test_a_settlement_books_the_user_once(bank: Bank) -> None:
    await bank.hold("gen_one")

    booked = [await bank.settle("gen_one"), await bank.settle("gen_one")]

    assert booked == [500_000, 500_000]
    assert await bank.balance() == (0, 1, 0, 500_000)
    assert await bank.spending() == {"day": (0, 500_000), "month": (0, 500_000)}


async def test_a_settlement_below_the_hold_gives_the_rest_back(bank: Bank) -> None:
    await bank.hold("gen_one", 500_000)

    assert await bank.settle("gen_one", 300_000) == 300_000

    assert await bank.balance() == (0, 1, 0, 300_000)


async def test_settlements_at_once_book_once(bank: Bank) -> None:
    await bank.hold("gen_one")

    booked = await asyncio.gather(*(bank.settle("gen_one") for _ in range(6)))

    assert booked == [500_000] * 6
    assert await bank.balance() == (0, 1, 0, 500_000)


async def test_a_provisional_settlement_is_marked(bank: Bank) -> None:
    await bank.hold("gen_one")

    await bank.settle("gen_one", provisional=True)

    marked = await bank.pool.fetchval("SELECT provisional FROM ledger WHERE kind = 'settle'")
    assert marked is True


async def test_a_release_gives_the_hold_back_once(bank: Bank) -> None:
    await bank.hold("gen_one")

    given_back = [await bank.release("gen_one"), await bank.release("gen_one")]

    assert given_back == [500_000, 0]
    assert await bank.balance() == (0, 0, 0, 0)
    assert await bank.spending() == {"day": (0, 0), "month": (0, 0)}


async def test_what_was_settled_is_not_released(bank: Bank) -> None:
    await bank.hold("gen_one")
    await bank.settle("gen_one")

    assert await bank.release("gen_one") == 0

    assert await bank.balance() == (0, 1, 0, 500_000)


async def test_what_was_released_is_not_settled(bank: Bank) -> None:
    await bank.hold("gen_one")
    await bank.release("gen_one")

    assert await bank.settle("gen_one") == 0

    assert await bank.balance() == (0, 0, 0, 0)


async def test_a_settlement_and_a_release_at_once_end_the_hold_once(bank: Bank) -> None:
    await bank.hold("gen_one")

    await asyncio.gather(bank.settle("gen_one"), bank.release("gen_one"))

    assert await bank.balance() in {(0, 1, 0, 500_000), (0, 0, 0, 0)}
    assert len(await bank.entries("gen_one")) == 2


async def test_a_release_before_the_hold_refuses_the_late_hold(bank: Bank) -> None:
    assert await bank.release("gen_one") == 0

    with pytest.raises(RequestRefused) as refused:
        await bank.hold("gen_one")

    assert refused.value.failure.kind is FailureKind.ALREADY_CLOSED
    assert await bank.balance() == (0, 0, 0, 0)
    assert await bank.spending() == {}


async def test_the_house_books_the_loss_and_the_user_nothing(bank: Bank) -> None:
    await bank.hold("gen_one")

    await bank.release("gen_one", house_usd_micros=500_000)
    await bank.release("gen_one", house_usd_micros=500_000)

    assert await bank.balance() == (0, 0, 0, 0)
    assert await bank.entries("gen_one") == [
        ("user", "reserve", 0),
        ("user", "release", 0),
        ("house", "settle", 500_000),
    ]
    assert await bank.spending() == {"day": (0, 500_000), "month": (0, 500_000)}


async def test_the_video_limit_is_reached_by_what_is_held_and_what_is_settled(bank: Bank) -> None:
    await bank.on_plan(videos=2, usd_micros=None)
    await bank.hold("gen_one")
    await bank.settle("gen_one")
    await bank.hold("gen_two")

    with pytest.raises(
        RequestRefused, match=r"^videos: 2 of the 2 of plan Mine are used or "
    ) as no:
        await bank.hold("gen_three")

    assert no.value.failure.kind is FailureKind.QUOTA_EXCEEDED
    assert await bank.balance() == (1, 1, 500_000, 500_000)


async def test_the_cost_limit_names_the_cost_what_is_used_and_the_plan(bank: Bank) -> None:
    await bank.on_plan(videos=None, usd_micros=900_000)
    await bank.hold("gen_one", 500_000)

    with pytest.raises(RequestRefused) as refused:
        await bank.hold("gen_two", 400_001)

    told = "cost: $0.400001 more than the $0.50 used or reserved would pass the $0.90 of plan Mine;"
    assert refused.value.failure.message.startswith(told)
    assert refused.value.failure.kind is FailureKind.QUOTA_EXCEEDED


async def test_what_is_settled_counts_towards_the_cost_limit(bank: Bank) -> None:
    await bank.on_plan(videos=None, usd_micros=900_000)
    await bank.hold("gen_one", 500_000)
    await bank.settle("gen_one", 500_000)

    with pytest.raises(RequestRefused):
        await bank.hold("gen_two", 400_001)
    await bank.hold("gen_three", 400_000)

    assert await bank.balance() == (1, 1, 400_000, 500_000)


async def test_a_hold_that_just_fits_is_granted(bank: Bank) -> None:
    await bank.on_plan(videos=2, usd_micros=900_000)
    await bank.hold("gen_one", 500_000)

    await bank.hold("gen_two", 400_000)

    assert await bank.balance() == (2, 0, 900_000, 0)


@pytest.mark.parametrize(("videos", "usd_micros"), [(0, None), (None, 0), (0, 0)])
async def test_a_limit_of_zero_allows_nothing(
    bank: Bank, videos: int | None, usd_micros: int | None
) -> None:
    await bank.on_plan(videos, usd_micros)

    with pytest.raises(RequestRefused) as refused:
        await bank.hold("gen_one", 1)

    assert refused.value.failure.kind is FailureKind.QUOTA_EXCEEDED


async def test_no_limit_allows_everything(bank: Bank) -> None:
    await bank.on_plan(videos=None, usd_micros=None)

    await bank.hold("gen_one", 10**12)

    assert (await bank.balance())[0] == 1


async def test_a_released_hold_makes_room(bank: Bank) -> None:
    await bank.on_plan(videos=1, usd_micros=500_000)
    await bank.hold("gen_one")
    await bank.release("gen_one")

    await bank.hold("gen_two")

    assert await bank.balance() == (1, 0, 500_000, 0)


async def test_an_unknown_user_without_a_default_plan_is_refused(bank: Bank) -> None:
    strict = replace(bank, settings=LedgerSettings(default_plan="none"))

    with pytest.raises(RequestRefused, match=r"^user_id: 'ann' is on no plan") as refused:
        await strict.hold("gen_one")

    assert refused.value.failure.kind is FailureKind.NO_PLAN


@pytest.mark.parametrize("span", ["day", "month"])
async def test_the_deployments_own_cap_counts_all_users(bank: Bank, span: str) -> None:
    caps = {f"spend_limit_usd_{span}": Decimal("0.9"), "default_plan": "enterprise"}
    capped = replace(bank, settings=LedgerSettings.model_validate(caps))
    await capped.hold("gen_one", 500_000, "ann")

    with pytest.raises(RequestRefused, match=rf"\$0\.90 for this {span}") as refused:
        await capped.hold("gen_two", 400_001, "bob")
    await capped.hold("gen_three", 400_000, "cid")

    assert refused.value.failure.kind is FailureKind.SPEND_LIMIT_REACHED
    assert (await capped.spending())[span] == (900_000, 0)


async def test_a_deployment_cap_of_zero_refuses_everything(bank: Bank) -> None:
    closed = replace(
        bank, settings=LedgerSettings(default_plan="enterprise", spend_limit_usd_day=Decimal(0))
    )

    with pytest.raises(RequestRefused) as refused:
        await closed.hold("gen_one", 1)

    assert refused.value.failure.kind is FailureKind.SPEND_LIMIT_REACHED


async def test_forty_holds_at_once_take_just_the_ten_that_are_left(
    database_url: str, bank: Bank
) -> None:
    await bank.on_plan(videos=10, usd_micros=None)
    async with connect(settings_for_database(database_url, connections_max=40)) as wide:
        many = Bank(wide, bank.settings)

        outcomes = await asyncio.gather(
            *(many.hold(f"gen_{number}", 1) for number in range(40)), return_exceptions=True
        )

    granted = [outcome for outcome in outcomes if outcome is None]
    refused = [outcome for outcome in outcomes if isinstance(outcome, RequestRefused)]
    assert (len(granted), len(refused)) == (10, 30)
    assert await bank.balance() == (10, 0, 10, 0)
    assert await bank.unbalanced() == 0


async def test_a_ledger_entry_is_never_changed_or_deleted(bank: Bank, database: Pool) -> None:
    await bank.hold("gen_one")

    for statement in ("UPDATE ledger SET settled_usd_micros = 0", "DELETE FROM ledger"):
        with pytest.raises(Exception, match="append-only"):
            await database.execute(statement)

    assert len(await bank.entries("gen_one")) == 1
