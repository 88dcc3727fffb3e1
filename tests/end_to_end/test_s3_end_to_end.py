"""A whole generation on a bucket: what people are told of the file, and how they get it."""

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, redirect_stdout
from pathlib import Path

import httpx
import pytest
from stacks import SMALL, Stack, a_user, finished

from starter import VideoClient
from starter.cli.app import run_command
from starter.handles import NotFinished
from tests.s3 import MEDIA_URL, S3, running_s3
from workflows.contracts.results import Generation
from workflows.contracts.stack import STACK_FILE

SIGNED = "X-Amz-Signature"
ANN, BOB = a_user(), a_user()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
async def s3(folder: Path) -> AsyncIterator[S3]:
    async with running_s3(folder) as server:
        yield server


@pytest.fixture(scope="module")
def left_behind(folder: Path) -> Path:
    """What a worker that was killed on this host had fetched of a film."""
    film = folder / "scratch" / ".stillmotion-incoming-dead" / "output-0.mp4"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"half")
    return film


@pytest.fixture(scope="module")
async def bucket_stack(
    whole_stack: Stack, folder: Path, s3: S3, left_behind: Path
) -> AsyncIterator[Stack]:
    """The session's stack with its media in a bucket, and one worker."""
    home = folder / "bucket-stack"
    home.mkdir()
    address = whole_stack.address.model_copy(update={"media": MEDIA_URL})
    (home / STACK_FILE).write_text(address.model_dump_json(), "utf-8")
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in s3.environment.items():
            patch.setenv(name, value)
        client = await stack.enter_async_context(await VideoClient.connect(home))
        told = Stack(home, address, client)
        await told.faults({"output": SMALL})
        scratch = {"TMPDIR": str(left_behind.parents[1])}
        await stack.enter_async_context(told.worker(settings=scratch))
        yield told
        await told.faults({})


@pytest.fixture(scope="module")
async def made(bucket_stack: Stack) -> Generation:
    return await finished(await bucket_stack.start(user_id=ANN))


async def test_a_generation_tells_its_place_in_the_bucket_unsigned(
    bucket_stack: Stack, made: Generation, s3: S3
) -> None:
    code, shown, _ = await bucket_stack.cli("show", made.generation_id, "-o", "json")
    listed = (await bucket_stack.cli("list", "-o", "json"))[1]
    document = json.loads(shown)

    assert code == 0
    assert document["file_path"] is None
    assert document["url"].startswith(f"{MEDIA_URL}/outputs/")
    assert document["url"].removeprefix("s3://bucket/") in await s3.objects()
    assert document["url"] in listed
    assert SIGNED not in shown + listed


async def test_a_link_gives_its_owner_the_recorded_file_and_no_one_else_gets_one(
    bucket_stack: Stack, made: Generation
) -> None:
    words = ("download", made.generation_id, "--link", "--expires", "60", "-o", "json")

    code, told, _ = await bucket_stack.cli(*words, "--user", ANN)
    other_code, other_told, _ = await bucket_stack.cli(*words, "--user", BOB)

    assert (code, other_code) == (0, 2)
    assert SIGNED not in other_told
    document = json.loads(told)
    assert document["expires_s"] == 60
    async with httpx.AsyncClient(trust_env=False) as http:
        video = (await http.get(document["link"])).raise_for_status().content
    assert hashlib.sha256(video).hexdigest() == made.sha256


