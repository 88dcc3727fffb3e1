"""Scenes and stories that are stored as JSON: what is one, and what is refused with the reason."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from activities.media.documents import parse_document, read_document, tell
from activities.media.errors import MediaInvalid, TooLarge
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import Role
from workflows.contracts.stories import DOCUMENT_BYTES_MAX, Scene, StoryContext

Write = Callable[[str, bytes], Path]

FRAME = len(b'{"outline":""}')
LARGEST = b'{"outline":"' + b"x" * (DOCUMENT_BYTES_MAX - FRAME) + b'"}'


def test_a_document_is_known_by_its_size_and_hash(write: Write) -> None:
    content = '{"tone": "ruhig, später stürmisch"}'.encode()

    facts = read_document(write("story.json", content), "story_context")

    assert (facts.kind, facts.mime_type) == ("document", "application/json")
    assert facts.size_bytes == len(content)
    assert facts.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_document_may_be_in_every_encoding_of_json(encoding: str) -> None:
    content = '{"tone": "später 😀"}'.encode(encoding)

    assert parse_document(content, "story.json") == {"tone": "später 😀"}


def test_the_largest_document_is_taken_and_a_byte_more_is_refused(write: Write) -> None:
    assert len(LARGEST) == DOCUMENT_BYTES_MAX
    assert (
        read_document(write("story.json", LARGEST), "story_context").size_bytes
        == DOCUMENT_BYTES_MAX
    )

    with pytest.raises(TooLarge, match="at most 262144 bytes of JSON") as refused:
        read_document(write("story.json", LARGEST + b" "), "story_context")

    assert str(refused.value).startswith("story.json has more than 262144 bytes;")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xd8\xff\xe0", "is not JSON"),
        (b'{"tone": "\xff"}', "is not JSON"),
        (b'{"tone": "calm"} and more', "is not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "is not JSON"),
        (b'{"scene_number": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"null", "holds no JSON object"),
        (b"[]", "holds no JSON object"),
        (b'"a story"', "holds no JSON object"),
        (b"3", "holds no JSON object"),
    ],
    ids=lambda each: str(each)[:30],
)
def test_what_is_no_json_object_is_refused_by_the_files_name(
    write: Write, content: bytes, reason: str
) -> None:
    with pytest.raises(MediaInvalid) as refused:
        read_document(write("story.json", content), "story_context")

    assert str(refused.value) == f"story.json {reason}; allowed: a JSON object"


@pytest.mark.parametrize(
    ("role", "document", "told"),
    [
        ("scene", {"scene_number": -1}, "scene.scene_number: Input should be greater than"),
        ("scene", {"title": "a\x00b"}, "scene.title: must not contain NUL characters."),
        (
            "story_context",
            {"bible": {"tone": [[[[[[["deep"]]]]]]]}},
            "story_context.bible.tone: it is nested deeper than 6 levels.",
        ),
        (
            "story_context",
            {"anime_bible": {"main_cast": [{"name": "\ud800"}]}},
            "story_context.anime_bible.main_cast.0.name: must be valid Unicode",
        ),
    ],
    ids=str,
)
def test_a_document_that_is_no_scene_or_story_is_refused_with_the_place(
    write: Write, role: Role, document: dict[str, object], told: str
) -> None:
    path = write("told.json", json.dumps(document).encode())

    with pytest.raises(RequestRefused) as refused:
        read_document(path, role)

    assert refused.value.failure.kind is FailureKind.INVALID_MEDIA
    assert refused.value.failure.message.startswith(told)


def test_a_document_is_told_as_its_role_says() -> None:
    document = {"title": "The lighthouse", "tone": "calm"}

    scene, story = tell(document, "scene"), tell(document, "story_context")

    assert scene == Scene(title="The lighthouse", unknown_keys=1)
    assert story == StoryContext(tone="calm", unknown_keys=1)
