"""What a video is filed under, for every product and operation."""

from typing import Any

import pytest

from activities.library.labels import Labels, labels_of
from tests.activities.conftest import MEDIA_ID, a_quote, some_terms
from workflows.contracts.media import VideoFacts
from workflows.contracts.requests import Operation, Source, parse_request
from workflows.contracts.stories import Scene

IMAGE, SCENE, AVATAR = Operation
STORED = {"media_id": MEDIA_ID}
LIGHTHOUSE = {"scene_number": 3, "title": "The lighthouse", "description": "The lamp goes out."}
FACTS = VideoFacts(
    size_bytes=7, sha256="b" * 64, duration_s=4.7912, width=1082, height=720, codec="h264", frames=1
)
SIZE = {"resolution": "720p", "duration": 4.791, "width": 1082, "height": 720}


def filed(
    source: Source, operation: Operation, stored: Scene | None = None, **fields: Any
) -> Labels:
    """The labels of a request that has what its operation needs, and `fields`."""
    needed: dict[Operation, dict[str, Any]] = {
        IMAGE: {"prompt": "steam rises"},
        SCENE: {"scene": LIGHTHOUSE},
        AVATAR: {"audio": STORED},
    }
    asked = {
        "operation": operation,
        "source": source,
        "user_id": "ann",
        "image": STORED,
        **needed[operation],
        **fields,
    }
    terms = some_terms("gen_one", operation=operation, source=source, quote=a_quote(duration_s=5))
    return labels_of(parse_request(asked), FACTS, terms, stored)


@pytest.mark.parametrize(
    ("source", "operation", "fields", "tags"),
    [
        (Source.STORY_WRITER, SCENE, {}, "story_writer video animation scene_3"),
        (
            *(Source.STORY_WRITER, AVATAR, {"scene": LIGHTHOUSE}),
            "story_writer video animation voiceover scene_3",
        ),
        (Source.STORY_WRITER, AVATAR, {}, "story_writer video animation voiceover"),
        (Source.STORY_WRITER, IMAGE, {}, "story_writer video image-to-video 720p"),
        (
            *(Source.PODCAST_MAKER, AVATAR, {"scene": {"scene_id": "scene_12"}}),
            "podcast_maker video animation voiceover scene_12",
        ),
        (Source.PODCAST_MAKER, SCENE, {}, "podcast_maker video animation scene_3"),
        (Source.PODCAST_MAKER, IMAGE, {}, "podcast_maker video image-to-video 720p"),
        (Source.IMAGE_STUDIO, IMAGE, {}, "image_studio transform video image-to-video 720p"),
        (Source.IMAGE_STUDIO, AVATAR, {}, "image_studio transform video talking-avatar 720p"),
        (
            *(Source.IMAGE_STUDIO, SCENE, {}),
            "image_studio transform video scene-animation 720p scene_3",
        ),
        (Source.VIDEO_STUDIO, IMAGE, {}, "video_studio transform video image-to-video 720p"),
        (Source.VIDEO_STUDIO, AVATAR, {}, "video_studio transform video talking-avatar 720p"),
        (
            *(Source.VIDEO_STUDIO, SCENE, {}),
            "video_studio transform video scene-animation 720p scene_3",
        ),
        (Source.API, IMAGE, {}, "api video image-to-video 720p"),
        (Source.API, SCENE, {}, "api video scene-animation 720p scene_3"),
        (Source.API, AVATAR, {}, "api video talking-avatar 720p"),
    ],
)
def test_a_video_has_the_tags_by_which_its_product_finds_it(
    source: Source, operation: Operation, fields: dict[str, Any], tags: str
) -> None:
    assert filed(source, operation, **fields).tags == tags.split()


@pytest.mark.parametrize("source", [Source.STORY_WRITER, Source.PODCAST_MAKER])
@pytest.mark.parametrize("operation", [SCENE, AVATAR])
def test_a_scene_of_a_story_or_podcast_keeps_its_number_and_the_true_duration(
    source: Source, operation: Operation
) -> None:
    labels = filed(source, operation, scene=LIGHTHOUSE)

    assert labels.metadata == {"scene_number": 3, "duration": 4.791, "status": "completed"}


