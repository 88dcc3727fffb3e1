"""The media store against its rows: nothing that is named, needed or another's is ever deleted."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from activities.generations.repository import user_hash
from activities.library import repository as library
from activities.provider.wavespeed import WaveSpeed
from activities.sweeping import tidying
from tests.activities.conftest import MEDIA_ID, a_client, a_generation, an_image, some_terms
from tests.activities.sweeping.conftest import DAY, Yard
from workflows.contracts.media import VideoFacts
from workflows.contracts.results import StoredVideo
from workflows.contracts.stages import Stage
from workflows.contracts.sweeps import FindingKind, Swept

FACTS = VideoFacts(
    size_bytes=5, sha256="b" * 64, duration_s=5, width=1280, height=720, codec="h264", frames=120
)


@pytest.fixture
async def wavespeed() -> AsyncIterator[WaveSpeed]:
    """No provider: nothing here asks it."""
    async with a_client("http://127.0.0.1:9/api/v3") as client:
        yield client


async def tidy(yard: Yard) -> Swept:
    return await yard.look("tidy_media")


async def ended(yard: Yard, generation_id: str = "gen_one") -> str:
    return await a_generation(yard.pool, generation_id, stage=Stage.COMPLETED)


async def saved(yard: Yard, generation_id: str = "gen_one", *extra: str) -> StoredVideo:
    """A finished video with its files, two days old."""
    await a_generation(yard.pool, generation_id, stage=Stage.SAVING)
    video = StoredVideo(
        key=await yard.a_file(generation_id),
        poster_key=await yard.a_file(generation_id, folder="posters"),
        extra_keys=extra,
        facts=FACTS,
    )
    async with yard.pool.acquire() as connection, connection.transaction():
        await library.save(connection, generation_id, video)
    await yard.put(generation_id, Stage.COMPLETED)
    await yard.pool.execute("UPDATE assets SET created_at = now() - interval '2 days'")
    return video


async def an_input(yard: Yard, media_id: str = MEDIA_ID, *, unused: timedelta = DAY * 8) -> str:
    """A stored input that nobody has used for that long; its key."""
    key = await yard.stored(f"inputs/{'0' * 16}/{media_id[4:].ljust(64, '0')}", unused)
    await yard.pool.execute(
        "INSERT INTO media (media_id, user_id, key, facts, used_at)"
        " VALUES ($1, 'ann', $2, $3, now() - $4::interval)",
        media_id,
        key,
        an_image().model_dump(mode="json"),
        unused,
    )
    return key


@pytest.mark.parametrize("folder", ["outputs", "posters"])
async def test_a_file_that_no_asset_names_is_deleted_after_a_day(yard: Yard, folder: str) -> None:
    await ended(yard)
    key = await yard.a_file("gen_one", folder=folder)

    swept = await tidy(yard)

    assert swept.repaired == {"files_deleted": 1}
    assert not await yard.has(key)


async def test_a_file_of_today_is_left_alone(yard: Yard) -> None:
    await ended(yard)
    key = await yard.a_file("gen_one", age=timedelta(hours=23))

    swept = await tidy(yard)

    assert swept == Swept()
    assert await yard.has(key)


async def test_a_file_of_a_generation_that_goes_on_is_left_alone(yard: Yard) -> None:
    await a_generation(yard.pool, "gen_one", stage=Stage.DOWNLOADING)
    key = await yard.a_file("gen_one")

    await tidy(yard)

    assert await yard.has(key)


async def test_a_file_of_a_generation_that_this_database_does_not_know_is_left_alone(
    yard: Yard,
) -> None:
    key = await yard.a_file("gen_of_another_deployment")

    swept = await tidy(yard)

    assert swept == Swept()
    assert await yard.has(key)


async def test_a_file_of_another_deployments_user_of_the_same_name_is_left_alone(
    yard: Yard,
) -> None:
    async with yard.pool.acquire() as connection, connection.transaction():
        owner = await user_hash(connection, "ann")
        await connection.execute("UPDATE deployment SET value = 'theirs' WHERE name = 'hash_key'")
        theirs = await user_hash(connection, "ann")
    agreed = some_terms("gen_one", user_hash=owner)
    await a_generation(yard.pool, "gen_one", stage=Stage.COMPLETED, terms=agreed)
    ours, another = [await yard.a_file("gen_one", owner=each) for each in (owner, theirs)]

    swept = await tidy(yard)

    assert swept.repaired == {"files_deleted": 1}
    assert [await yard.has(ours), await yard.has(another)] == [False, True]


async def test_every_file_that_an_asset_names_is_left_alone(yard: Yard) -> None:
    extra = await yard.a_file("gen_one", name="c")
    video = await saved(yard, "gen_one", extra)
    unnamed = await yard.a_file("gen_one", name="d")

    swept = await tidy(yard)

    assert video.poster_key is not None
    assert swept.repaired == {"files_deleted": 1}
    assert [await yard.has(key) for key in (video.key, video.poster_key, extra)] == [True] * 3
    assert not await yard.has(unnamed)


async def test_what_a_deleted_asset_has_left_behind_is_deleted(yard: Yard) -> None:
    video = await saved(yard)
    await yard.pool.execute("UPDATE assets SET deleted_at = now()")

    swept = await tidy(yard)

    assert swept.repaired == {"files_deleted": 2}
    assert not await yard.has(video.key)


async def test_old_probes_and_halves_of_files_are_deleted(yard: Yard) -> None:
    probe = await yard.stored("probes/" + "0" * 32, DAY * 2)
    young = await yard.stored("probes/" + "1" * 32, timedelta(0))
    path = yard.store.local_path(probe)
    assert path is not None
    path.rename(path.with_name("half#1"))
    await yard.stored(probe, DAY * 2)

    swept = await tidy(yard)

    assert swept.repaired == {"files_deleted": 1, "leftovers_deleted": 1}
    assert [await yard.has(probe), await yard.has(young)] == [False, True]


async def test_the_whole_store_is_listed_once_an_hour(yard: Yard) -> None:
    await ended(yard)
    await tidy(yard)
    key = await yard.a_file("gen_one")

    too_early = await tidy(yard)
    await yard.pool.execute(
        "UPDATE deployment SET value = (now() - interval '1 hour')::text WHERE name = 'sweep files'"
    )
    later = await tidy(yard)

    assert too_early == Swept()
    assert later.repaired == {"files_deleted": 1}
    assert not await yard.has(key)


async def test_an_asset_whose_file_is_gone_is_told_until_it_is_back(yard: Yard) -> None:
    video = await saved(yard)
    await yard.store.delete(video.key)

    lost = await tidy(yard)
    told = await yard.findings(FindingKind.LOST_FILE)
    await yard.stored(video.key, timedelta(0))
    found = await tidy(yard)

    assert lost.found == {"lost_file": 1}
    assert list(told.values()) == ["the video of gen_one is not in the store"]
    assert found == Swept()
    assert await yard.findings(FindingKind.LOST_FILE) == {}


async def test_the_lost_file_of_an_asset_that_is_deleted_is_forgotten(yard: Yard) -> None:
    video = await saved(yard)
    await yard.store.delete(video.key)
    await tidy(yard)
    await yard.pool.execute("UPDATE assets SET deleted_at = now()")

    swept = await tidy(yard)

    assert swept.found == {}
    assert await yard.findings(FindingKind.LOST_FILE) == {}


async def test_assets_get_their_turn_and_one_turn_forgets_nothing_of_another(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "ASSETS_MAX", 1)
    for number in range(2):
        await yard.store.delete((await saved(yard, f"gen_{number}")).key)

    found = [(await tidy(yard)).found for _ in range(2)]

    assert found == [{"lost_file": 1}, {"lost_file": 1}]
    assert len(await yard.findings(FindingKind.LOST_FILE)) == 2


async def test_an_input_that_nobody_used_for_a_week_expires_with_its_file(yard: Yard) -> None:
    key = await an_input(yard)

    swept = await tidy(yard)

    assert swept.repaired == {"inputs_expired": 1}
    assert not await yard.has(key)
    assert await yard.pool.fetchval("SELECT count(*) FROM media") == 0


async def test_an_input_that_was_used_within_the_week_stays(yard: Yard) -> None:
    key = await an_input(yard, unused=timedelta(days=6))

    swept = await tidy(yard)

    assert swept == Swept()
    assert await yard.has(key)


async def test_an_input_of_a_generation_that_goes_on_stays(yard: Yard) -> None:
    key = await an_input(yard)
    await a_generation(yard.pool, "gen_one")
    await yard.put("gen_one", Stage.UNRESOLVED)

    swept = await tidy(yard)

    assert swept == Swept()
    assert await yard.has(key)


async def test_an_input_that_a_request_names_which_is_not_reserved_yet_stays(yard: Yard) -> None:
    key = await an_input(yard)
    await yard.accepted("gen_one")

    await tidy(yard)
    kept = await yard.has(key)
    await yard.put("gen_one", Stage.FAILED)
    await tidy(yard)

    assert kept
    assert not await yard.has(key)


async def test_an_input_of_a_batch_that_is_not_reserved_yet_stays(yard: Yard) -> None:
    key = await an_input(yard)
    await yard.pool.execute(
        "INSERT INTO batches (batch_id, user_id, idempotency_key, request_hash, source,"
        " max_parallel) VALUES ($1, 'ann', 'k', 'h', 'api', 1)",
        "bat_" + "a" * 26,
    )
    await yard.pool.execute(
        "INSERT INTO batch_items (batch_id, position, generation_id, request)"
        " VALUES ($1, 1, 'gen_one', $2)",
        "bat_" + "a" * 26,
        {"image": {"media_id": MEDIA_ID}},
    )

    await tidy(yard)

    assert await yard.has(key)


async def test_an_input_whose_bytes_were_uploaded_again_just_now_stays(yard: Yard) -> None:
    key = await an_input(yard)
    await yard.stored(key, timedelta(0))

    swept = await tidy(yard)

    assert swept == Swept()
    assert await yard.pool.fetchval("SELECT count(*) FROM media") == 1


async def test_a_kill_before_an_inputs_file_is_deleted_leaves_no_row_and_the_next_look_deletes_it(
    yard: Yard,
) -> None:
    key = await an_input(yard)
    await yard.sweeps.tidying._forget(MEDIA_ID)  # pyright: ignore[reportPrivateUsage]
    rows = await yard.pool.fetchval("SELECT count(*) FROM media")

    await tidy(yard)

    assert rows == 0
    assert not await yard.has(key)
    assert await notes(yard) == 0


@pytest.mark.parametrize("is_back", [True, False])
async def test_the_file_of_an_expired_input_that_came_back_meanwhile_stays(
    yard: Yard, *, is_back: bool
) -> None:
    key = await an_input(yard)
    await yard.sweeps.tidying._forget(MEDIA_ID)  # pyright: ignore[reportPrivateUsage]
    if is_back:
        await an_input(yard, unused=timedelta(days=2))
    else:
        # Its upload has stored the file, and not its row yet.
        await yard.stored(key, timedelta(0))

    await tidy(yard)

    assert await yard.has(key)
    assert await notes(yard) == 0


async def notes(yard: Yard) -> int:
    return await yard.pool.fetchval(
        "SELECT count(*) FROM deployment WHERE starts_with(name, 'sweep input ')"
    )
