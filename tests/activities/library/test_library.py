"""Assets: one per generation, read and deleted by their owner only."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.library import repository as library
from activities.library.repository import UnknownAsset
from activities.media.store import MediaStore
from tests.activities.conftest import a_generation, stage_of
from workflows.contracts.media import VideoFacts
from workflows.contracts.results import StoredVideo
from workflows.contracts.stages import Stage

FACTS = VideoFacts(
    size_bytes=7, sha256="b" * 64, duration_s=5, width=1280, height=720, codec="h264", frames=120
)


def a_video(name: str = "one", **given: object) -> StoredVideo:
    stored = {
        "key": f"outputs/owner/{name}.mp4",
        "poster_key": f"posters/owner/{name}.jpg",
        "extra_keys": (f"outputs/owner/{name}-extra.mp4",),
        "facts": FACTS,
    }
    return StoredVideo.model_validate({**stored, **given})


async def saved(
    pool: Pool, generation_id: str = "gen_one", video: StoredVideo | None = None
) -> str:
    await a_generation(pool, generation_id, stage=Stage.SAVING)
    return await save(pool, generation_id, video or a_video(generation_id))


async def save(pool: Pool, generation_id: str, video: StoredVideo) -> str:
    async with pool.acquire() as connection, connection.transaction():
        return await library.save(connection, generation_id, video)


async def test_an_asset_is_saved_with_its_title_tags_and_facts(
    database: Pool, store: MediaStore
) -> None:
    asset_id = await saved(database, video=a_video("one", warnings=("It is small.",), nsfw=True))

    asset = await library.read(database, store, asset_id, "ann")

    assert (asset.title, asset.prompt) == ("a calm sea", "a calm sea")
    assert asset.description.startswith("Image-to-video, 5.0 s, 1280x720")
    assert asset.tags == ("api", "video", "image-to-video", "720p")
    assert asset.metadata == {
        "operation": "image-to-video",
        "resolution": "720p",
        "duration": 5,
        "width": 1280,
        "height": 720,
    }
    assert (asset.duration_s, asset.width, asset.file_size_bytes) == (5, 1280, 7)
    assert (asset.warnings, asset.nsfw) == (("It is small.",), True)
    assert asset.file_path is not None
    assert asset.file_path.endswith("outputs/owner/one.mp4")
    assert await stage_of(database, "gen_one") is Stage.SETTLING


async def test_saving_again_keeps_the_first_asset(database: Pool, store: MediaStore) -> None:
    first = await saved(database)

    second = await save(database, "gen_one", a_video("two"))

    assert first == second
    asset = await library.read(database, store, first, "ann")
    assert asset.file_path is not None
    assert asset.file_path.endswith("gen_one.mp4")
    assert await database.fetchval("SELECT count(*) FROM assets") == 1


async def test_saving_at_once_makes_one_asset(database: Pool) -> None:
    await a_generation(database, stage=Stage.SAVING)

    ids = await asyncio.gather(*(save(database, "gen_one", a_video()) for _ in range(6)))

    assert len(set(ids)) == 1
    assert await database.fetchval("SELECT count(*) FROM assets") == 1


async def test_another_owners_asset_looks_like_none(database: Pool, store: MediaStore) -> None:
    asset_id = await saved(database)

    for attempt in (
        library.read(database, store, asset_id, "bob"),
        library.delete(database, store, asset_id, "bob"),
        library.read(database, store, "ast_none", "ann"),
    ):
        with pytest.raises(UnknownAsset):
            await attempt
    assert await library.find(database, store, user_id="bob") == []


async def test_an_asset_is_read_by_a_beginning_that_names_one(
    database: Pool, store: MediaStore
) -> None:
    asset_id = await saved(database)
    await saved(database, "gen_two")

    assert (await library.read(database, store, asset_id[:12], "ann")).asset_id == asset_id
    with pytest.raises(UnknownAsset, match="several"):
        await library.read(database, store, "ast_", "ann")


async def test_assets_are_found_by_the_words_of_their_prompt(
    database: Pool, store: MediaStore
) -> None:
    asset_id = await saved(database)

    async def found(words: str) -> list[str]:
        assets = await library.find(database, store, user_id="ann", words=words)
        return [asset.asset_id for asset in assets]

    assert await found("CALM sea") == [asset_id]
    assert await found("stormy sea") == []
    assert await found("sea' OR '1'='1") == []


async def test_assets_are_filtered_by_source_and_operation(
    database: Pool, store: MediaStore
) -> None:
    await saved(database)

    async def count(source: str | None = None, operation: str | None = None) -> int:
        found = await library.find(
            database, store, user_id="ann", source=source, operation=operation
        )
        return len(found)

    assert await count(source="api", operation="image-to-video") == 1
    assert await count(source="podcast_maker") == 0
    assert await count(operation="talking-avatar") == 0


async def test_assets_are_found_by_one_whole_tag(database: Pool, store: MediaStore) -> None:
    asset_id = await saved(database)

    async def found(tag: str, words: str | None = None) -> list[str]:
        assets = await library.find(database, store, user_id="ann", tag=tag, words=words)
        return [asset.asset_id for asset in assets]

    assert await found("image-to-video") == [asset_id]
    assert await found("image-to-video", "calm") == [asset_id]
    assert await found("image-to-video", "storm") == []
    assert await found("image") == []
    assert await found("scene_3") == []


async def test_the_newest_assets_come_first_and_no_more_than_asked(
    database: Pool, store: MediaStore
) -> None:
    for generation_id in ("gen_b", "gen_a", "gen_c"):
        await saved(database, generation_id)

    assets = await library.find(database, store, user_id="ann", limit=2)

    assert [asset.generation_id for asset in assets] == ["gen_c", "gen_a"]


async def test_a_page_goes_on_after_the_last_asset_of_the_one_before(
    database: Pool, store: MediaStore
) -> None:
    saved_ids = {await saved(database, f"gen_{number}") for number in range(5)}
    # Those of one transaction are told apart by their ids.
    await database.execute("UPDATE assets SET created_at = now()")

    pages = list[list[str]]()
    after: str | None = None
    while len(pages) < 4 and (
        page := await library.find(database, store, user_id="ann", limit=2, after=after)
    ):
        pages.append([asset.asset_id for asset in page])
        after = pages[-1][-1]

    assert [len(page) for page in pages] == [2, 2, 1]
    assert {asset_id for page in pages for asset_id in page} == saved_ids


async def test_a_page_after_an_asset_of_somebody_else_is_empty(
    database: Pool, store: MediaStore
) -> None:
    await a_generation(database, "gen_bob", stage=Stage.SAVING, user_id="bob")
    await save(database, "gen_bob", a_video("gen_bob"))
    asset_id = await saved(database, "gen_ann")

    assert await library.find(database, store, user_id="bob", after=asset_id) == []


MANY = """
WITH made AS (
    INSERT INTO generations (generation_id, user_id, idempotency_key, request_hash, request,
                             operation, source, model, stage)
    SELECT 'gen_' || n, user_id, 'key-' || n, request_hash, request, operation, source, model, stage
    FROM generations, generate_series(1, $1) AS n WHERE generation_id = 'gen_one'
    RETURNING generation_id)
