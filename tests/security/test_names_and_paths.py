"""No id, name or title leads out of the folder, or into a command, that it was meant for."""

import json
import shlex
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.media.decoding import inspect
from activities.media.errors import MediaInvalid, NotStored
from activities.media.images import inspect_image
from activities.media.keys import output_key
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from starter.cli.batch_files import read_lines
from starter.cli.refusals import Usage, refused
from starter.cli.saving import Target, checked, save
from starter.handles import GenerationHandle
from starter.sources import checked as checked_source
from starter.tellings import stories_of
from tests.security.conftest import EXAMPLES, TRICKS, a_few
from workflows.contracts.failures import FailureKind, RequestRefused, failure
from workflows.contracts.ids import generation_digest, media_id_for

ESCAPES = (
    *(
        "../../outside",
        "..",
        ".",
        "/no-such-folder/x",
        "a/../../b",
        "~root/x",
        "a\\..\\b",
        ".hidden",
    ),
    *("-rf", "--help", "a\0b", "x" * 5000, "\u202egpj.exe", "a\nb", "con", "C:\\x", "%2e%2e%2fx"),
    *("日本" * 100, "$(touch x)", "`touch x`", "; rm -rf ~", "{0}", "{id.__class__}", "'", '"'),
)
"""Ids that a caller of the wire may choose, and names that a title may suggest."""


@pytest.mark.parametrize("generation_id", ESCAPES)
def test_a_video_is_saved_into_the_folder_whatever_its_id_is(
    tmp_path: Path, generation_id: str
) -> None:
    file = checked(tmp_path).file_for(generation_id)

    assert file.parent == tmp_path
    assert file.suffix == ".mp4"
    assert not file.name.startswith((".", "-"))
    assert len(file.name) < 250
    file.write_bytes(b"x")


def test_an_id_that_we_made_is_the_name_of_its_file(tmp_path: Path) -> None:
    assert Target(tmp_path, is_folder=True).file_for("gen_4xk2").name == "gen_4xk2.mp4"


class AVideo(GenerationHandle):
    """A finished video under a caller's own id."""

    def __init__(self, generation_id: str) -> None:
        self.id = generation_id

    async def stream(self) -> AsyncIterator[bytes]:
        yield b"video"


@pytest.mark.parametrize("generation_id", ESCAPES)
async def test_saving_writes_one_file_and_that_in_the_folder(
    tmp_path: Path, generation_id: str
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()

    written = await save(AVideo(generation_id), checked(folder))

    everything = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert everything == [written]
    assert written.parent == folder


@settings(max_examples=a_few(50), deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_keys_and_ids_hold_nothing_of_what_a_caller_chose(user_id: str, name: str) -> None:
    with suppress(UnicodeEncodeError):
        digest = generation_digest(name)
        assert output_key("ab" * 8, digest, "0" * 64, ".mp4").split("/")[2] == digest
        assert media_id_for(user_id, name)[4:].isalnum()


@pytest.mark.parametrize("key", [*ESCAPES, "outputs/../../x", "outputs//x", "outputs/x\n"])
async def test_the_store_neither_reads_nor_writes_nor_deletes_outside(
    tmp_path: Path, key: str
) -> None:
    plain = key in {"con", "-rf", "--help"}
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    store = MediaStore.from_url((tmp_path / "media").as_uri())

    for use in (store.local_path, store.url):
        with suppress(ValueError):
            use(key)
            assert plain
    for act in (
        store.put_bytes(b"theirs", key, mime_type="text/plain"),
        store.fetch_to(key, tmp_path / "copy"),
        store.delete(key),
    ):
        with suppress(ValueError, NotStored):
            await act
            assert plain

    assert outside.read_bytes() == b"mine"
    assert {path.name for path in tmp_path.iterdir()} <= {"outside", "media", "copy"}


@pytest.mark.parametrize("name", [*TRICKS.values(), "../../../etc/passwd", "$(touch x).jpg"])
def test_a_file_is_called_by_a_clean_short_name_of_its_own(tmp_path: Path, name: str) -> None:
    path = tmp_path / name.replace("/", "_")
    path.write_bytes(b"no picture")

    with pytest.raises(MediaInvalid) as refusal:
        inspect_image(path)

    assert str(refusal.value).isprintable()
    assert str(tmp_path) not in str(refusal.value)
    assert len(refusal.value.what) <= 80


@pytest.mark.parametrize("name", ["a\0.jpg", "\0", "é" * 200, "../" * 80 + "nothing", "/dev/zero"])
def test_an_items_path_that_can_not_be_a_file_is_refused_and_not_read(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / "many.jsonl"
    file.write_text(json.dumps({"image": name, "scene": name}))

    (line,) = read_lines(file)

    with pytest.raises(RequestRefused) as no_picture:
        checked_source(line.item["image"], "image")
    with pytest.raises(RequestRefused) as no_scene:
        stories_of({"scene": line.item["scene"]})
    assert str(no_picture.value).isprintable()
    assert str(no_scene.value).isprintable()


def test_a_title_is_no_path_in_a_batch_file(tmp_path: Path) -> None:
    file = tmp_path / "many.jsonl"
    scene = {"title": "../../outside", "scene_id": "/etc/passwd"}
    file.write_text(json.dumps({"scene": scene, "story_context": {"plot": "../x"}}))

    (line,) = read_lines(file)

    assert line.item == {"scene": scene, "story_context": {"plot": "../x"}}


@pytest.mark.parametrize("line", ["[" * 200_000, "\udcff", '"\\ud800"', "{" + '"a":' * 90_000])
def test_a_line_that_is_no_item_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "many.jsonl"
    file.write_bytes(line.encode("utf-8", "surrogateescape"))

    with pytest.raises(Usage) as refusal:
        read_lines(file)

    assert "many.jsonl" in str(refusal.value)


@pytest.mark.parametrize("generation_id", ESCAPES)
def test_a_command_to_type_holds_an_id_as_one_word(generation_id: str) -> None:
    for kind in FailureKind:
        told = failure(kind, "It failed.", generation_id=generation_id)
        waiting = told.while_waiting(generation_id, "$1.00 stays reserved.")

        for hint in (told.hint, refused(told, generation_id).hint, waiting.hint):
            _, command, rest = hint.partition("stillmotion resume ")
            assert not command or shlex.split(rest)[0] == generation_id


async def test_a_symbolic_link_in_place_of_a_video_is_replaced_and_not_followed(
    tmp_path: Path,
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (tmp_path / "gen_one.mp4").symlink_to(precious)

    await save(AVideo("gen_one"), checked(tmp_path))

    assert precious.read_bytes() == b"mine"
    assert (tmp_path / "gen_one.mp4").read_bytes() == b"video"


async def test_a_picture_under_a_hostile_name_is_taken_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / f"-{TRICKS['clears the screen']} $(touch x) {{0}}"
    path.write_bytes((EXAMPLES / "coffee.jpg").read_bytes())

    facts = await inspect("image", path, MediaSettings(media_url=tmp_path.as_uri()))

    assert facts.mime_type == "image/jpeg"
