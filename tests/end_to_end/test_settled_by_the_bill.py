"""By real processes: the user pays the provider's bill up to the quote, the house what is above."""

import json
from collections.abc import AsyncIterator

import pytest
from stacks import SMALL, Stack, finished

from activities.ledger.repository import SQL as LEDGER

pytestmark = pytest.mark.slow

QUOTED = 250_000


@pytest.fixture(scope="module")
async def worked(whole_stack: Stack) -> AsyncIterator[Stack]:
    async with whole_stack.worker():
        yield whole_stack


@pytest.mark.parametrize(
    ("factor", "user", "house", "told"),
    [
        (0.8, 200_000, 0, "$0.20 was booked (quoted $0.25)."),
        (1.5, QUOTED, 125_000, "$0.25 was booked."),
    ],
)
async def test_a_video_costs_what_the_provider_billed_and_no_more_than_the_quote(
    stack: Stack, worked: Stack, factor: float, user: int, house: int, told: str
) -> None:
    await stack.faults({"bills": {"kind": "wrong_amount", "factor": factor}, "output": SMALL})

    handle = await worked.start()
    generation = await finished(handle)

    _, shown, _ = await stack.cli("show", handle.id, "-o", "json")
    ((of_user, of_house),) = await stack.rows(
        "SELECT coalesce(sum(settled_usd_micros) FILTER (WHERE account = 'user'), 0)::bigint,"
        " coalesce(sum(settled_usd_micros) FILTER (WHERE account = 'house'), 0)::bigint"
        " FROM ledger WHERE generation_id = $1",
        handle.id,
    )
    progress = await stack.client.temporal.get_workflow_handle(handle.id).query("progress")
    assert (generation.quoted_usd_micros, generation.cost_usd_micros) == (QUOTED, user)
    assert json.loads(shown)["cost_usd_micros"] == user
    assert progress["money"] == told
    assert (of_user, of_house) == (user, house)
    assert await stack.rows(LEDGER["unbalanced"]) == []
    assert await stack.settlements(handle.id) == 1
