"""The claim of an id, and events that follow the table of transitions without a gap."""

import asyncio
from typing import Any

import asyncpg
import pytest

from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.generations.repository import Claim, UnknownGeneration, user_hash, work_of
from activities.ledger import repository as money
from tests.activities.conftest import a_generation, a_request, stage_of, usual_way_to
from workflows.contracts.failures import FailureKind, RequestRefused, failure
from workflows.contracts.requests import ImageToVideoRequest
from workflows.contracts.stages import Stage


async def claim(
    pool: Pool, generation_id: str = "gen_one", request: ImageToVideoRequest | None = None
) -> Claim:
    async with pool.acquire() as connection:
        return await generations.claim(connection, generation_id, request or a_request())


async def record(
    pool: Pool, stage: Stage, data: dict[str, Any] | None = None, generation_id: str = "gen_one"
) -> bool:
    async with pool.acquire() as connection, connection.transaction():
        return await generations.record(connection, generation_id, stage, data)


async def seqs(pool: Pool, generation_id: str = "gen_one") -> list[int]:
    rows = await pool.fetch(
        "SELECT seq FROM events WHERE generation_id = $1 ORDER BY seq", generation_id
    )
    return [row["seq"] for row in rows]


async def test_a_new_id_is_claimed_and_accepted(database: Pool) -> None:
    claimed = await claim(database)

    assert claimed == Claim("gen_one", Stage.ACCEPTED, is_new=True)
    assert await seqs(database) == [1]


async def test_the_same_request_finds_its_own_generation(database: Pool) -> None:
    await claim(database)
    await record(database, Stage.RESERVING)

    again = await claim(database)

    assert again == Claim("gen_one", Stage.RESERVING, is_new=False)
    assert await seqs(database) == [1, 2]


async def test_claims_at_once_make_one_generation(database: Pool) -> None:
    claimed = await asyncio.gather(*(claim(database) for _ in range(8)))

    assert [each.is_new for each in claimed].count(True) == 1
    assert await seqs(database) == [1]


async def test_a_key_that_stands_for_another_request_is_refused(database: Pool) -> None:
    await claim(database, request=a_request(idempotency_key="k"))

    with pytest.raises(RequestRefused, match=r"'k' already names gen_one") as refused:
        await claim(database, request=a_request(idempotency_key="k", prompt="another"))

    assert refused.value.failure.kind is FailureKind.KEY_REUSED


async def test_a_key_under_another_workflow_id_names_the_first_generation(database: Pool) -> None:
    await claim(database, "gen_one", a_request(idempotency_key="k"))

    claimed = await claim(database, "gen_two", a_request(idempotency_key="k"))

    assert claimed == Claim("gen_one", Stage.ACCEPTED, is_new=False)
    assert await seqs(database, "gen_two") == []


async def test_a_key_under_another_workflow_id_with_another_request_is_refused(
    database: Pool,
) -> None:
    await claim(database, "gen_one", a_request(idempotency_key="k"))

    with pytest.raises(RequestRefused, match="already names gen_one") as refused:
        await claim(database, "gen_two", a_request(idempotency_key="k", prompt="another"))

    assert refused.value.failure.kind is FailureKind.KEY_REUSED


async def test_an_id_and_a_key_that_name_two_generations_are_refused(database: Pool) -> None:
    await claim(database, "gen_one", a_request(idempotency_key="one"))
    await claim(database, "gen_two", a_request(idempotency_key="two"))

    with pytest.raises(RequestRefused) as refused:
        await claim(database, "gen_one", a_request(idempotency_key="two"))

    assert refused.value.failure.kind is FailureKind.KEY_REUSED


async def test_another_users_id_is_refused_without_a_word_about_them(database: Pool) -> None:
    await claim(database, request=a_request(user_id="ann"))

    with pytest.raises(RequestRefused) as refused:
        await claim(database, request=a_request(user_id="bob"))

    assert refused.value.failure.kind is FailureKind.KEY_REUSED
    assert "ann" not in refused.value.failure.message


async def test_two_users_may_use_the_same_key(database: Pool) -> None:
    await claim(database, "gen_one", a_request(user_id="ann", idempotency_key="k"))

    claimed = await claim(database, "gen_two", a_request(user_id="bob", idempotency_key="k"))

    assert claimed.is_new


@pytest.mark.parametrize("asked", [{}, {"prompt": "mended"}], ids=str)
async def test_a_refusal_before_reserving_does_not_use_the_id_up(
    database: Pool, asked: dict[str, object]
) -> None:
    await claim(database, request=a_request(idempotency_key="k"))
    await record(database, Stage.FAILED)

    again = await claim(database, request=a_request(idempotency_key="k", **asked))

    assert again.is_new
    assert await stage_of(database, "gen_one") is Stage.ACCEPTED
    assert await seqs(database) == [1, 2, 3]
    completed_at = await database.fetchval("SELECT completed_at FROM generations")
    assert completed_at is None


async def test_a_refused_one_under_a_callers_own_id_gives_its_key_to_the_next(
    database: Pool,
) -> None:
    told = failure(FailureKind.QUOTA_EXCEEDED, "No videos are left.")
    async with database.acquire() as connection:
        await generations.claim(connection, "own-1", a_request(idempotency_key="one"))
        await generations.record(connection, "own-1", Stage.FAILED, failure=told)

        mended = a_request(idempotency_key="one", prompt="a rough sea")
        claimed = await generations.claim(connection, "own-2", mended)
        again = await generations.claim(connection, "own-2", mended)

    assert (claimed.generation_id, claimed.is_new) == ("own-2", True)
    assert (again.generation_id, again.is_new) == ("own-2", False)


