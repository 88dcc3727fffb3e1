"""Two hundred starts at once where ten are left: exactly ten reserve, whichever limit it is."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.database.pool import Pool, connect
from activities.ledger import repository as money
from activities.ledger.activities import LedgerActivities
from activities.ledger.settings import LedgerSettings
from activities.media.inputs import Inputs
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from tests.activities.conftest import EXAMPLES, QUOTED, a_request, settings_for_database
from tests.activities.ledger.conftest import Bank
from workflows.contracts.activities import Reserve
from workflows.contracts.failures import FailureKind

STARTS = 200
CONNECTIONS = 40
LEFT = 10
RESERVED = "reserved"


@pytest.fixture
async def wide(database_url: str) -> AsyncIterator[Pool]:
    async with connect(settings_for_database(database_url, connections_max=CONNECTIONS)) as pool:
        yield pool


@pytest.fixture
async def media_id(inputs: Inputs) -> str:
    return (await inputs.add("ann", EXAMPLES / "coffee.jpg", "image")).media_id


@pytest.fixture
def process(
    ledger: LedgerActivities, wide: Pool, store: MediaStore, media_settings: MediaSettings
) -> LedgerActivities:
    """A worker with many connections."""
    admission = replace(ledger.admission, inputs=Inputs(wide, store, media_settings))
    return replace(ledger, pool=wide, admission=admission)


def with_settings(process: LedgerActivities, **given: Any) -> LedgerActivities:
    settings = LedgerSettings.model_validate(given)
    return replace(process, admission=replace(process.admission, settings=settings))


async def start(process: LedgerActivities, number: int, user_id: str, media_id: str) -> str:
    """What became of it: reserved, or the kind of its refusal."""
    request = a_request(user_id=user_id, image={"media_id": media_id})
    task = Reserve(generation_id=f"gen_{number}", request=request)
    try:
        await ActivityEnvironment().run(process.reserve, task)
    except ApplicationError as refused:
        return str(refused.type)
    return RESERVED


async def start_all(process: LedgerActivities, media_id: str) -> Counter[str]:
    return Counter(
        await asyncio.gather(*(start(process, n, "ann", media_id) for n in range(STARTS)))
    )


async def balanced(bank: Bank) -> bool:
    spending = await bank.pool.fetch(money.SQL["unbalanced_spending"])
    return await bank.unbalanced() == 0 and spending == []


async def test_of_two_hundred_starts_the_ten_videos_that_are_left_are_reserved(
    process: LedgerActivities, media_id: str, bank: Bank
) -> None:
    await bank.on_plan(videos=LEFT + 2, usd_micros=None)
    await bank.hold("gen_settled", 1)
    await bank.settle("gen_settled", 1)
    await bank.hold("gen_held", 1)

    outcomes = await start_all(process, media_id)

    assert outcomes == {RESERVED: LEFT, FailureKind.QUOTA_EXCEEDED: STARTS - LEFT}
    assert await bank.balance() == (LEFT + 1, 1, LEFT * QUOTED + 1, 1)
    assert await balanced(bank)


async def test_a_cost_that_no_whole_number_of_videos_fills_is_not_passed(
    process: LedgerActivities, media_id: str, bank: Bank
) -> None:
    await bank.on_plan(videos=None, usd_micros=LEFT * QUOTED + QUOTED - 1)

    outcomes = await start_all(process, media_id)

    assert outcomes == {RESERVED: LEFT, FailureKind.QUOTA_EXCEEDED: STARTS - LEFT}
    assert await bank.balance() == (LEFT, 0, LEFT * QUOTED, 0)
    assert await balanced(bank)


async def test_many_users_at_once_do_not_pass_the_deployments_day(
    process: LedgerActivities, media_id: str, bank: Bank
) -> None:
    capped = with_settings(process, default_plan="enterprise", spend_limit_usd_day="5.2")
    users = [f"user-{number}" for number in range(STARTS)]
    # Each owns the picture, as if they had uploaded it.
    await bank.pool.execute(
        "INSERT INTO media (media_id, user_id, key, facts)"
        " SELECT 'med_' || lpad(n::text, 26, 'a'), 'user-' || n, m.key || n, m.facts"
        " FROM media m, generate_series(0, $1::int - 1) n WHERE m.media_id = $2",
        STARTS,
        media_id,
    )
    owned = [f"med_{number:a>26}" for number in range(STARTS)]

    outcomes = Counter(
        await asyncio.gather(*(start(capped, n, users[n], owned[n]) for n in range(STARTS)))
    )

    assert outcomes == {RESERVED: LEFT, FailureKind.SPEND_LIMIT_REACHED: STARTS - LEFT}
    assert await bank.spending() == {"day": (LEFT * QUOTED, 0), "month": (LEFT * QUOTED, 0)}
    assert await balanced(bank)