async def test_download_copies_the_file_out_of_the_bucket(
    bucket_stack: Stack, made: Generation, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.mp4"

    code, _, _ = await bucket_stack.cli("download", made.generation_id, "--to", str(copy))

    assert code == 0
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == made.sha256


async def test_a_host_is_left_without_films_by_the_living_and_the_dead(
    made: Generation, left_behind: Path
) -> None:
    assert made.sha256
    assert list(left_behind.parents[1].iterdir()) == []


async def test_open_names_the_place_and_how_to_get_a_link_where_nobody_watches(
    bucket_stack: Stack, made: Generation
) -> None:
    code, told, hints = await bucket_stack.cli("open", made.generation_id, "-o", "json")

    assert code == 0
    assert json.loads(told)["file"] == made.url
    assert f"download {made.generation_id} --link" in " ".join(hints.split())
    assert SIGNED not in told + hints


async def test_open_on_a_terminal_plays_it_by_a_link_that_is_not_printed(
    bucket_stack: Stack, made: Generation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = tmp_path / "played"
    player = tmp_path / "xdg-open"
    player.write_text(f'#!/bin/sh\nprintf %s "$1" > {played}\n')
    player.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    words = ["open", made.generation_id, f"--data-dir={bucket_stack.data_dir}"]
    printed = Terminal()

    with redirect_stdout(printed):
        code = await asyncio.to_thread(run_command, words)

    assert code == 0
    assert SIGNED not in printed.getvalue()
    async with httpx.AsyncClient(trust_env=False) as http:
        video = (await http.get(played.read_text())).raise_for_status().content
    assert hashlib.sha256(video).hexdigest() == made.sha256


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--link", "--to", "x.mp4"], "--link: it writes no file; allowed: --link or --to."),
        (["--expires", "60"], "--expires: only a link ends; allowed: together with --link."),
        (["--link", "--expires", "604801"], "--expires: 604801; allowed: 1 to 604800 seconds"),
    ],
)
async def test_flags_of_a_link_that_can_t_be_meant_are_refused(
    bucket_stack: Stack, made: Generation, flags: list[str], told: str
) -> None:
    code, _, said = await bucket_stack.cli("download", made.generation_id, *flags, "-o", "human")

    assert code == 2
    assert told in " ".join(said.split())


async def test_a_store_in_a_folder_has_no_links_and_says_what_to_type(
    bucket_stack: Stack, made: Generation, tmp_path: Path
) -> None:
    address = bucket_stack.address.model_copy(update={"media": (tmp_path / "media").as_uri()})
    (tmp_path / STACK_FILE).write_text(address.model_dump_json(), "utf-8")
    local = Stack(tmp_path, address, bucket_stack.client)

    code, _, said = await local.cli("download", made.generation_id, "--link", "-o", "human")

    assert code == 1
    assert "The media store is a folder, to which there are no links." in said
    assert f"stillmotion download {made.generation_id} --to PATH" in " ".join(said.split())


async def test_no_signed_address_is_kept_anywhere(bucket_stack: Stack, made: Generation) -> None:
    handle = await bucket_stack.client.get(made.generation_id, user_id=ANN)
    assert await handle.link() is not None

    workflow = bucket_stack.client.temporal.get_workflow_handle(made.generation_id)
    history = (await workflow.fetch_history()).to_json()
    rows = await bucket_stack.rows(
        "SELECT (SELECT string_agg(g::text, '') FROM generations g)"
        " || (SELECT string_agg(e::text, '') FROM events e)"
        " || (SELECT string_agg(a::text, '') FROM assets a)"
    )

    assert SIGNED not in history
    assert SIGNED not in str(rows)


async def test_what_has_no_video_yet_has_no_link(bucket_stack: Stack) -> None:
    handle = await bucket_stack.start(user_id=ANN, idempotency_key="no-video-yet")

    with pytest.raises(NotFinished):
        await handle.link()

    await finished(handle)


async def test_doctor_says_how_to_repair_a_bucket_that_is_not_there(
    bucket_stack: Stack, tmp_path: Path
) -> None:
    address = bucket_stack.address.model_copy(update={"media": "s3://nowhere/prefix"})
    (tmp_path / STACK_FILE).write_text(address.model_dump_json(), "utf-8")
    elsewhere = Stack(tmp_path, address, bucket_stack.client)

    code, told, _ = await elsewhere.cli("doctor", "-o", "json")

    (check,) = (one for one in json.loads(told)["checks"] if one["name"] == "media store")
    assert code == 3
    assert check["detail"] == "could not store a file: there is no such bucket"
    assert check["repair"].startswith("make the bucket (aws s3 mb s3://BUCKET)")
