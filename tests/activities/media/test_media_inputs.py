"""A user's inputs by role: the kind that it must be, and one stored copy for one owner."""

import json
from pathlib import Path

import pytest

from activities.database.pool import Pool
from activities.media.inputs import KINDS, Inputs
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from tests.activities.conftest import EXAMPLES, a_picture
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import MediaById, Role
from workflows.contracts.stories import Scene, StoryContext

KIND_OF_A_ROLE: list[tuple[Role, str]] = [
    ("image", "image"),
    ("audio", "audio"),
    ("mask_image", "image"),
    ("scene", "document"),
    ("story_context", "document"),
]
ROLE_FOR: dict[str, Role] = {"image": "image", "audio": "audio", "document": "story_context"}


@pytest.fixture
def inputs(database: Pool, store: MediaStore, media_settings: MediaSettings) -> Inputs:
    return Inputs(database, store, media_settings)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A good file of every kind."""
    picture, story = tmp_path / "picture.jpg", tmp_path / "story.json"
    picture.write_bytes(a_picture())
    story.write_text('{"title": "The lighthouse", "story_tone": "calm"}')
    return {"image": picture, "audio": EXAMPLES / "speech.wav", "document": story}


def test_every_role_has_its_kind() -> None:
    assert dict(KIND_OF_A_ROLE) == KINDS


@pytest.mark.parametrize(("role", "kind"), KIND_OF_A_ROLE)
async def test_a_role_takes_the_media_of_its_kind_and_refuses_all_other(
    inputs: Inputs, files: dict[str, Path], role: Role, kind: str
) -> None:
    stored = {
        each: (await inputs.add("ann", path, ROLE_FOR[each])).media_id
        for each, path in files.items()
    }

    found = await inputs.resolve("ann", MediaById(media_id=stored.pop(kind)), role)

    assert found.facts.kind == kind
    for other, media_id in stored.items():
        with pytest.raises(RequestRefused) as refused:
            await inputs.resolve("ann", MediaById(media_id=media_id), role)
        assert refused.value.failure.kind is FailureKind.INVALID_MEDIA
        assert str(refused.value) == f"{role}: {media_id} is {other}; allowed: {kind}."


@pytest.mark.parametrize(("role", "kind"), KIND_OF_A_ROLE)
async def test_a_file_of_another_kind_is_not_stored(
    inputs: Inputs, files: dict[str, Path], role: Role, kind: str
) -> None:
    for other in files.keys() - {kind}:
        with pytest.raises(RequestRefused, match=f"^{role}: ") as refused:
            await inputs.add("ann", files[other], role)
        assert refused.value.failure.kind is FailureKind.INVALID_MEDIA

    assert await inputs.pool.fetchval("SELECT count(*) FROM media") == 0


async def test_a_stored_document_is_told_by_the_role_it_stands_in(
    inputs: Inputs, files: dict[str, Path]
) -> None:
    added = await inputs.add("ann", files["document"], "scene")
    again = await inputs.add("ann", files["document"], "story_context")

    scene = await inputs.told("ann", added.media_id, "scene")
    story = await inputs.told("ann", added.media_id, "story_context")

    assert again.media_id == added.media_id
    assert scene == Scene(title="The lighthouse", unknown_keys=1)
    assert story == StoryContext(tone="calm", unknown_keys=1)
    assert await inputs.document("ann", added.media_id, "scene") == json.loads(
        files["document"].read_text()
    )


async def test_another_users_story_is_not_found(inputs: Inputs, files: dict[str, Path]) -> None:
    added = await inputs.add("ann", files["document"], "story_context")

    with pytest.raises(RequestRefused, match="is not a media id of this user"):
        await inputs.told("bob", added.media_id, "story_context")


async def test_a_story_whose_file_is_gone_is_refused_and_not_waited_for(
    inputs: Inputs, store: MediaStore, files: dict[str, Path]
) -> None:
    added = await inputs.add("ann", files["document"], "story_context")
    await store.delete(added.key)

    with pytest.raises(RequestRefused, match=r"^story_context: ") as refused:
        await inputs.told("ann", added.media_id, "story_context")

    assert refused.value.failure.kind is FailureKind.INVALID_MEDIA
