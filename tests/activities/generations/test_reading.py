"""What people read of generations: only their own, from PostgreSQL alone."""

from datetime import UTC, datetime, timedelta

import pytest

from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.generations.reading import Filters, Reader
from activities.generations.repository import UnknownGeneration
from activities.ledger import repository as money
from activities.library import repository as library
from activities.media.store import MediaStore
from tests.activities.conftest import a_generation, a_request
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.media import VideoFacts
from workflows.contracts.progress import estimate
from workflows.contracts.requests import Operation, Source
from workflows.contracts.results import StoredVideo
from workflows.contracts.stages import Stage, Status

KEY = "outputs/0123456789abcdef/0123456789abcdef/" + "b" * 64 + ".mp4"


@pytest.fixture
def reader(database: Pool, store: MediaStore) -> Reader:
    return Reader(database, store)


async def completed(pool: Pool, generation_id: str = "gen_one") -> str:
    """A generation with its asset, settled; the asset's id."""
    await a_generation(pool, generation_id, stage=Stage.SAVING)
    facts = VideoFacts(
        size_bytes=7,
        sha256="b" * 64,
        duration_s=5,
        width=1280,
        height=720,
        codec="h264",
        frames=120,
    )
    async with pool.acquire() as connection, connection.transaction():
        asset_id = await library.save(connection, generation_id, StoredVideo(key=KEY, facts=facts))
        await money.settle(connection, generation_id, 500_000)
        await generations.record(connection, generation_id, Stage.COMPLETED)
    return asset_id


async def test_a_completed_generation_tells_its_file_and_its_cost(
    database: Pool, reader: Reader
) -> None:
    asset_id = await completed(database)

    read = await reader.read("gen_one", "ann")

    assert (read.status, read.stage) == (Status.COMPLETED, Stage.COMPLETED)
    assert (read.asset_id, read.cost_usd_micros, read.quoted_usd_micros) == (
        asset_id,
        500_000,
        500_000,
    )
    assert read.file_path is not None
    assert read.file_path.endswith(KEY)
    assert (read.width, read.height, read.sha256) == (1280, 720, "b" * 64)
    assert read.created_at.tzinfo is UTC


async def test_a_running_generation_has_a_quote_and_no_cost(database: Pool, reader: Reader) -> None:
    await a_generation(database)

    read = await reader.read("gen_one")

    assert (read.cost_usd_micros, read.quoted_usd_micros) == (None, 500_000)
    assert (read.file_path, read.asset_id, read.completed_at) == (None, None, None)


async def test_a_deleted_asset_is_not_shown(database: Pool, reader: Reader) -> None:
    await completed(database)
    await database.execute("UPDATE assets SET deleted_at = now()")

    read = await reader.read("gen_one")

    assert (read.asset_id, read.file_path, read.url) == (None, None, None)


async def test_another_owners_generation_looks_like_none(database: Pool, reader: Reader) -> None:
    await a_generation(database)

    for missing in (reader.read("gen_one", "bob"), reader.read("gen_none", "bob")):
        with pytest.raises(UnknownGeneration, match="no generation 'gen_"):
            await missing
    with pytest.raises(UnknownGeneration):
        await reader.progress("gen_one", "bob")
    with pytest.raises(UnknownGeneration):
        await reader.find_id("gen_", "bob")
    assert await reader.events("gen_one", user_id="bob") == []
    assert await reader.find(Filters(user_id="bob")) == []


async def test_events_are_read_from_where_a_reader_left_off(database: Pool, reader: Reader) -> None:
    await a_generation(database, stage=Stage.PROMPTING)

    events = await reader.events("gen_one", after_seq=1, user_id="ann")

    assert [(each.seq, each.stage) for each in events] == [
        (2, Stage.RESERVING),
        (3, Stage.PROMPTING),
    ]


async def test_a_beginning_that_names_one_generation_is_enough(
    database: Pool, reader: Reader
) -> None:
    for generation_id in ("gen_aa", "gen_ab", "gen_a"):
        await a_generation(database, generation_id)

    assert await reader.find_id("gen_aa") == "gen_aa"
    assert await reader.find_id("gen_a") == "gen_a"
    with pytest.raises(UnknownGeneration, match="several"):
        await reader.find_id("gen_")
    with pytest.raises(UnknownGeneration, match="no generation begins"):
        await reader.find_id("gen_b")


async def test_a_beginning_is_text_and_not_a_pattern(database: Pool, reader: Reader) -> None:
    await a_generation(database)

    with pytest.raises(UnknownGeneration):
        await reader.find_id("gen%")


