"""`batch` and `batches` on the command line: files, quotes, exit codes, tables."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.starter.conftest import EXAMPLES, NOTHING, Cli, Pictures, Ran, Stack
from tests.starter.small_videos import SMALL, on_plan

A_LINE: dict[str, Any] = {
    "operation": "image-to-video",
    "image": "coffee.jpg",
    "prompt": "steam rises",
    "resolution": "480p",
}


@pytest.fixture
def episode(tmp_path: Path) -> "Episode":
    """A folder with a picture and a file of lines beside it."""
    folder = tmp_path / "episode"
    folder.mkdir()
    shutil.copy(EXAMPLES / "coffee.jpg", folder)
    return Episode(folder)


class Episode:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self, *items: dict[str, Any] | str, name: str = "episode.jsonl") -> str:
        """Write a file of items, raw lines as they are; its path."""
        written = (item if isinstance(item, str) else json.dumps(A_LINE | item) for item in items)
        path = self.folder / name
        path.write_text("\n".join(written))
        return str(path)

    def scenes(self, count: int) -> str:
        return self.lines(*({"prompt": f"scene {number}"} for number in range(1, count + 1)))


def json_of(ran: Ran, code: int = 0) -> Any:
    assert ran.code == code, ran
    return ran.json


async def test_a_file_becomes_videos_and_paths_are_relative_to_it(
    cli: Cli, stack: Stack, user: str, episode: Episode
) -> None:
    shutil.copy(EXAMPLES / "portrait.jpg", episode.folder)
    shutil.copy(EXAMPLES / "speech.wav", episode.folder)
    (episode.folder / "scene.json").write_text('{"title": "A cup of coffee"}')
    await on_plan(stack, user, "pro")
    avatar = {"operation": "talking-avatar", "image": "portrait.jpg", "audio": "speech.wav"}
    scene = {"operation": "scene-animation", "image": "coffee.jpg", "scene": "scene.json"}
    file = episode.lines({}, "", json.dumps(avatar), "  ", json.dumps(scene))

    async with stack.faults(SMALL):
        ran = await cli("batch", file, "--user", user, "--wait", "-o", "json")

    seen = json_of(ran)
    assert (seen["status"], seen["size"], seen["completed"]) == ("completed", 3, 3)
    assert [item["status"] for item in seen["items"]] == ["completed"] * 3
    assert [item["operation"] for item in seen["items"]] == [
        "image-to-video",
        "talking-avatar",
        "scene-animation",
    ]
    assert seen["batch_id"].startswith("bat_")


async def test_people_get_counts_on_the_way_and_a_table_at_the_end(
    cli: Cli, stack: Stack, user: str, episode: Episode
) -> None:
    file = episode.lines({"prompt": "all is well"}, {"prompt": "this goes wrong"})
    wrong = {"job": {"kind": "failed", "match": "goes wrong"}}

    async with stack.faults({**SMALL, **wrong}):
        ran = await cli("batch", file, "--user", user, "--wait")
    batch_id = ran.err.split()[0].removesuffix(":")
    async with stack.faults(SMALL):
        redone = await cli("batch", "--redo", batch_id, "--user", user, "--wait", "-o", "json")
    shown = await cli("batches", "show", batch_id[:14], "--user", user, "-o", "json")

    assert ran.code == 1
    assert "waiting of 2" in ran.err
    assert "1 completed, 1 failed of 2" in ran.out
    assert f"stillmotion batch --redo {batch_id}" in ran.err
    assert ran.out.splitlines()[0].split()[:4] == ["item", "id", "operation", "status"]
    mended = json_of(redone)
    assert (mended["redo_of"], mended["size"], mended["completed"]) == (batch_id, 1, 1)
    assert [item["position"] for item in json_of(shown)["items"]] == [1, 2]
    assert (await cli("batch", "--redo", mended["batch_id"], "--user", user)).code == 2


async def test_what_does_not_fit_the_plan_is_refused_before_the_start(
    cli: Cli, stack: Stack, user: str, episode: Episode
) -> None:
    ran = await cli("batch", episode.scenes(3), "--user", user, "--wait")

    assert ran.code == 4
    assert "items: 3 videos for $0.75; plan free has 2 videos and $2.00 left until" in ran.err
    assert "Nothing was charged." in ran.err
    assert (await stack.rows_of(user))["generations"] == 0
    assert (await cli("batches", "list", "--user", user)).out == "No batches.\n"


async def test_a_cost_limit_is_for_the_whole(cli: Cli, user: str, episode: Episode) -> None:
    file = episode.scenes(2)

    dry = await cli("batch", file, "--user", user, "--max-cost", "0.49", "--dry-run", "-o", "json")
    ran = await cli("batch", file, "--user", user, "--max-cost", "0.49")

    quoted = json_of(dry, code=4)
    assert (quoted["videos"], quoted["cost_usd_micros"], quoted["allowed"]) == (2, 500_000, False)
    assert quoted["refusal"]["kind"] == "max_cost_exceeded"
    assert ran.code == 4
    assert "--max-cost: the quote is 2 videos for $0.50, the limit $0.49." in ran.err


async def test_a_dry_run_quotes_and_stores_nothing(
    idle_cli: Cli, idle_stack: Stack, user: str, episode: Episode
) -> None:
    ran = await idle_cli("batch", episode.scenes(2), "--user", user, "--dry-run")

    assert ran.code == 0
    assert "cost       $0.50" in ran.out
    assert await idle_stack.rows_of(user) == NOTHING


async def test_detached_it_says_which_batch_and_a_repeat_finds_it(
    idle_cli: Cli, user: str, episode: Episode
) -> None:
    command = ("batch", episode.scenes(2), "--user", user, "--id", "mine", "-o", "json")

    first = json_of(await idle_cli(*command))
    second = json_of(await idle_cli(*command, "--detach"))
    listed = json_of(await idle_cli("batches", "list", "--user", user, "-o", "json"))

    assert first == second
    assert sorted(first) == ["batch_id", "status"]
    assert [(each["batch_id"], each["size"]) for each in listed] == [(first["batch_id"], 2)]


async def test_what_is_not_finished_in_time_goes_on_and_says_how_to_follow_it(
    idle_cli: Cli, user: str, episode: Episode
) -> None:
    ran = await idle_cli("batch", episode.scenes(1), "--user", user, "--timeout", "0.2")
    batch_id = ran.err.split()[0].removesuffix(":")
    watched = await idle_cli("batches", "watch", batch_id, "--timeout", "0.1", "-o", "quiet")

    assert (ran.code, watched.code) == (6, 6)
    assert f"stillmotion batches watch {batch_id}" in ran.err
    assert watched.out == batch_id + "\n"


async def test_a_cancel_is_waited_for_and_told_by_its_exit_code(
    cli: Cli, stack: Stack, user: str, episode: Episode
) -> None:
    async with stack.faults({"job": {"kind": "hang"}}):
        ran = await cli("batch", episode.scenes(2), "--user", user, "-o", "quiet", "--detach")
        batch_id = ran.out.strip()
        cancelled = await cli("batches", "cancel", batch_id, "--wait", "-o", "json")
        again = await cli("batches", "cancel", batch_id, "-o", "json")
    watched = await cli("batches", "watch", batch_id)

    assert json_of(cancelled)["status"] == "cancelled"
    assert json_of(again)["cancel_requested"] is False
    assert watched.code == 5


BAD_LINES = {
    "not JSON": ("{", "line 3 of episode.jsonl: not JSON (Expecting property name"),
    "a list": ("[1]", "line 3 of episode.jsonl: not an object; allowed: one JSON object a line."),
    "a duration": (
        {"duration_s": 7},
        "line 3 of episode.jsonl: duration_s: 7; allowed: one of 5, 10.",
    ),
    "a missing file": ({"image": "gone.jpg"}, "gone.jpg' is not a file; allowed: a readable file."),
    "no picture": ({"image": "episode.jsonl"}, "line 3 of episode.jsonl: image: "),
    "an old operation": (
        {"operation": "text-to-video"},
        "line 3 of episode.jsonl: operation: 'text-to-video'; allowed: image-to-video, ",
    ),
}


@pytest.mark.parametrize("case", BAD_LINES)
async def test_a_bad_line_is_named_with_its_field_and_starts_nothing(
    case: str, idle_cli: Cli, idle_stack: Stack, user: str, episode: Episode
) -> None:
    line, told = BAD_LINES[case]
    file = episode.lines({}, "", line)

    ran = await idle_cli("batch", file, "--user", user)

    assert ran.code == 2
    assert told in ran.err
    assert (await idle_stack.rows_of(user))["generations"] == 0
    assert (await idle_cli("batches", "list", "--user", user, "-o", "json")).json == []


async def test_a_bad_line_is_told_to_scripts_too(
    idle_cli: Cli, user: str, episode: Episode
) -> None:
    ran = await idle_cli(
        "batch", episode.lines({"seed": "x"}), "--user", user, "--dry-run", "-o", "json"
    )

    assert json_of(ran, code=2)["error"]["kind"] == "invalid_request"
    assert ran.json["error"]["message"].startswith("line 1 of episode.jsonl: seed: 'x'")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "One of them is needed; allowed: FILE, or --redo BATCH."),
        (("gone.jsonl",), "FILE: 'gone.jsonl': No such file or directory; allowed: a readable"),
        (("gone.jsonl", "--redo", "bat_1"), "One of them is needed"),
        (("--redo", "bat_nobodys"), "no batch begins with 'bat_nobodys'"),
        (("--redo", "bat_1", "--source", "api"), "--source: a redo keeps its batch's"),
        (("gone.jsonl", "--max-parallel", "101"), "--max-parallel: 101; allowed: 1 to 100."),
        (("gone.jsonl", "--max-cost", "much"), "--max-cost: 'much'; allowed: an amount in USD"),
        (("gone.jsonl", "--detach", "--timeout", "5"), "--timeout: nothing is waited for"),
    ],
    ids=str,
)
async def test_what_was_typed_wrong_is_told(
    words: tuple[str, ...], told: str, idle_cli: Cli
) -> None:
    ran = await idle_cli("batch", *words)

    assert ran.code == 2
    assert told in ran.err


async def test_an_empty_file_and_one_of_other_bytes_are_told(
    idle_cli: Cli, pictures: Pictures
) -> None:
    empty = await idle_cli("batch", pictures.file("empty.jsonl", b"\n\n"))
    binary = await idle_cli("batch", pictures.file("other.jsonl", b"\xff\xfe\x00"))

    assert (empty.code, binary.code) == (2, 2)
    assert "has 0 items; allowed: 1 to 500." in empty.err
    assert "not UTF-8 text; allowed: a readable JSONL file." in binary.err
