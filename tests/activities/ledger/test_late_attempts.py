"""Attempts of a run that is over: they begin nothing and end nothing of the run after it."""

import pytest
from temporalio.exceptions import ApplicationError

from activities.generations import repository as generations
from activities.ledger.activities import LedgerActivities
from tests.activities.conftest import a_request, stage_of
from tests.activities.ledger.attempts import close, reserve
from tests.activities.ledger.conftest import Bank
from workflows.contracts.activities import Booked
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage


async def refused_in_its_first_run(ledger: LedgerActivities, media_id: str) -> None:
    with pytest.raises(ApplicationError, match="max_cost_usd_micros"):
        await reserve(ledger, media_id, max_cost_usd_micros=1)
    await close(ledger, "release", FailureKind.MAX_COST_EXCEEDED)


@pytest.mark.parametrize("who", ["nobody", "a client", "a second run"])
async def test_an_attempt_that_comes_after_its_runs_end_begins_nothing(
    ledger: LedgerActivities, media_id: str, bank: Bank, who: str
) -> None:
    await refused_in_its_first_run(ledger, media_id)
    request = a_request(image={"media_id": media_id})
    if who == "a client":
        async with bank.pool.acquire() as connection:
            await generations.claim(connection, "gen_one", request)
    elif who == "a second run":
        await reserve(ledger, media_id, run_id="second run")
    before = await stage_of(bank.pool, "gen_one"), await bank.balance()

    with pytest.raises(ApplicationError) as late:
        await reserve(ledger, media_id)

    assert late.value.type == FailureKind.ALREADY_CLOSED
    assert (await stage_of(bank.pool, "gen_one"), await bank.balance()) == before


async def test_an_end_that_comes_late_ends_nothing_of_the_run_after_it(
    ledger: LedgerActivities, media_id: str, bank: Bank
) -> None:
    await refused_in_its_first_run(ledger, media_id)
    await reserve(ledger, media_id, run_id="second run")

    late = await close(ledger, "release", FailureKind.MAX_COST_EXCEEDED)

    assert late == Booked(cost_usd_micros=0, money="Nothing was charged.")
    assert await stage_of(bank.pool, "gen_one") is Stage.PROMPTING
    assert await bank.balance() == (1, 0, 500_000, 0)


async def test_of_many_runs_the_last_ones_are_known(
    ledger: LedgerActivities, media_id: str, bank: Bank
) -> None:
    for number in range(10):
        await reserve(ledger, media_id, run_id=f"run {number}")
        await reserve(ledger, media_id, run_id=f"run {number}")

    runs = await bank.pool.fetchval("SELECT runs FROM generations")
    assert runs == [f"run {number}" for number in range(2, 10)]