async def test_lists_are_filtered_by_what_is_asked(database: Pool, reader: Reader) -> None:
    await a_generation(database, "gen_running")
    await completed(database, "gen_done")
    await a_generation(database, "gen_bob", user_id="bob")

    async def ids(**given: object) -> set[str]:
        filters = Filters()._replace(**given)
        return {each.generation_id for each in await reader.find(filters)}

    assert await ids() == {"gen_running", "gen_done", "gen_bob"}
    assert await ids(user_id="ann") == {"gen_running", "gen_done"}
    assert await ids(status=Status.COMPLETED) == {"gen_done"}
    assert await ids(status=Status.RUNNING, user_id="bob") == {"gen_bob"}
    assert await ids(operation=Operation.TALKING_AVATAR) == set()
    assert await ids(source=Source.API) == {"gen_running", "gen_done", "gen_bob"}
    assert await ids(source=Source.PODCAST_MAKER) == set()
    assert await ids(since=datetime.now(UTC) + timedelta(hours=1)) == set()
    assert len(await reader.find(Filters(limit=2))) == 2


async def test_a_list_is_narrowed_to_what_its_reader_may_see(
    database: Pool, reader: Reader
) -> None:
    await a_generation(database, "gen_api")
    await a_generation(database, "gen_story")
    await database.execute(
        "UPDATE generations SET source = 'story_writer' WHERE generation_id = 'gen_story'"
    )
    both = (Source.API, Source.STORY_WRITER)

    async def ids(**given: object) -> set[str]:
        filters = Filters()._replace(**given)
        return {each.generation_id for each in await reader.find(filters)}

    assert await ids(sources=both) == {"gen_api", "gen_story"}
    assert await ids(sources=(Source.STORY_WRITER,)) == {"gen_story"}
    assert await ids(sources=both, source=Source.API) == {"gen_api"}
    assert await ids(sources=(Source.STORY_WRITER,), source=Source.API) == set()
    assert await ids(sources=()) == set()


async def test_lists_show_the_newest_first(database: Pool, reader: Reader) -> None:
    for generation_id in ("gen_c", "gen_a", "gen_b"):
        await a_generation(database, generation_id)

    assert [each.generation_id for each in await reader.find(Filters())] == [
        "gen_b",
        "gen_a",
        "gen_c",
    ]


async def test_a_page_goes_on_after_the_last_generation_of_the_one_before(
    database: Pool, reader: Reader
) -> None:
    for number in range(5):
        await a_generation(database, f"gen_{number}")
    # Those of one transaction are told apart by their ids.
    await database.execute("UPDATE generations SET created_at = now()")

    pages = list[list[str]]()
    filters = Filters(user_id="ann", limit=2)
    while len(pages) < 4 and (page := await reader.find(filters)):
        pages.append([each.generation_id for each in page])
        filters = filters._replace(after=pages[-1][-1])

    assert pages == [["gen_4", "gen_3"], ["gen_2", "gen_1"], ["gen_0"]]


async def test_a_page_after_somebody_elses_generation_is_empty(
    database: Pool, reader: Reader
) -> None:
    await a_generation(database, "gen_ann")
    await a_generation(database, "gen_bob", user_id="bob")

    assert await reader.find(Filters(user_id="ann", after="gen_bob")) == []


async def test_progress_tells_the_workflows_story_without_a_worker(
    database: Pool, reader: Reader
) -> None:
    await a_generation(database, stage=Stage.GENERATING)

    facts = await reader.progress("gen_one", "ann")

    assert (facts.stage, facts.quoted_usd_micros) == (Stage.GENERATING, 500_000)
    assert facts.generating_since is not None
    assert facts.money == "$0.50 is reserved."


async def test_progress_of_a_download_that_parked_does_not_fall_back(
    database: Pool, reader: Reader
) -> None:
    await a_generation(database, stage=Stage.DOWNLOADING)
    now = datetime.now(UTC)
    before = estimate(await reader.progress("gen_one"), now).percent
    told = failure(FailureKind.OUTPUT_UNUSABLE, "It is no video.")
    async with database.acquire() as connection, connection.transaction():
        await generations.record(connection, "gen_one", Stage.TIMED_OUT, failure=told)

    facts = await reader.progress("gen_one")

    assert estimate(facts, now).percent >= before
    assert facts.failure == told


async def test_progress_of_what_has_ended_tells_the_money_as_the_ledger_did(
    database: Pool, reader: Reader
) -> None:
    await a_generation(database, stage=Stage.GENERATING)
    booked = "$0.50 was booked for now; the provider's bill corrects it."
    told = failure(FailureKind.CANCELLED, "Cancelled.").with_money(booked)
    async with database.acquire() as connection, connection.transaction():
        await generations.record(connection, "gen_one", Stage.CANCELLED, failure=told)

    facts = await reader.progress("gen_one")

    assert facts.money == booked


async def test_progress_of_one_that_was_only_accepted_knows_no_money(
    database: Pool, reader: Reader
) -> None:
    async with database.acquire() as connection:
        await generations.claim(connection, "gen_one", a_request())

    facts = await reader.progress("gen_one")

    assert (facts.expected_s, facts.quoted_usd_micros) == (None, None)
    assert facts.money == "Nothing was charged."
