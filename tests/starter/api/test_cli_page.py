"""`open` without an id: the live page in a browser, signed in without a key in its argv."""

import asyncio
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.starter.api.conftest import Api
from tests.starter.conftest import clean_environment, run_here
from workflows.contracts.stack import STACK_FILE, StackAddress

KEY = "sm_" + "k" * 43
Announced = Callable[..., Path]


@pytest.fixture
def announced(api: Api, tmp_path: Path) -> Announced:
    """A data directory as a `dev` leaves it that runs the API of this test; what else it says."""
    key_file = tmp_path / "api.key"
    key_file.write_text(f"{KEY}\n")

    def announce(**said: str | None) -> Path:
        given = {"api": api.origin, "api_key_file": str(key_file), **said}
        stack: StackAddress = api.stack.address.model_copy(update=given)
        (tmp_path / STACK_FILE).write_text(stack.model_dump_json())
        return tmp_path

    return announce


@pytest.fixture
def opener(tmp_path: Path) -> dict[str, str]:
    """A desktop whose program for addresses writes down what it is given; its environment."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("xdg-open", "open"):
        script = programs / name
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{tmp_path}/opened"\n')
        script.chmod(0o700)
    return {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def opened(data_dir: Path) -> list[str]:
    path = data_dir / "opened"
    return path.read_text().splitlines() if path.exists() else []


def on_a_terminal(data_dir: Path, environment: dict[str, str]) -> tuple[int, str]:
    """`open` as a person types it; its exit code and what was seen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from starter.cli import main; main()", "open"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment(
            TERM="xterm", COLUMNS="80", STILLMOTION_DATA_DIR=str(data_dir), **environment
        ),
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65_536):
            seen += chunk
    except OSError:
        # The other end was closed: it has ended.
        pass
    os.close(ours)
    return process.wait(), seen.decode(errors="replace")


async def test_on_a_terminal_the_link_is_shown_and_opened_by_a_file_of_its_owner(
    api: Api, announced: Announced, opener: dict[str, str]
) -> None:
    data_dir = announced()

    code, seen = await asyncio.to_thread(on_a_terminal, data_dir, opener)

    link = f"{api.origin}/sign-in#key={KEY}"
    assert (code, api.origin in seen) == (0, True)
    # Whole, so that it can be copied from a narrow terminal.
    assert link in seen
    leading = data_dir / "open.html"
    assert opened(data_dir) == [leading.as_uri()]
    assert stat.S_IMODE(leading.stat().st_mode) == 0o600
    assert f'content="0; url={link}"' in leading.read_text()


@pytest.mark.parametrize("mode", ["human", "json", "jsonl", "quiet"])
async def test_elsewhere_it_says_where_the_page_is_and_no_key(
    api: Api, announced: Announced, opener: dict[str, str], mode: str
) -> None:
    data_dir = announced()

    ran = await run_here("open", "-o", mode, "--data-dir", str(data_dir), **opener)

    assert (ran.code, ran.err) == (0, "")
    assert api.origin in ran.out
    assert KEY not in ran.out
    if mode == "json":
        assert ran.json == {"page": api.origin}
    if mode == "quiet":
        assert ran.out == f"{api.origin}\n"
    assert opened(data_dir) == []


async def test_where_no_page_is_it_says_what_to_start(announced: Announced, tmp_path: Path) -> None:
    gone = await run_here("open", "--data-dir", str(announced(api="http://127.0.0.1:9")))
    without = await run_here("open", "--data-dir", str(announced(api=None)))
    nothing = await run_here("open", "--data-dir", str(tmp_path / "elsewhere"))

    assert (gone.code, without.code, nothing.code) == (3, 3, 3)
    assert "does not answer at http://127.0.0.1:9" in gone.err
    assert "pip install 'stillmotion[api]'" in without.err
    for ran in (gone, without, nothing):
        assert "stillmotion dev --data-dir" in ran.err


async def test_without_an_id_it_is_a_dev_that_is_meant_and_nobodys_video(
    announced: Announced,
) -> None:
    where = ("--data-dir", str(announced()))

    elsewhere = await run_here(
        "open", *where, STILLMOTION_DATABASE_URL="postgresql://nobody@127.0.0.1:9/none"
    )
    of_ann = await run_here("open", *where, "--user", "ann")

    assert (elsewhere.code, of_ann.code) == (2, 2)
    assert "ID: missing" in elsewhere.err
    assert "together with an ID" in of_ann.err
