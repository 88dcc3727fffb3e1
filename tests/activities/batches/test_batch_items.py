"""Adding, counting, cancelling and reading the items of a batch."""

import asyncio

import pytest

from activities.batches import repository
from activities.batches.reading import BatchReader, UnknownBatch
from activities.batches.repository import NewBatch
from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.media.store import MediaStore
from tests.activities.batches.conftest import COST, KEY, Desk, some_requests, until_it_waits
from tests.activities.conftest import a_request
from workflows.contracts.batch_results import BatchState, ItemStatus
from workflows.contracts.batches import (
    PAGE,
    BatchResult,
    Item,
    Items,
    Window,
)
from workflows.contracts.failures import FailureKind, RequestRefused, failure
from workflows.contracts.requests import Operation, Source
from workflows.contracts.stages import Stage

REFUSED = failure(FailureKind.QUOTA_EXCEEDED, "items: too many.")


async def test_the_same_key_and_items_are_the_same_batch(desk: Desk) -> None:
    first = await desk.add(some_requests(2))

    second = await desk.add(some_requests(2), max_parallel=7)

    assert first == second
    assert (await desk.read(first)).max_parallel == 2


async def test_a_key_that_names_other_items_is_refused(desk: Desk) -> None:
    batch_id = await desk.add(some_requests(2))

    with pytest.raises(RequestRefused) as refused:
        await desk.add(some_requests(2)[::-1])

    assert refused.value.failure.kind is FailureKind.KEY_REUSED
    assert f"'{KEY}' already names {batch_id}" in str(refused.value)


async def test_a_refusal_does_not_use_the_key_up(desk: Desk) -> None:
    batch_id = await desk.add(some_requests(3))
    await repository.close(desk.pool, batch_id, BatchState.FAILED, REFUSED)

    again = await desk.add(some_requests(2), max_parallel=1)
    seen = await desk.read(again)

    assert again == batch_id
    assert (seen.status, seen.size, seen.error) == (BatchState.ACCEPTED, 2, None)
    assert (await desk.reserve(again)).items == 2


async def test_the_starters_role_adds_and_revives_but_reserves_nothing(
    desk: Desk, starter_database: Pool, store: MediaStore
) -> None:
    batch = NewBatch("ann", "starters", Source.API, some_requests(2), 2).with_item_keys()
    async with starter_database.acquire() as connection:
        await repository.add(connection, batch)
        await repository.start_failed(starter_database, batch.batch_id)
        await repository.add(connection, batch)

        with pytest.raises(Exception, match="permission denied"):
            await connection.execute("UPDATE batch_items SET is_made = true")
    seen = await BatchReader(starter_database, store).read(batch.batch_id)

    assert (seen.status, seen.size) == (BatchState.ACCEPTED, 2)


async def test_a_start_that_nobody_took_shows_as_failed_until_a_workflow_begins(desk: Desk) -> None:
    batch_id = await desk.add(some_requests(1))

    await repository.start_failed(desk.pool, batch_id)
    told = (await desk.read(batch_id)).error
    await desk.reserve(batch_id)
    seen = await desk.read(batch_id)

    assert told is not None
    assert told.kind is FailureKind.INTERNAL
    assert (seen.status, seen.error, seen.completed_at) == (BatchState.RUNNING, None, None)


async def test_parked_items_hold_no_place_and_ended_ones_neither(desk: Desk) -> None:
    batch_id = await desk.running(7)
    ids = await desk.ids(batch_id)
    for generation_id, stage in zip(
        ids,
        (Stage.GENERATING, Stage.TIMED_OUT, Stage.UNRESOLVED, Stage.COMPLETED, Stage.FAILED),
        strict=False,
    ):
        await desk.move(generation_id, stage)

    assert await desk.look(batch_id, 5) == Window(waiting=2, active=1, parked=2)
    assert await desk.look(batch_id, 6) == Window(waiting=1, active=2, parked=2)


