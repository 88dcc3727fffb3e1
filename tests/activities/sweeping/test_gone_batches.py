"""A batch whose workflow is gone ends; what it had started goes on, what waited is released."""

from datetime import timedelta

import pytest

from activities.batches import repository as batches
from activities.batches.repository import NewBatch
from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.settings import LedgerSettings
from tests.activities.conftest import QUOTED, a_request
from tests.activities.sweeping.conftest import Yard
from workflows.contracts.batch_results import BatchState
from workflows.contracts.failures import Failure, FailureKind
from workflows.contracts.requests import Source
from workflows.contracts.stages import Stage

HOUR = timedelta(hours=1)


@pytest.fixture
def yard(temporal_yard: Yard) -> Yard:
    return temporal_yard


def a_batch(size: int = 2) -> NewBatch:
    asked = [a_request(prompt=f"scene {number}") for number in range(size)]
    return NewBatch("ann", "an-episode", Source.API, asked, 2).with_item_keys()


async def recorded(yard: Yard, *, age: timedelta = HOUR) -> str:
    """A batch that was asked for, and not reserved yet."""
    batch = a_batch()
    async with yard.pool.acquire() as connection:
        await batches.add(connection, batch)
    await yard.pool.execute("UPDATE batches SET created_at = now() - $1::interval", age)
    return batch.batch_id


async def reserved(yard: Yard) -> tuple[str, list[str]]:
    """A batch whose items are claimed and held, and have waited for an hour."""
    batch_id = await recorded(yard)
    ids = [batches.generation_id_of(each) for each in a_batch().requests]
    settings = LedgerSettings(default_plan="enterprise")
    async with yard.pool.acquire() as connection, connection.transaction():
        for generation_id, request in zip(ids, a_batch().requests, strict=True):
            await generations.claim(connection, generation_id, request)
            await money.hold(connection, generation_id, "ann", QUOTED, settings)
        await connection.execute(batches.SQL["set_made"], batch_id, [1, 2])
        await connection.execute(batches.SQL["set_running"], batch_id)
    for generation_id in ids:
        await yard.quiet(generation_id)
    return batch_id, ids


async def state_of(pool: Pool, batch_id: str) -> tuple[BatchState, FailureKind | None]:
    row = await pool.fetchrow("SELECT state, failure FROM batches WHERE batch_id = $1", batch_id)
    assert row is not None
    told = Failure.model_validate(row["failure"]) if row["failure"] else None
    return BatchState(row["state"]), told.kind if told else None


async def test_items_that_wait_in_a_batch_that_runs_are_left_to_it(yard: Yard) -> None:
    batch_id, ids = await reserved(yard)
    await yard.run(batch_id, "Batch")

    swept = await yard.restart_gone()

    assert swept.repaired == {}
    assert [await yard.stage(each) for each in ids] == [Stage.ACCEPTED, Stage.ACCEPTED]


async def test_a_batch_that_is_gone_ends_and_what_waited_in_it_is_released(yard: Yard) -> None:
    batch_id, ids = await reserved(yard)
    await yard.terminated(batch_id, "Batch")

    swept = await yard.restart_gone()

    assert swept.repaired == {"batches_ended": 1, "released": 2}
    assert await state_of(yard.pool, batch_id) == (BatchState.CANCELLED, FailureKind.TERMINATED)
    assert [await yard.reservation(each) for each in ids] == ["released", "released"]
    assert await yard.pool.fetch(money.SQL["unbalanced"]) == []


async def test_what_a_gone_batch_had_started_goes_on(yard: Yard) -> None:
    _, ids = await reserved(yard)
    await yard.run(ids[0])
    await yard.put(ids[0], Stage.GENERATING)

    swept = await yard.restart_gone()

    assert swept.repaired == {"batches_ended": 1, "released": 1}
    assert await yard.stage(ids[0]) is Stage.GENERATING
    assert await yard.reservation(ids[0]) == "reserved"


async def test_a_batch_that_never_began_fails_and_its_key_starts_it_again(yard: Yard) -> None:
    batch_id = await recorded(yard)

    swept = await yard.restart_gone()

    assert swept.repaired == {"batches_ended": 1}
    assert await state_of(yard.pool, batch_id) == (BatchState.FAILED, FailureKind.NOT_STARTED)
    async with yard.pool.acquire() as connection:
        assert await batches.add(connection, a_batch(size=1)) is BatchState.ACCEPTED


async def test_a_young_batch_is_left_alone(yard: Yard) -> None:
    batch_id = await recorded(yard, age=timedelta(minutes=9))

    swept = await yard.restart_gone()

    assert swept.repaired == {}
    assert await state_of(yard.pool, batch_id) == (BatchState.ACCEPTED, None)


async def test_a_batch_that_is_started_between_the_look_and_the_deed_goes_on(yard: Yard) -> None:
    batch_id, _ = await reserved(yard)
    await yard.run(batch_id, "Batch")

    has_ended = await yard.gone._end_batch(batch_id)  # pyright: ignore[reportPrivateUsage]

    assert has_ended is False
    assert await state_of(yard.pool, batch_id) == (BatchState.RUNNING, None)


async def test_a_batch_that_has_ended_is_left_as_it_ended(yard: Yard) -> None:
    batch_id = await recorded(yard)
    await batches.close(yard.pool, batch_id, BatchState.COMPLETED)

    swept = await yard.restart_gone()

    assert swept.repaired == {}
    assert await state_of(yard.pool, batch_id) == (BatchState.COMPLETED, None)