@pytest.mark.parametrize("source", [Source.IMAGE_STUDIO, Source.VIDEO_STUDIO, Source.API])
@pytest.mark.parametrize("operation", [IMAGE, AVATAR])
def test_a_studios_video_keeps_operation_and_resolution_and_the_true_size(
    source: Source, operation: Operation
) -> None:
    assert filed(source, operation).metadata == {"operation": operation.value, **SIZE}


@pytest.mark.parametrize("source", [Source.IMAGE_STUDIO, Source.VIDEO_STUDIO, Source.API])
def test_a_scene_asked_for_by_another_product_has_its_number_too(source: Source) -> None:
    metadata = filed(source, SCENE).metadata

    assert metadata == {"scene_number": 3, "operation": "scene-animation", **SIZE}


@pytest.mark.parametrize("source", [Source.STORY_WRITER, Source.PODCAST_MAKER])
def test_an_image_to_video_of_a_storyteller_is_no_scene(source: Source) -> None:
    assert filed(source, IMAGE).metadata == {"operation": "image-to-video", **SIZE}


@pytest.mark.parametrize(
    ("source", "operation", "fields", "title"),
    [
        (Source.STORY_WRITER, SCENE, {}, "Scene 3: The lighthouse"),
        (Source.STORY_WRITER, AVATAR, {"scene": LIGHTHOUSE}, "Scene 3: The lighthouse"),
        (Source.PODCAST_MAKER, AVATAR, {"scene": {"scene_id": "s-4"}}, "Scene 4"),
        (Source.PODCAST_MAKER, AVATAR, {"scene": {"narration": "Hello"}}, "Talking avatar"),
        (Source.STORY_WRITER, SCENE, {"scene": STORED}, "Scene animation"),
        (Source.IMAGE_STUDIO, IMAGE, {}, "Image-to-video (720p): steam rises"),
        (Source.VIDEO_STUDIO, AVATAR, {}, "Talking avatar (720p)"),
        (Source.VIDEO_STUDIO, AVATAR, {"prompt": "a\n smile"}, "Talking avatar (720p): a smile"),
        (Source.API, IMAGE, {}, "steam rises"),
        (Source.API, AVATAR, {"prompt": "  "}, "Talking avatar"),
    ],
)
def test_a_title_is_the_scenes_else_the_callers_words_else_what_it_is(
    source: Source, operation: Operation, fields: dict[str, Any], title: str
) -> None:
    assert filed(source, operation, **fields).title == title


def test_a_scene_that_is_stored_gives_the_same_labels_as_one_in_the_request() -> None:
    stored = Scene.model_validate(LIGHTHOUSE)

    for source in Source:
        by_id = filed(source, SCENE, stored, scene=STORED)
        assert by_id == filed(source, SCENE, scene=LIGHTHOUSE)


def test_a_description_is_the_scenes_else_what_was_made() -> None:
    told = filed(Source.STORY_WRITER, SCENE).description
    spoken = filed(Source.STORY_WRITER, AVATAR, scene={"narration": "It is dark."}).description
    made = filed(Source.API, IMAGE).description

    assert told == "The lamp goes out."
    assert spoken == "It is dark."
    assert made == "Image-to-video, 4.8 s, 1082x720, by alibaba/wan-2.5/image-to-video"


def test_long_texts_are_cut_on_one_line() -> None:
    scene = {"title": "a  very\nlong title " * 40, "description": "a  long\nstory " * 200}

    labels = filed(Source.STORY_WRITER, SCENE, scene=scene)

    assert labels.title.startswith("Scene: a very long title a very")
    assert labels.title.endswith("…")
    assert len(labels.title) <= 80
    assert labels.description.startswith("a long story a long")
    assert len(labels.description) <= 500
