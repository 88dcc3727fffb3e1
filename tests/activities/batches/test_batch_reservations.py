"""The whole is held or nothing is: quota, cost limits, items that can't be done, repeats."""

import asyncio
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.batches import repository
from activities.batches.admission import BatchChanged
from activities.ledger.settings import LedgerSettings
from tests.activities.batches.conftest import COST, Desk, some_requests, until_it_waits
from tests.activities.conftest import a_request
from workflows.contracts.batch_results import ITEMS_MAX, BatchState
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage


async def refusal_of(desk: Desk, batch_id: str) -> tuple[str | None, str]:
    with pytest.raises(ApplicationError) as refused:
        await desk.reserve(batch_id)
    assert refused.value.non_retryable
    return refused.value.type, refused.value.message


async def test_the_whole_is_held_before_anything_is_started(desk: Desk) -> None:
    batch_id = await desk.add(some_requests(3))

    terms = await desk.reserve(batch_id)

    assert (terms.items, terms.quoted_usd_micros, terms.max_parallel) == (3, 3 * COST, 2)
    assert terms.fairness_weight == 4
    assert await desk.bank.balance() == (3, 0, 3 * COST, 0)
    assert {item.stage for item in await desk.items(batch_id)} == {Stage.ACCEPTED}
    assert (await desk.read(batch_id)).status is BatchState.RUNNING
    assert await desk.bank.unbalanced() == 0


async def test_five_hundred_items_are_reserved_as_one(desk: Desk) -> None:
    batch_id = await desk.add(some_requests(ITEMS_MAX))

    terms = await desk.reserve(batch_id)

    assert (terms.items, terms.quoted_usd_micros) == (ITEMS_MAX, ITEMS_MAX * COST)
    assert await desk.bank.balance() == (ITEMS_MAX, 0, ITEMS_MAX * COST, 0)
    assert len(terms.model_dump_json()) < 2000


async def test_an_item_draws_on_what_is_held_for_the_whole(desk: Desk) -> None:
    batch_id = await desk.running(2)
    held = await desk.bank.balance()

    terms = [await desk.begin(each) for each in await desk.ids(batch_id)]

    assert [each.quote.cost_usd_micros for each in terms] == [COST, COST]
    assert await desk.bank.balance() == held == (2, 0, 2 * COST, 0)
    assert {item.stage for item in await desk.items(batch_id)} == {Stage.PROMPTING}


async def test_a_repeated_reservation_holds_nothing_twice(desk: Desk) -> None:
    batch_id = await desk.add(some_requests(3))

    terms = await asyncio.gather(*(desk.reserve(batch_id) for _ in range(3)))
    again = await desk.reserve(batch_id)

    assert all(each == again for each in terms)
    assert await desk.bank.balance() == (3, 0, 3 * COST, 0)


async def test_batches_of_the_same_items_at_once_do_not_wait_for_each_other_for_ever(
    desk: Desk,
) -> None:
    keyed = [a_request(prompt=f"scene {n}", idempotency_key=f"scene-{n}") for n in range(12)]
    batches = [
        await desk.add(keyed, "forwards"),
        await desk.add(keyed[::-1], "backwards"),
    ]

    terms = await asyncio.gather(*map(desk.reserve, batches))

    assert sum(each.quoted_usd_micros for each in terms) == (await desk.bank.balance())[2]
    assert (await desk.bank.balance())[0] == 12


async def test_what_was_asked_for_anew_while_it_was_priced_is_priced_again(desk: Desk) -> None:
    batch_id = await desk.add(some_requests(3))
    async with desk.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE media")
        reserving = asyncio.create_task(desk.reserve(batch_id))
        await until_it_waits(desk.pool)
        await repository.start_failed(desk.pool, batch_id)
        await desk.add([a_request(prompt="another", idempotency_key="mine", resolution="480p")])

    with pytest.raises(BatchChanged):
        await reserving
    untouched = await desk.is_untouched()
    terms = await desk.reserve(batch_id)

    assert untouched
    assert (terms.items, terms.quoted_usd_micros) == (1, COST)
    assert (await desk.items(batch_id))[0].stage is Stage.ACCEPTED


async def test_more_videos_than_the_plan_has_left_are_refused_before_they_are_fetched(
    desk: Desk,
) -> None:
    await desk.bank.on_plan(2, None)
    batch_id = await desk.add(some_requests(3, image={"media_id": "med_" + "b" * 26}))

    kind, told = await refusal_of(desk, batch_id)

    assert kind == FailureKind.QUOTA_EXCEEDED
    assert told.startswith("items: 3 videos; plan mine has 2 videos left until ")


