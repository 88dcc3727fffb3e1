"""One reader of events for many followers: what it costs, and what it survives."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from activities.database.pool import Pool, connect
from activities.generations import repository as generations
from activities.generations.notices import Notices
from starter.api.hub import Follower, Hub, Late
from starter.api.messages import Message
from tests.activities.conftest import a_generation, settings_for_database
from tests.starter.api.holders import owners_pool
from tests.starter.conftest import Stack
from workflows.contracts.stages import Stage

MANY = 200


class Counted:
    """A pool that counts what it is asked, and for what."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.reads = 0
        self.named: set[str] = set()

    async def fetch(self, query: str, names: list[str], *more: Any) -> list[asyncpg.Record]:
        self.reads += 1
        self.named |= set(names)
        return await self._pool.fetch(query, names, *more)


@pytest.fixture(scope="module")
async def pool(idle_stack: Stack) -> AsyncIterator[Pool]:
    async with owners_pool(idle_stack) as operators:
        yield operators


@asynccontextmanager
async def a_hub(stack: Stack, pool: Any, **limits: int) -> AsyncGenerator[Hub]:
    settings = settings_for_database(stack.address.database)
    async with Notices(settings) as notices, Hub(pool, notices, **limits) as hub:
        yield hub


async def a_running_one(pool: Pool, user: str = "ann") -> str:
    generation_id = f"gen_{secrets.token_hex(13)}"
    return await a_generation(pool, generation_id, user_id=user, stage=Stage.GENERATING)


async def enter(pool: Pool, generation_id: str, stage: Stage) -> None:
    async with pool.acquire() as connection, connection.transaction():
        assert await generations.record(connection, generation_id, stage)


async def told(follower: Follower, generation_id: str, stage: Stage) -> Message:
    """The message that a generation has entered a stage; whatever comes before it is dropped."""
    async with asyncio.timeout(30):
        while True:
            message = await follower.next(1)
            if message is None:
                continue
            facts = message.told.facts
            if (facts.generation_id, facts.stage) == (generation_id, stage):
                return message


async def test_what_happens_is_read_once_for_all_who_follow(idle_stack: Stack, pool: Pool) -> None:
    generation_id, other = await a_running_one(pool, "one"), await a_running_one(pool, "other")
    counted = Counted(pool)

    async with a_hub(idle_stack, counted) as hub:
        with ExitStack() as following:
            followers = [
                following.enter_context(each)
                for _ in range(MANY // 2)
                for each in (hub.of_generation(generation_id), hub.of_user("one"))
            ]
            await enter(pool, generation_id, Stage.DOWNLOADING)
            first = [await told(each, generation_id, Stage.DOWNLOADING) for each in followers]
            before = counted.reads
            await enter(pool, generation_id, Stage.SAVING)
            await enter(pool, other, Stage.DOWNLOADING)
            for each in followers:
                await told(each, generation_id, Stage.SAVING)
            assert hub.count == MANY
        after = counted.reads

        assert hub.count == 0
    # It was written once, too.
    assert len({id(message.body) for message in first}) == 1
    # The read that makes up for what was before the connection may be among them.
    assert 1 <= after - before < 6


async def test_what_nobody_follows_is_not_read(idle_stack: Stack, pool: Pool) -> None:
    followed, other = await a_running_one(pool), await a_running_one(pool)
    counted = Counted(pool)

    async with a_hub(idle_stack, counted) as hub:
        with hub.of_generation(followed) as follower:
            await enter(pool, followed, Stage.DOWNLOADING)
            await told(follower, followed, Stage.DOWNLOADING)
            for stage in (Stage.DOWNLOADING, Stage.SAVING, Stage.SETTLING):
                await enter(pool, other, stage)
            # Notices come in order: what was heard before it is heard by now.
            await enter(pool, followed, Stage.SAVING)
            await told(follower, followed, Stage.SAVING)

    assert counted.named == {followed}


async def test_a_hub_catches_up_when_its_connections_were_lost(
    idle_stack: Stack, pool: Pool
) -> None:
    user = f"user-{secrets.token_hex(6)}"
    generation_id = await a_running_one(pool, user)
    settings = settings_for_database(idle_stack.address.database, connections_max=2)
    async with connect(settings) as own, a_hub(idle_stack, own) as hub:
        with hub.of_generation(generation_id) as one, hub.of_user(user) as every:
            await enter(pool, generation_id, Stage.DOWNLOADING)
            for follower in (one, every):
                await told(follower, generation_id, Stage.DOWNLOADING)
            mine = await own.fetchval("SELECT pg_backend_pid()")
            await pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'stillmotion notices' OR pid = $1",
                mine,
            )
            await enter(pool, generation_id, Stage.SAVING)
            for follower in (one, every):
                await told(follower, generation_id, Stage.SAVING)
            await enter(pool, generation_id, Stage.SETTLING)
            for follower in (one, every):
                await told(follower, generation_id, Stage.SETTLING)


async def test_a_follower_who_is_behind_is_late_and_holds_nobody_up(
    idle_stack: Stack, pool: Pool
) -> None:
    generation_id = await a_running_one(pool)
    async with a_hub(idle_stack, pool, waiting_max=2) as hub:
        with hub.of_generation(generation_id) as idle, hub.of_generation(generation_id) as busy:
            for stage in (Stage.DOWNLOADING, Stage.SAVING, Stage.SETTLING):
                await enter(pool, generation_id, stage)
                await told(busy, generation_id, stage)

            with pytest.raises(Late):
                await idle.next(1)