async def test_waiting_items_come_in_order_by_small_pages(desk: Desk) -> None:
    batch_id = await desk.running(PAGE + 3)
    await desk.begin((await desk.ids(batch_id))[1])

    first = await repository.waiting(desk.pool, batch_id, 0)
    rest = await repository.waiting(desk.pool, batch_id, first[-1].position)

    positions = [item.position for item in (*first, *rest)]
    assert positions == [1, *range(3, PAGE + 4)]
    assert len(first) == PAGE
    largest = Item(
        position=500, generation_id=first[0].generation_id, operation=Operation("talking-avatar")
    )
    assert len(Items(items=(largest,) * PAGE).model_dump_json()) <= 2000


async def test_a_cancel_closes_what_nobody_started_and_releases_its_hold_once(desk: Desk) -> None:
    batch_id = await desk.running(4)
    ids = await desk.ids(batch_id)
    await desk.begin(ids[2])

    closed = await desk.close_waiting(batch_id, started_to=1)
    again = await desk.close_waiting(batch_id, started_to=1)

    statuses = [item.status for item in await desk.items(batch_id)]
    assert (closed.closed, again.closed) == (2, 0)
    assert statuses == [
        ItemStatus.WAITING,
        ItemStatus.CANCELLED,
        ItemStatus.RUNNING,
        ItemStatus.CANCELLED,
    ]
    assert await desk.bank.balance() == (2, 0, 2 * COST, 0)
    assert await desk.bank.entries(ids[1]) == [("user", "reserve", 0), ("user", "release", 0)]
    told = (await desk.items(batch_id))[1].error
    assert told is not None
    assert told.money == "Nothing was charged. The $0.25 that was reserved is released."


async def test_what_begins_while_it_is_closed_is_left_alone(desk: Desk) -> None:
    batch_id = await desk.running(1)
    (generation_id,) = await desk.ids(batch_id)

    async with desk.pool.acquire() as connection:
        async with connection.transaction():
            await generations.record(connection, generation_id, Stage.RESERVING)
            closing = asyncio.create_task(desk.close_waiting(batch_id))
            await until_it_waits(desk.pool)
        closed = await closing

    assert closed.closed == 0
    assert await desk.bank.balance() == (1, 0, COST, 0)


async def test_what_was_closed_before_its_start_begins_no_more(desk: Desk) -> None:
    batch_id = await desk.running(1)
    (generation_id,) = await desk.ids(batch_id)
    await desk.close_waiting(batch_id)

    with pytest.raises(Exception, match="has ended before") as refused:
        await desk.begin(generation_id)

    assert getattr(refused.value, "type", None) == FailureKind.ALREADY_CLOSED
    assert await desk.bank.balance() == (0, 0, 0, 0)


async def test_a_cancel_leaves_alone_what_another_key_has_made(desk: Desk) -> None:
    known = a_request(prompt="as before", idempotency_key="mine")
    await desk.reserve(await desk.add([known], "first"))
    batch_id = await desk.add([known, *some_requests(1)])
    await desk.reserve(batch_id)

    closed = await desk.close_waiting(batch_id)
    started = await repository.started(desk.pool, batch_id, 0)

    assert closed.closed == 1
    assert started == ()
    assert (await desk.items(batch_id))[0].stage is Stage.ACCEPTED


async def test_the_callbacks_of_what_was_never_started_are_told_page_by_page(desk: Desk) -> None:
    batch_id = await running_with_receivers(desk, PAGE + 2)

    first = await desk.close_waiting(batch_id)
    second = await desk.close_waiting(batch_id, told_to=first.told_to)

    assert (first.closed, len(first.to_tell), first.is_all) == (PAGE + 2, PAGE, False)
    assert (second.closed, len(second.to_tell), second.is_all) == (0, 2, True)
    assert [*first.to_tell, *second.to_tell] == await desk.ids(batch_id)
    assert len(first.model_dump_json()) < 2000


async def test_an_attempt_after_a_lost_one_tells_of_what_that_one_has_closed(desk: Desk) -> None:
    batch_id = await running_with_receivers(desk, 3)
    ids = await desk.ids(batch_id)
    await desk.move(ids[0], Stage.GENERATING)
    lost = await desk.close_waiting(batch_id)
    await desk.pool.execute("INSERT INTO callbacks (generation_id) VALUES ($1)", ids[1])

    again = await desk.close_waiting(batch_id)

    assert lost.to_tell == (ids[1], ids[2])
    assert (again.closed, again.to_tell) == (0, (ids[2],))


