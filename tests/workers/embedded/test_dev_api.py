"""The HTTP API of `stillmotion dev`: a process that it starts, starts again and takes with it."""

import asyncio
import base64
import json
import os
import pty
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from workers.embedded.processes import command_of, having_open
from workflows.contracts.stack import StackAddress, read_stack

AllGone = Callable[[Iterable[int]], Awaitable[None]]
WAIT_S = 60.0
DEV = ("-m", "workers", "dev")
WITHOUT_THE_EXTRA = (
    "-c",
    """import os, sys
sys.modules['fastapi'] = None
from workers.__main__ import main
os._exit(main(['dev', *sys.argv[1:]]))""",
)


@asynccontextmanager
async def dev(
    data_path: Path,
    *flags: str,
    program: tuple[str, ...] = DEV,
    stdout: int = PIPE,
    **environment: str,
) -> AsyncGenerator[Process]:
    """A `dev` without workers, for the time of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program, "--no-workers", f"--data-dir={data_path}", *flags),
        stdin=DEVNULL,
        stdout=stdout,
        stderr=PIPE,
        env=os.environ | environment,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def ready(process: Process) -> StackAddress:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), WAIT_S)
    return StackAddress.model_validate_json(line)


async def seen_on_a_terminal(terminal: int, wanted: str) -> str:
    """What was written there, as soon as it has a line with `wanted`; fails at its end."""
    seen = ""
    while not re.search(f"{wanted}.*\n", seen):
        seen += (await asyncio.to_thread(os.read, terminal, 65_536)).decode()
    return seen


def api_of(data_path: Path) -> int | None:
    """The process that serves the API of this data directory."""
    for pid in having_open(data_path / "lock"):
        if "starter.api" in command_of(pid):
            return pid
    return None


async def status(address: StackAddress) -> int:
    """What the API says to the key of its stack's own user."""
    assert address.api is not None
    assert address.api_key_file is not None
    key = Path(address.api_key_file).read_text("ascii").strip()
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=20) as http:
        return (await http.get(f"{address.api}/v1/usage", headers=headers)).status_code


async def answers_again(address: StackAddress) -> int:
    """Its status once it listens."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await status(address)
            except httpx.TransportError:
                await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_it_is_there_as_long_as_dev_is_at_one_address_with_one_key(
    used_data_path: Path, all_gone: AllGone
) -> None:
    async with dev(used_data_path, "--json") as process:
        address = await ready(process)
        first = api_of(used_data_path)
        before = await status(address)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await all_gone([first])
        after = await answers_again(address)
        second = api_of(used_data_path)
        assert second is not None
        process.kill()
        await process.wait()
        await all_gone([second])
    async with dev(used_data_path, "--json") as process:
        again = await ready(process)
        later = await status(again)

    assert (before, after, later) == (200, 200, 200)
    assert second != first
    assert again.api == address.api


@pytest.mark.slow
async def test_only_a_terminal_is_shown_the_link_that_signs_in(used_data_path: Path) -> None:
    ours, theirs = pty.openpty()
    async with dev(used_data_path, stdout=theirs):
        os.close(theirs)
        seen = await asyncio.wait_for(seen_on_a_terminal(ours, "signed in: "), WAIT_S)
        stack = read_stack(used_data_path)
        key = (used_data_path / "api.key").read_text("ascii").strip()
    os.close(ours)
    async with dev(used_data_path) as process:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), WAIT_S)).decode()
        process.send_signal(signal.SIGTERM)
        rest, said = await process.communicate()

    assert stack is not None
    assert f"The page, signed in: {stack.api}/sign-in#key={key}\r\n" in seen
    assert f"page {stack.api} (`stillmotion open --data-dir {used_data_path}`)" in line
    logs = [path.read_text(errors="replace") for path in (used_data_path / "logs").iterdir()]
    assert all(key not in text for text in (line, rest.decode(), said.decode(), *logs))
    assert key not in json.dumps(stack.model_dump())


@pytest.mark.slow
async def test_without_its_libraries_dev_goes_on_and_says_what_it_lacks(
    used_data_path: Path,
) -> None:
    async with dev(used_data_path, "--json", program=WITHOUT_THE_EXTRA) as process:
        address = await ready(process)
        served = api_of(used_data_path)
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()

    assert (address.api, served) == (None, None)
    assert b"No API and no page: they need fastapi" in said
    assert b"pip install 'stillmotion[api]'" in said
    assert process.returncode == 0


@pytest.mark.slow
async def test_where_payloads_are_encrypted_the_web_ui_knows_whom_to_ask_and_people_what_to_start(
    used_data_path: Path,
) -> None:
    keys = f"k1:{base64.b64encode(bytes(32)).decode()}"
    async with dev(used_data_path, "--json", "--no-api", STILLMOTION_PAYLOAD_KEYS=keys) as process:
        address = await ready(process)
        async with httpx.AsyncClient(trust_env=False, verify=False) as http:
            settings = (await http.get(f"{address.temporal_ui}/api/v1/settings")).json()
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()

    assert settings["Codec"]["Endpoint"] == "http://127.0.0.1:8081"
    assert f"stillmotion codec-server --data-dir {used_data_path}" in said.decode()
    assert b"No API" not in said
    assert address.api is None


def test_what_dev_looks_for_is_what_the_api_needs() -> None:
    from starter.api.__main__ import NEEDED
    from workers import api_process

    assert api_process.NEEDED == NEEDED