async def test_a_generation_that_was_reserved_is_never_revived(database: Pool) -> None:
    await a_generation(database, stage=Stage.STAGING)
    await record(database, Stage.FAILED)

    again = await claim(database)

    assert again == Claim("gen_one", Stage.FAILED, is_new=False)


async def test_a_generation_with_a_tombstone_is_never_revived(database: Pool) -> None:
    await claim(database)
    async with database.acquire() as connection, connection.transaction():
        await money.release(connection, "gen_one")
        await generations.record(connection, "gen_one", Stage.CANCELLED)

    assert not (await claim(database)).is_new


@pytest.mark.parametrize("generation_id", ["", "x" * 201], ids=len)
async def test_an_id_of_a_callers_own_has_a_length(database: Pool, generation_id: str) -> None:
    with pytest.raises(RequestRefused, match="1 to 200") as refused:
        await claim(database, generation_id)

    assert refused.value.failure.kind is FailureKind.INVALID_REQUEST


async def test_an_id_of_a_callers_own_may_be_any_text(database: Pool) -> None:
    assert (await claim(database, "ünser Auftrag № 7 / x" * 8)).is_new


async def test_a_step_is_recorded_once(database: Pool) -> None:
    await claim(database)

    recorded = [await record(database, Stage.RESERVING) for _ in range(2)]

    assert recorded == [True, False]
    assert await seqs(database) == [1, 2]


async def test_a_step_that_the_table_does_not_know_changes_nothing(database: Pool) -> None:
    await claim(database)

    assert not await record(database, Stage.GENERATING)

    assert await stage_of(database, "gen_one") is Stage.ACCEPTED
    assert await seqs(database) == [1]


async def test_a_generation_that_is_not_there_records_nothing(database: Pool) -> None:
    assert not await record(database, Stage.RESERVING, generation_id="gen_none")


async def test_nothing_follows_the_end(database: Pool) -> None:
    await a_generation(database, stage=Stage.COMPLETED)

    recorded = [await record(database, stage) for stage in Stage]

    assert not any(recorded)
    assert await database.fetchval("SELECT completed_at FROM generations") is not None


async def test_a_failure_is_kept_while_it_lasts(database: Pool) -> None:
    await a_generation(database, stage=Stage.GENERATING)
    told = failure(FailureKind.DEADLINE_PASSED, "It took long.")
    async with database.acquire() as connection, connection.transaction():
        await generations.record(connection, "gen_one", Stage.TIMED_OUT, failure=told)
    parked = await database.fetchval("SELECT failure FROM generations")

    await record(database, Stage.GENERATING)

    assert parked["kind"] == "deadline_passed"
    assert await database.fetchval("SELECT failure FROM generations") is None
    event = await database.fetchval("SELECT data FROM events WHERE stage = 'timed_out'")
    assert event["failure"] == told.model_dump(mode="json")


async def test_writers_at_once_leave_no_gap_in_the_events(database: Pool) -> None:
    await claim(database)
    way = usual_way_to(Stage.COMPLETED)

    async def push() -> None:
        for stage in way:
            await record(database, stage)

    await asyncio.gather(*(push() for _ in range(6)))

    assert await seqs(database) == list(range(1, len(way) + 2))
    assert await stage_of(database, "gen_one") is Stage.COMPLETED


async def test_an_event_goes_with_its_effect_or_not_at_all(database: Pool) -> None:
    await claim(database)

    async with database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await generations.record(connection, "gen_one", Stage.RESERVING)
        await transaction.rollback()

    assert await stage_of(database, "gen_one") is Stage.ACCEPTED
    assert await seqs(database) == [1]


async def test_listeners_are_told_which_event_of_which_generation(
    database: Pool, database_url: str
) -> None:
    await claim(database)
    heard: asyncio.Queue[str] = asyncio.Queue()

    def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        heard.put_nowait(str(payload))

    listener = await asyncpg.connect(database_url)
    try:
        await listener.add_listener("stillmotion_events", hear)
        await record(database, Stage.RESERVING)
        payload = await asyncio.wait_for(heard.get(), 20)
    finally:
        await listener.close()

    assert payload == "2 gen_one"


async def test_only_a_reserved_generation_has_work(database: Pool) -> None:
    await claim(database)

    async with database.acquire() as connection:
        for generation_id in ("gen_one", "gen_none"):
            with pytest.raises(UnknownGeneration):
                await work_of(connection, generation_id)


async def test_the_work_of_a_reserved_generation_is_what_was_agreed(database: Pool) -> None:
    await a_generation(database)

    async with database.acquire() as connection:
        work = await work_of(connection, "gen_one")

    assert (work.user_id, work.prompt, work.prompt_by) == ("ann", "a calm sea", "caller")
    assert work.terms.generation_id == "gen_one"
    assert set(work.inputs) == {"image"}


async def test_a_prompt_is_stored_once(database: Pool) -> None:
    await a_generation(database)

    await database.execute(generations.SQL["set_prompt"], "gen_one", "another", "llm", [])

    assert await database.fetchval("SELECT prompt FROM generations") == "a calm sea"


async def test_a_users_hash_is_stable_apart_and_gives_no_name_away(database: Pool) -> None:
    async with database.acquire() as connection:
        ann, again, bob = [await user_hash(connection, name) for name in ("ann", "ann", "bob")]
        await connection.execute("UPDATE deployment SET value = 'another key'")
        elsewhere = await user_hash(connection, "ann")

    assert ann == again
    assert len({ann, bob, elsewhere}) == 3
    assert len(ann) == 32
