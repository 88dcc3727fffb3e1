"""A scene in the media store is read for its labels; a video is filed without it too."""

import json
from pathlib import Path
from typing import Any

import pytest

from activities.database.pool import Pool
from activities.library import repository as library
from activities.library.activities import LibraryActivities
from activities.library.repository import Asset
from activities.media.inputs import Inputs
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from tests.activities.conftest import MEDIA_ID, a_generation
from workflows.contracts.activities import Save
from workflows.contracts.media import VideoFacts
from workflows.contracts.results import StoredVideo
from workflows.contracts.stages import Stage

FACTS = VideoFacts(
    size_bytes=7, sha256="b" * 64, duration_s=5, width=1280, height=720, codec="h264", frames=120
)
VIDEO = StoredVideo(key="outputs/ann/one.mp4", facts=FACTS)


@pytest.fixture
def inputs(database: Pool, store: MediaStore, media_settings: MediaSettings) -> Inputs:
    return Inputs(database, store, media_settings)


async def stored(inputs: Inputs, folder: Path, document: Any) -> str:
    """The media id of a JSON document of the user `ann`."""
    path = folder / "scene.json"
    path.write_text(json.dumps(document))
    return (await inputs.add("ann", path, "scene")).media_id


async def filed(database: Pool, inputs: Inputs, store: MediaStore, media_id: str) -> Asset:
    """The asset of a finished Story Writer animation whose scene has this media id."""
    wanted = {"image": MEDIA_ID, "scene": media_id}
    await a_generation(database, stage=Stage.SAVING, inputs=wanted)
    request = {
        "operation": "scene-animation",
        "source": "story_writer",
        "user_id": "ann",
        "image": {"media_id": MEDIA_ID},
        "scene": {"media_id": media_id},
    }
    await database.execute(
        "UPDATE generations SET request = $1, operation = 'scene-animation',"
        " source = 'story_writer'",
        request,
    )
    activities = LibraryActivities(database, inputs)
    saved = await activities.save(Save(generation_id="gen_one", video=VIDEO))
    return await library.read(database, store, saved.asset_id, "ann")


async def test_a_stored_scene_gives_title_tag_and_number(
    database: Pool, inputs: Inputs, store: MediaStore, tmp_path: Path
) -> None:
    media_id = await stored(inputs, tmp_path, {"scene_id": "scene_7", "title": "The lamp"})

    asset = await filed(database, inputs, store, media_id)

    assert asset.title == "Scene 7: The lamp"
    assert asset.tags == ("story_writer", "video", "animation", "scene_7")
    assert asset.metadata == {"scene_number": 7, "duration": 5, "status": "completed"}


@pytest.mark.parametrize("content", [b'{"title": "\\u0000"}', b'{"lines": 5}', b"[]", b"{"])
async def test_a_stored_document_that_is_no_scene_does_not_hold_up_a_paid_video(
    database: Pool, inputs: Inputs, store: MediaStore, tmp_path: Path, content: bytes
) -> None:
    media_id = await stored(inputs, tmp_path, {"scene_number": 7})
    key = await database.fetchval("SELECT key FROM media WHERE media_id = $1", media_id)
    await store.put_bytes(content, key, mime_type="application/json")

    asset = await filed(database, inputs, store, media_id)

    assert asset.title == "Scene animation"
    assert asset.tags == ("story_writer", "video", "animation")


@pytest.mark.parametrize("lost", ["the row", "the file"])
async def test_a_scene_that_is_gone_does_not_hold_up_a_paid_video(
    database: Pool, inputs: Inputs, store: MediaStore, tmp_path: Path, lost: str
) -> None:
    media_id = await stored(inputs, tmp_path, {"scene_number": 7})
    key = await database.fetchval("SELECT key FROM media WHERE media_id = $1", media_id)
    if lost == "the row":
        await database.execute("DELETE FROM media")
    else:
        await store.delete(key)

    asset = await filed(database, inputs, store, media_id)

    assert asset.title == "Scene animation"
    assert asset.metadata == {"duration": 5, "status": "completed"}
