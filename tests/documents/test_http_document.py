"""docs/http.md and README's lines of curl, typed into a shell, beside a real `stillmotion dev`."""

import hashlib
import json
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from stacks import REPOSITORY, running_dev

from tests.documents.rehearsal import Block, parse
from tests.documents.shell import Shell

DOCUMENT = (REPOSITORY / "docs" / "http.md").read_text("utf-8")
README = (
    (REPOSITORY / "README.md").read_text("utf-8").split("\n## Over HTTP\n")[1].split("\n## ")[0]
)

pytestmark = [pytest.mark.slow, pytest.mark.tools("curl")]


class Typed(NamedTuple):
    """What every line printed, in order."""

    lines: list[tuple[str, str]]

    def at(self, words: str) -> str:
        """What the one line printed that has these words."""
        (printed,) = (printed for line, printed in self.lines if words in line)
        return printed

    def json(self, words: str) -> Any:
        return json.loads(self.at(words))


def commands(text: str) -> list[str]:
    return [
        command for block in parse(text) if isinstance(block, Block) for command in block.commands
    ]


@pytest.fixture(scope="module")
async def folder() -> AsyncIterator[Path]:
    """A reader's folder, where `stillmotion dev` runs."""
    with tempfile.TemporaryDirectory(prefix="sm-http-") as name:
        folder = Path(name)
        (folder / "examples").symlink_to(REPOSITORY / "examples")
        async with running_dev(folder / ".stillmotion", "--sandbox-work-s=1", api=True):
            yield folder


async def typed_in(folder: Path, text: str) -> Typed:
    """A whole text, typed into one shell. A line that fails ends it."""
    shell = await Shell.start(folder, folder / "errors.log")
    try:
        await shell.run(f"export PYTHONPATH={REPOSITORY}")
        return Typed([(command, await shell.run(command)) for command in commands(text)])
    finally:
        await shell.close()


@pytest.fixture(scope="module")
async def typed(folder: Path) -> Typed:
    return await typed_in(folder, DOCUMENT)


@pytest.mark.parametrize("text", [DOCUMENT, README], ids=["docs/http.md", "README.md"])
def test_every_block_is_typed(text: str) -> None:
    blocks = [block for block in parse(text) if isinstance(block, Block)]

    assert len(blocks) == text.count("```console\n")
    assert all(block.left_out is None for block in blocks)
    assert sum(len(block.commands) for block in blocks) == len(
        re.findall(r"^\$ ", text, re.MULTILINE)
    )


async def test_the_lines_of_the_readme_do_what_the_page_does(folder: Path) -> None:
    typed = await typed_in(folder, README)

    stages = re.findall(r"^event: ?(\w+)$", typed.at("/events"), re.MULTILINE)
    (found,) = json.loads(typed.at("tee found.json"))["items"]
    assert json.loads(typed.at("/v1/estimates"))["allowed"] is True
    assert (stages[0], stages[-1]) == ("accepted", "completed")
    assert found["prompt"] == "steam rises slowly"
    video = (folder / "coffee.mp4").read_bytes()
    assert hashlib.sha256(video).hexdigest() == found["sha256"]
    assert typed.at("DELETE") == ""


def test_the_price_is_known_before_anything_is_started(typed: Typed) -> None:
    by_id, by_file = (
        typed.json(words) for words in ('@request.json "$API/v1/estimates"', "examples/coffee.jpg")
    )

    assert by_id["allowed"] is True
    assert by_file["allowed"] is True
    assert by_id["quote"]["cost_usd_micros"] > 0


def test_the_same_request_again_is_the_same_video(typed: Typed) -> None:
    assert typed.at("again.json") == "200\n"


def test_every_stage_is_told_once_and_the_stream_ends(typed: Typed) -> None:
    whole = typed.at('--no-buffer "$API$GENERATION/events"')
    rest = typed.at("Last-Event-ID: 3")

    ids = [int(number) for number in re.findall(r"^id: ?(\d+)$", whole, re.MULTILINE)]
    stages = re.findall(r"^event: ?(\w+)$", whole, re.MULTILINE)
    assert ids == sorted(set(ids))
    assert (stages[0], stages[-1]) == ("accepted", "completed")
    assert [int(each) for each in re.findall(r"^id: ?(\d+)$", rest, re.MULTILINE)] == [
        number for number in ids if number > 3
    ]


def test_a_download_in_two_parts_is_the_file_that_was_verified(typed: Typed) -> None:
    first, rest = typed.at("--range"), typed.at("--continue-at")

    assert first == "206\n"
    assert re.fullmatch(r"206 [1-9]\d*\n", rest)
    assert typed.at("sha256sum").split()[0] == typed.at("field sha256").strip()


def test_it_is_found_by_its_words_until_it_is_deleted(typed: Typed) -> None:
    (found,) = typed.json("--data-urlencode")["items"]
    changed = typed.json("PATCH")
    gone = typed.json('ask "$ASSET" ||')

    assert found["prompt"] == "the camera climbs along the rocket"
    assert changed["asset_id"] == found["asset_id"]
    assert (changed["title"], changed["favorite"]) == ("To the moon", True)
    assert typed.at("DELETE") == "204\n"
    assert (gone["status"], gone["kind"]) == (404, "unknown_asset")


def test_what_can_not_be_asked_is_told_as_a_problem(typed: Typed) -> None:
    problem = typed.json("text-to-video")

    assert problem["status"] == 422
    assert "text-to-video" in problem["detail"]
