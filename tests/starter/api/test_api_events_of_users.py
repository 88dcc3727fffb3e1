"""One stream for all of a user's generations, and how it goes on without leaving anything out."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from activities.database.pool import Pool
from activities.generations import repository as generations
from tests.starter.api.conftest import Api
from tests.starter.api.followers import ALL, WAY, asked, begun, enter, listening
from tests.starter.api.holders import owners_pool
from tests.starter.api.products import Product, a_user
from workflows.contracts.stages import Stage


@pytest.fixture(scope="module")
async def pool(api: Api) -> AsyncIterator[Pool]:
    async with owners_pool(api.stack) as operators:
        yield operators


async def test_a_users_stream_begins_with_what_goes_on_and_tells_all_that_happens(
    product: Product, pool: Pool
) -> None:
    user = a_user()
    async with listening(product, ALL, user) as stream:
        goes_on = await begun(pool, user)
        ended = await begun(pool, user, Stage.COMPLETED)
        long_ago = await begun(pool, user, Stage.COMPLETED)
        # So that no news of it comes late, which would be told.
        while (await stream.entered()).step != (long_ago, "completed"):
            pass
    for table, column in (("events", "at"), ("generations", "stage_at")):
        await pool.execute(
            f"UPDATE {table} SET {column} = {column} - interval '1 hour'"
            " WHERE generation_id = ANY ($1)",
            [goes_on, long_ago],
        )

    async with listening(product, ALL, user) as stream:
        before = [await stream.entered() for _ in range(11)]
        new = await asked(pool, user)
        await enter(pool, goes_on, Stage.DOWNLOADING)
        after = [await stream.entered() for _ in range(2)]

    assert before[0].step == (goes_on, "generating")
    assert [each.step for each in before[1:]] == [(ended, stage) for stage in WAY]
    assert [each.step for each in after] == [(new, "accepted"), (goes_on, "downloading")]
    ids = [each.id for each in (*before, *after)]
    assert ids == sorted(set(ids), key=lambda number: number or 0)


async def test_a_users_stream_goes_on_without_leaving_anything_out(
    product: Product, pool: Pool
) -> None:
    user = a_user()
    first, second = await asked(pool, user), await asked(pool, user)
    async with listening(product, ALL, user) as stream:
        await stream.entered()
        last = await stream.entered()
    await enter(pool, first, Stage.RESERVING, Stage.FAILED)
    await enter(pool, second, Stage.RESERVING)

    async with listening(product, ALL, user, {"Last-Event-ID": str(last.id)}) as stream:
        heard = [await stream.entered() for _ in range(5)]

    # What was told within the last minute is told again.
    assert [each.step for each in heard] == [
        (first, "accepted"),
        (second, "accepted"),
        (first, "reserving"),
        (first, "failed"),
        (second, "reserving"),
    ]
    assert all(each.id is not None and last.id is not None for each in heard)
    assert (heard[0].id, heard[1].id) == (last.id, last.id)


async def test_a_step_that_was_committed_late_is_told_to_who_goes_on(
    product: Product, pool: Pool
) -> None:
    user = a_user()
    slow, quick = await asked(pool, user), await asked(pool, user)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await generations.record(connection, slow, Stage.RESERVING)
        async with listening(product, ALL, user) as stream:
            await enter(pool, quick, Stage.RESERVING)
            while (last := await stream.entered()).step != (quick, "reserving"):
                pass
        await transaction.commit()

    async with listening(product, ALL, user, {"Last-Event-ID": str(last.id)}) as stream:
        async with asyncio.timeout(20):
            while (await stream.entered()).step != (slow, "reserving"):
                pass