@pytest.mark.parametrize(
    ("plan", "capped", "max_cost_usd_micros", "kind", "told"),
    [
        (
            *((2, None), {}, None, FailureKind.QUOTA_EXCEEDED),
            "items: 3 videos; plan mine has 2 videos left until ",
        ),
        (
            *((None, 700_000), {}, None, FailureKind.QUOTA_EXCEEDED),
            "items: 3 videos for $0.75; plan mine has $0.70 left until ",
        ),
        (
            *((None, None), {"spend_limit_usd_day": "0.70"}, None),
            *(FailureKind.SPEND_LIMIT_REACHED, "items: 3 videos for $0.75: cost: $0.25 more"),
        ),
        (
            *((None, None), {}, 749_999, FailureKind.MAX_COST_EXCEEDED),
            "max_cost_usd_micros: the quote is 3 videos for $0.75, the limit $0.749999.",
        ),
    ],
    ids=["videos", "cost", "the deployment's day", "the caller's limit"],
)
async def test_what_does_not_fit_is_refused_whole_and_nothing_is_claimed(
    desk: Desk,
    plan: tuple[int | None, int | None],
    capped: dict[str, Any],
    max_cost_usd_micros: int | None,
    kind: FailureKind,
    told: str,
) -> None:
    await desk.bank.on_plan(*plan)
    desk.use(LedgerSettings.model_validate(capped))
    batch_id = await desk.add(some_requests(3), max_cost_usd_micros=max_cost_usd_micros)

    refused = await refusal_of(desk, batch_id)

    assert refused[0] == kind
    assert refused[1].startswith(told)
    assert await desk.is_untouched()
    assert (await desk.read(batch_id)).status is BatchState.ACCEPTED


async def test_a_limit_that_is_met_exactly_refuses_nothing(desk: Desk) -> None:
    await desk.bank.on_plan(3, 3 * COST)
    batch_id = await desk.add(some_requests(3), max_cost_usd_micros=3 * COST)

    terms = await desk.reserve(batch_id)

    assert terms.quoted_usd_micros == 3 * COST


@pytest.mark.parametrize(
    ("asked", "kind", "told"),
    [
        ({"resolution": "4k"}, FailureKind.INVALID_REQUEST, "item 2: resolution: '4k'"),
        (
            {"max_cost_usd_micros": COST - 1, "resolution": "480p"},
            FailureKind.MAX_COST_EXCEEDED,
            "item 2: max_cost_usd_micros: the quote is $0.25",
        ),
        (
            {"image": {"media_id": "med_" + "b" * 26}},
            FailureKind.INVALID_MEDIA,
            "item 2: image: med_bbb",
        ),
        (
            {"callback_url": "http://127.0.0.1/told"},
            FailureKind.INVALID_REQUEST,
            "item 2: callback_url: ",
        ),
    ],
    ids=["a parameter", "its own limit", "another's picture", "its callback"],
)
async def test_an_item_that_can_not_be_done_refuses_the_whole_by_its_position(
    desk: Desk, asked: dict[str, Any], kind: FailureKind, told: str
) -> None:
    one, other, third = some_requests(3)
    wrong = a_request(prompt="wrong", **asked)
    batch_id = await desk.add([one, wrong, other, third])

    refused = await refusal_of(desk, batch_id)

    assert refused[0] == kind
    assert refused[1].startswith(told)
    assert await desk.is_untouched()


async def test_a_key_that_names_another_request_refuses_the_whole(desk: Desk) -> None:
    first = await desk.add([a_request(prompt="as before", idempotency_key="mine")], "first")
    await desk.reserve(first)
    held = await desk.bank.balance()
    batch_id = await desk.add([*some_requests(2), a_request(idempotency_key="mine")])

    refused = await refusal_of(desk, batch_id)

    assert refused[0] == FailureKind.KEY_REUSED
    assert refused[1].startswith("item 3: idempotency_key: 'mine' already names gen_")
    assert await desk.bank.balance() == held


async def test_what_an_items_own_key_has_made_before_costs_nothing_again(desk: Desk) -> None:
    known = a_request(prompt="as before", idempotency_key="mine", resolution="480p")
    await desk.reserve(await desk.add([known], "first"))
    batch_id = await desk.add([*some_requests(2), known])

    terms = await desk.reserve(batch_id)

    assert (terms.items, terms.quoted_usd_micros) == (3, 2 * COST)
    assert await desk.bank.balance() == (3, 0, 3 * COST, 0)
    assert (await desk.read(batch_id)).quoted_usd_micros == 2 * COST


async def test_a_batch_that_has_ended_is_not_carried_out_again(desk: Desk) -> None:
    batch_id = await desk.running(1)
    await desk.close(batch_id, BatchState.COMPLETED)

    refused = await refusal_of(desk, batch_id)

    assert refused == (FailureKind.ALREADY_CLOSED, "The batch has ended before: it is completed.")


async def test_a_batch_that_nobody_recorded_is_refused(desk: Desk) -> None:
    kind, told = await refusal_of(desk, "bat_" + "a" * 26)

    assert kind == FailureKind.INVALID_REQUEST
    assert told.startswith("batch_id: 'bat_aaa")