INSERT INTO assets (asset_id, generation_id, user_id, source, operation, model, key, facts, title,
                    description, prompt, created_at)
SELECT 'ast_' || n, 'gen_' || n, user_id, source, operation, model, 'outputs/' || n, facts,
       'a harbour', '', '', now() - interval '1 day' - n * interval '1 minute'
FROM assets, generate_series(1, $1) AS n WHERE assets.generation_id = 'gen_one'
"""
"""So many assets like the one of `gen_one`, each older than the one before."""

HITS = {
    "submarine": (),
    "lighthouse": (150, 400, 690),
    "sail": tuple(range(1, 61)),
    "gull": tuple(range(1, 701, 7)),
    "ends": (*range(1, 20), *range(650, 690)),
}
"""Which of the assets, the newest first, have a word: none, old, new, one in seven, both ends."""


async def test_a_page_holds_the_newest_of_all_that_are_found_wherever_they_are(
    database: Pool, store: MediaStore
) -> None:
    await saved(database)
    await database.execute(MANY, 700)
    for word, numbers in HITS.items():
        await database.execute(
            "UPDATE assets SET title = title || ' ' || $1, tags = tags || $1"
            " WHERE asset_id = ANY ($2)",
            word,
            [f"ast_{number}" for number in numbers],
        )

    async def found(user_id: str, **page: Any) -> list[str]:
        assets = await library.find(database, store, user_id=user_id, **page)
        return [asset.asset_id for asset in assets]

    for word, numbers in HITS.items():
        wanted = [f"ast_{number}" for number in numbers]
        older = [f"ast_{number}" for number in numbers if number > 10]
        for limit, by in itertools.product((1, 10, 40, 1000), ("words", "tag")):
            page: dict[str, Any] = {by: word, "limit": limit}
            assert await found("ann", **page) == wanted[:limit]
            assert await found("ann", **page, after="ast_10") == older[:limit]
        assert await found("bob", words=word) == []


async def test_deleting_an_asset_hides_it_and_removes_its_files(
    database: Pool, store: MediaStore
) -> None:
    video = a_video()
    keys = [video.key, str(video.poster_key), *video.extra_keys]
    for key in keys:
        await store.put_bytes(b"content", key, mime_type="video/mp4")
    asset_id = await saved(database, video=video)

    await library.delete(database, store, asset_id, "ann")

    assert [await store.head(key) for key in keys] == [None] * 3
    assert await library.find(database, store, user_id="ann") == []
    with pytest.raises(UnknownAsset):
        await library.read(database, store, asset_id, "ann")
    with pytest.raises(UnknownAsset):
        await library.delete(database, store, asset_id, "ann")


async def test_a_generation_without_terms_has_no_asset(database: Pool, tmp_path: Path) -> None:
    with pytest.raises(generations.UnknownGeneration):
        await save(database, "gen_none", a_video())

    assert await database.fetchval("SELECT count(*) FROM assets") == 0