async def running_with_receivers(desk: Desk, count: int) -> str:
    batch_id = await desk.running(count)
    for table in ("batch_items", "generations"):
        await desk.pool.execute(
            f'UPDATE {table} SET request = request || \'{{"callback_url": "https://example.com"}}\''
        )
    return batch_id


async def test_lost_items_count_no_more_until_they_end_otherwise(desk: Desk) -> None:
    batch_id = await desk.running(4)
    ids = await desk.ids(batch_id)
    for generation_id in ids[:3]:
        await desk.move(generation_id, Stage.GENERATING)
    await desk.move(ids[1], Stage.COMPLETED)
    await desk.move(ids[3], Stage.COMPLETED)

    seen = await desk.look(batch_id, 4, lost=(1, 2))
    ends = await repository.close(desk.pool, batch_id, BatchState.COMPLETED, lost=(1, 2))

    assert seen == Window(waiting=0, active=1, parked=0)
    assert ends == BatchResult(completed=2, failed=1, cancelled=0)


async def test_the_end_is_recorded_once_with_how_the_items_ended(desk: Desk) -> None:
    batch_id = await desk.running(4)
    ids = await desk.ids(batch_id)
    for generation_id in ids[:2]:
        await desk.move(generation_id, Stage.COMPLETED)
    await desk.move(ids[2], Stage.FAILED)
    await desk.move(ids[3], Stage.CANCELLED)

    ends = await repository.close(desk.pool, batch_id, BatchState.COMPLETED)
    again = await repository.close(desk.pool, batch_id, BatchState.CANCELLED)
    seen = await desk.read(batch_id)

    assert ends == again == BatchResult(completed=2, failed=1, cancelled=1)
    assert (seen.status, seen.percent) == (BatchState.COMPLETED, 100)
    assert seen.message == "2 completed, 1 failed, 1 cancelled of 4"


async def test_a_batch_is_counted_as_its_items_go_on(desk: Desk) -> None:
    batch_id = await desk.running(4)
    ids = await desk.ids(batch_id)
    await desk.move(ids[0], Stage.TIMED_OUT)
    await desk.move(ids[1], Stage.GENERATING)
    await desk.bank.settle(ids[3], COST)
    await desk.move(ids[3], Stage.COMPLETED)

    seen = await desk.read(batch_id)

    assert seen.message == "1 completed, 1 running, 1 parked, 1 waiting of 4"
    assert (seen.percent, seen.quoted_usd_micros, seen.cost_usd_micros) == (25, 4 * COST, COST)
    assert not seen.only_parked


async def test_what_is_left_and_parked_is_told_apart(desk: Desk) -> None:
    batch_id = await desk.running(2)
    ids = await desk.ids(batch_id)
    await desk.move(ids[0], Stage.UNRESOLVED)
    await desk.move(ids[1], Stage.COMPLETED)

    assert (await desk.read(batch_id)).only_parked


async def test_the_items_of_a_refused_batch_were_never_started(desk: Desk) -> None:
    batch_id = await desk.add(some_requests(2))
    await repository.close(desk.pool, batch_id, BatchState.FAILED, REFUSED)

    statuses = {item.status for item in await desk.items(batch_id)}
    seen = await desk.read(batch_id)

    assert statuses == {ItemStatus.NOT_STARTED}
    assert (seen.error, seen.message) == (REFUSED, "2 items, failed")


async def test_batches_of_others_look_like_nothing(desk: Desk) -> None:
    batch_id = await desk.add(some_requests(1))

    assert await desk.reader.find_id(batch_id[:12], "ann") == batch_id
    assert [each.batch_id for each in await desk.reader.find("ann")] == [batch_id]
    assert await desk.reader.find("bob") == []
    for read in (desk.reader.read, desk.reader.items, desk.reader.find_id):
        with pytest.raises(UnknownBatch):
            await read(batch_id, "bob")
