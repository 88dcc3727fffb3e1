"""What an owner changes of an asset, and the filters of lists that people narrow by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from activities.database.pool import Pool
from activities.library import repository as library
from activities.library.edits import AssetChanges
from activities.library.repository import Asset, UnknownAsset
from activities.media.store import MediaStore
from tests.activities.conftest import a_generation
from workflows.contracts.media import VideoFacts
from workflows.contracts.results import StoredVideo
from workflows.contracts.stages import Stage

FACTS = VideoFacts(
    size_bytes=7, sha256="b" * 64, duration_s=5, width=1280, height=720, codec="h264", frames=120
)


async def saved(pool: Pool, generation_id: str = "gen_one", user_id: str = "ann") -> str:
    await a_generation(pool, generation_id, user_id=user_id, stage=Stage.SAVING)
    video = StoredVideo(
        key=f"outputs/{generation_id}.mp4", poster_key=f"posters/{generation_id}.jpg", facts=FACTS
    )
    async with pool.acquire() as connection, connection.transaction():
        return await library.save(connection, generation_id, video)


async def edited(pool: Pool, store: MediaStore, asset_id: str, **changes: Any) -> Asset:
    return await library.edit(pool, store, asset_id, "ann", AssetChanges(**changes))


async def found(pool: Pool, store: MediaStore, **filters: Any) -> list[str]:
    assets = await library.find(pool, store, user_id="ann", **filters)
    return [asset.generation_id for asset in assets]


async def test_what_is_given_is_changed_and_the_rest_stays(
    starter_database: Pool, database: Pool, store: MediaStore
) -> None:
    asset_id = await saved(database)

    await edited(starter_database, store, asset_id, title="  Dusk ", favorite=True)
    asset = await edited(starter_database, store, asset_id, tags=["sea", "calm", "sea"])

    assert (asset.title, asset.favorite, asset.tags) == ("Dusk", True, ("sea", "calm"))
    assert asset.description.startswith("Image-to-video")
    assert asset == await library.read(database, store, asset_id, "ann")


async def test_what_is_emptied_is_empty_and_a_title_can_not_be(
    database: Pool, store: MediaStore
) -> None:
    asset_id = await saved(database)

    asset = await edited(database, store, asset_id, description="", tags=[])

    assert (asset.description, asset.tags) == ("", ())
    with pytest.raises(ValidationError, match="title"):
        AssetChanges(title="   ")


async def test_a_new_title_and_new_tags_are_what_the_asset_is_found_by(
    database: Pool, store: MediaStore
) -> None:
    asset_id = await saved(database)

    await edited(database, store, asset_id, title="The lighthouse", tags=["scene_7"])

    assert await found(database, store, words="lighthouse") == ["gen_one"]
    assert await found(database, store, tag="scene_7") == ["gen_one"]
    assert await found(database, store, tag="720p") == []


async def test_only_the_owner_edits_and_only_what_is_there(
    database: Pool, store: MediaStore
) -> None:
    asset_id = await saved(database)
    gone_id = await saved(database, "gen_gone")
    await library.delete(database, store, gone_id, "ann")

    for wanted, user_id in ((asset_id, "bob"), (gone_id, "ann"), (asset_id[:12], "ann")):
        with pytest.raises(UnknownAsset):
            await library.edit(database, store, wanted, user_id, AssetChanges(title="Mine"))

    assert (await library.read(database, store, asset_id, "ann")).title == "a calm sea"


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "a" * 201},
        {"title": "two\nlines"},
        {"title": "a\x00b"},
        {"description": "a" * 2001},
        {"description": "a\x00b"},
        {"tags": ["a" * 61]},
        {"tags": [" "]},
        {"tags": ["a\tb"]},
        {"tags": [str(number) for number in range(51)]},
        {"favorite": "yes"},
        {"prompt": "another one"},
        {"user_id": "bob"},
    ],
)
def test_what_is_too_long_or_nobodys_to_change_is_refused(changes: dict[str, Any]) -> None:
    (field,) = changes

    with pytest.raises(ValidationError, match=field):
        AssetChanges.model_validate(changes)


async def test_favorites_are_listed_by_themselves_and_searched_among(
    database: Pool, store: MediaStore
) -> None:
    for generation_id in ("gen_one", "gen_two", "gen_three"):
        asset_id = await saved(database, generation_id)
        await edited(database, store, asset_id, favorite=generation_id != "gen_two")

    assert await found(database, store, favorite=True) == ["gen_three", "gen_one"]
    assert await found(database, store, favorite=False) == ["gen_two"]
    assert await found(database, store, favorite=True, words="calm") == ["gen_three", "gen_one"]
    assert await found(database, store, favorite=False, tag="720p") == ["gen_two"]


async def test_assets_are_narrowed_to_a_span_of_time(database: Pool, store: MediaStore) -> None:
    now = datetime.now(UTC)
    for days, generation_id in enumerate(("gen_today", "gen_day_before", "gen_older")):
        asset_id = await saved(database, generation_id)
        await database.execute(
            "UPDATE assets SET created_at = $2 WHERE asset_id = $1",
            asset_id,
            now - timedelta(days=days),
        )
    yesterday = now - timedelta(days=1)

    assert await found(database, store, since=yesterday) == ["gen_today", "gen_day_before"]
    assert await found(database, store, until=yesterday) == ["gen_older"]
    assert await found(database, store, since=yesterday, until=now) == ["gen_day_before"]
    assert await found(database, store, since=yesterday, until=now, words="sea") == [
        "gen_day_before"
    ]


async def test_a_reader_sees_its_products_only_whatever_it_asks_for(
    database: Pool, store: MediaStore
) -> None:
    for generation_id, source in (("gen_api", "api"), ("gen_story", "story_writer")):
        await saved(database, generation_id)
        await database.execute(
            "UPDATE assets SET source = $2 WHERE generation_id = $1", generation_id, source
        )

    assert await found(database, store, sources=("api",)) == ["gen_api"]
    assert await found(database, store, sources=("api", "story_writer")) == ["gen_story", "gen_api"]
    assert await found(database, store, sources=("api",), source="story_writer") == []
    assert await found(database, store, sources=("api",), words="calm") == ["gen_api"]
    assert await found(database, store, sources=()) == []


async def test_the_files_of_an_asset_are_told_to_its_owner_and_product(
    database: Pool, store: MediaStore
) -> None:
    asset_id = await saved(database)

    files = await library.files_of(database, asset_id, "ann", ("api",))

    assert (files.key, files.poster_key) == ("outputs/gen_one.mp4", "posters/gen_one.jpg")
    assert files.facts == FACTS
    for wanted, user_id, sources in (
        (asset_id, "bob", None),
        (asset_id, "ann", ("story_writer",)),
        (asset_id[:12], "ann", None),
    ):
        with pytest.raises(UnknownAsset):
            await library.files_of(database, wanted, user_id, sources)
