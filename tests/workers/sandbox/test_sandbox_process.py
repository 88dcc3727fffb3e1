"""The sandbox as a process: its ready line, its ends, and what a SIGKILL leaves."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from wavespeed.api.client import Client

from tests.workers.sandbox.conftest import SAMPLES, SMALL, WAN, Provider, a_client, until

ROOT = Path(__file__).parents[3]
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "workers.sandbox", *sys.argv[1:]])
print(child.pid, flush=True)
child.wait()
"""


async def start(data_dir: Path, *more: str) -> tuple[asyncio.subprocess.Process, dict[str, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workers.sandbox", "--port", "0", "--data-dir", str(data_dir), *more,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
    return process, json.loads(line)


async def end(process: asyncio.subprocess.Process, number: int = signal.SIGTERM) -> int:
    if process.returncode is None:
        process.send_signal(number)
    async with asyncio.timeout(30):
        return await process.wait()


@asynccontextmanager
async def a_process(data_dir: Path, *more: str) -> AsyncGenerator[Provider]:
    process, addresses = await start(data_dir, *more)
    try:
        async with a_client() as http:
            yield Provider(addresses["provider"], addresses["llm"], http, data_dir)
    finally:
        await end(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_and_ends_cleanly_on_a_signal(
    tmp_path: Path, number: int
) -> None:
    process, addresses = await start(tmp_path)
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        health = await http.get(addresses["llm"].replace("/v1", "/sandbox/health"))

    code = await end(process, number)

    assert addresses["provider"].endswith("/api/v3")
    assert health.json() == {"ok": True}
    assert code == 0


async def test_everything_survives_a_sigkill_and_unfinished_jobs_are_finished(
    tmp_path: Path,
) -> None:
    process, addresses = await start(tmp_path, "--work-s", "0")
    async with a_client() as http:
        before = Provider(addresses["provider"], addresses["llm"], http, tmp_path)
        await before.faults(output=SMALL, job={"kind": "hang", "match": "unfinished"})
        done = await before.run(prompt="finished")
        unfinished = await before.submit(prompt="unfinished")
        await http.post(f"{before.llm}/chat/completions", json={"messages": []})
        secret = await before.data("GET", "webhook/secret")
        file = (await before.download(done["outputs"][0])).content
        picture = (await before.download(done["input"]["image"])).content
        await end(process, signal.SIGKILL)

    async with a_process(tmp_path, "--work-s", "0") as after:
        again = await after.data("GET", f"predictions/{done['id']}")
        await after.faults(job=[])
        finished = await after.ended(unfinished)
        uploaded = done["input"]["image"].replace(before.origin, after.origin)
        log = await after.log()

        assert (await after.download(again["outputs"][0])).content == file
        assert (await after.download(uploaded)).content == picture
        assert finished["status"] == "completed"
        assert len((await after.download(finished["outputs"][0])).content) > 0
        assert len(await after.bills(done["id"])) == len(await after.bills(unfinished)) == 1
        assert await after.data("GET", "webhook/secret") == secret
        assert (log["submits"], log["accepted"], len(log["chats"])) == (2, 2, 1)


async def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    arguments = ["--port", "0", "--data-dir", str(tmp_path), "--die-with-parent"]
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    async with asyncio.timeout(60):
        await parent.stdout.readline()
    alive_before = is_alive(child)

    await end(parent, signal.SIGKILL)

    async def is_gone() -> bool:
        return not is_alive(child)

    try:
        await until(is_gone)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    assert alive_before


async def test_it_does_not_start_for_a_parent_that_is_gone(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workers.sandbox", "--port", "0", "--data-dir", str(tmp_path),
        "--die-with-parent", "999999999",
        cwd=ROOT,
    )  # fmt: skip

    async with asyncio.timeout(60):
        assert await process.wait() == 1


async def test_a_busy_directory_is_a_clear_message_and_exit_code_1(tmp_path: Path) -> None:
    async with a_process(tmp_path):
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "workers.sandbox", "--port", "0", "--data-dir", str(tmp_path),
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )  # fmt: skip
        async with asyncio.timeout(60):
            _, errors = await second.communicate()

    assert second.returncode == 1
    assert b"another sandbox uses" in errors
    assert b"Traceback" not in errors


async def test_the_providers_own_client_uploads_runs_and_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with a_process(tmp_path, "--work-s", "0.05", "--api-key", "a-key") as provider:
        await provider.faults(output=SMALL)
        client = Client(api_key="a-key", base_url=provider.origin)

        def use() -> str:
            image = client.upload(str(SAMPLES / "coffee.jpg"))
            inputs = {"image": image, "prompt": "steam rises", "resolution": "480p"}
            done = client.run(WAN, inputs, poll_interval=0.05)
            return str(done["outputs"][0])

        output = await asyncio.to_thread(use)

        assert (await provider.download(output)).content[4:8] == b"ftyp"


async def test_the_providers_own_client_names_a_failed_run(tmp_path: Path) -> None:
    async with a_process(tmp_path, "--work-s", "0") as provider:
        await provider.faults(job={"kind": "failed", "message": "no more GPUs"})
        client = Client(api_key="a-key", base_url=provider.origin)

        def use() -> object:
            inputs = {"image": client.upload(str(SAMPLES / "coffee.jpg")), "prompt": "x"}
            return client.run_no_throw(WAN, inputs, poll_interval=0.05)

        result = await asyncio.to_thread(use)

    assert isinstance(result, dict)
    assert result["status"] == "failed"
    assert "no more GPUs" in str(result["error"])


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
