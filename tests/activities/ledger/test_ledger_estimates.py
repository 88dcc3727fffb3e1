"""An estimate says what a hold would say, and holds nothing."""

from dataclasses import replace
from decimal import Decimal

import pytest

from activities.ledger.settings import LedgerSettings
from activities.ledger.usage import Estimate, estimate_of
from tests.activities.conftest import a_quote
from tests.activities.ledger.conftest import Bank
from workflows.contracts.failures import FailureKind, RequestRefused


async def estimate(bank: Bank, cost_usd_micros: int) -> Estimate:
    async with bank.pool.acquire() as connection:
        quote = a_quote(cost_usd_micros=cost_usd_micros)
        return await estimate_of(connection, "ann", quote, bank.settings)


@pytest.mark.parametrize(
    ("videos", "usd_micros", "cap", "cost", "kind"),
    [
        (None, None, None, 10**9, None),
        (2, 900_000, "0.9", 400_000, None),
        (1, None, None, 1, FailureKind.QUOTA_EXCEEDED),
        (0, None, None, 1, FailureKind.QUOTA_EXCEEDED),
        (None, 900_000, None, 400_001, FailureKind.QUOTA_EXCEEDED),
        (None, 0, None, 1, FailureKind.QUOTA_EXCEEDED),
        (None, None, "0.9", 400_001, FailureKind.SPEND_LIMIT_REACHED),
        (None, None, "0", 1, FailureKind.SPEND_LIMIT_REACHED),
    ],
)
async def test_an_estimate_agrees_with_the_hold_that_follows(
    bank: Bank,
    videos: int | None,
    usd_micros: int | None,
    cap: str | None,
    cost: int,
    kind: FailureKind | None,
) -> None:
    await bank.plan("first", None, None)
    await bank.subscribe("first")
    await bank.hold("gen_first", 500_000)
    await bank.plan("mine", videos, usd_micros)
    await bank.pool.execute("UPDATE subscriptions SET plan = 'mine'")
    limit = None if cap is None else Decimal(cap)
    capped = replace(
        bank, settings=LedgerSettings(default_plan="none", spend_limit_usd_month=limit)
    )

    told = await estimate(capped, cost)
    try:
        await capped.hold("gen_second", cost)
    except RequestRefused as refused:
        held = refused.failure
    else:
        held = None

    assert held == told.refusal, "a start is refused in the words of the estimate"
    assert (held.kind if held else None) is kind
    assert told.allowed == (kind is None)


async def test_an_estimate_holds_nothing(bank: Bank) -> None:
    await estimate(bank, 500_000)

    assert await bank.balance() == (0, 0, 0, 0)
    assert await bank.spending() == {}


async def test_an_estimate_names_the_limit_that_stops_it(bank: Bank) -> None:
    await bank.on_plan(videos=1, usd_micros=700_000)
    dear = await estimate(bank, 700_001)
    await bank.hold("gen_one", 1)

    used_up = await estimate(bank, 1)

    assert dear.refusal is not None
    told = "cost: $0.700001 more than the $0.00 used or reserved would pass the $0.70 of plan Mine;"
    assert dear.refusal.message.startswith(told)
    assert used_up.refusal is not None
    told = "videos: 1 of the 1 of plan Mine are used or reserved; the period ends "
    assert used_up.refusal.message.startswith(told)
