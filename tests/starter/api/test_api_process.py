"""`stillmotion api` as a process: finds its stack, ends by SIGTERM, is clear where it can't run."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from activities.generations import repository as generations
from activities.provider.webhooks import PATH, token_of
from starter.api.__main__ import main
from tests.starter.api.conftest import Api
from tests.starter.conftest import ROOT, Stack, clean_environment, run_cli, run_here, start_cli


@asynccontextmanager
async def an_api(stack: Stack) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """The process of the verb, and its origin."""
    process = await start_cli("api", "--port", "0", "-o", "json", "--data-dir", str(stack.data_dir))
    try:
        assert process.stdout is not None
        yield process, json.loads(await process.stdout.readline())["api"]
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_it_serves_its_stack_and_answers_what_is_under_way_before_it_ends(
    idle_stack: Stack,
) -> None:
    async with an_api(idle_stack) as (process, origin):
        async with httpx.AsyncClient(trust_env=False, verify=False) as http:
            ready = await http.get(f"{origin}/readyz")
        url = httpx.URL(origin)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        path = f"{PATH}/gen_any/{await _token(idle_stack, 'gen_any')}"
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n".encode())
        writer.write(b"Expect: 100-continue\r\n\r\n")
        # It says so when the route reads the body, so the request is under way.
        assert b" 100 " in await reader.readline()
        process.send_signal(signal.SIGTERM)
        writer.write(b"{}")
        reply = await reader.read()
        writer.close()
        out, _ = await process.communicate()

    assert ready.json()["status"] == "ready"
    # Read to its end, and not signed.
    assert b" 401 " in reply
    assert (process.returncode, out) == (0, b"")


async def test_a_port_that_is_taken_is_told_by_its_flags(idle_stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = await run_cli("api", "--port", port, "--data-dir", str(idle_stack.data_dir))

    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"--host 127.0.0.1 --port {port}: Address already in use.\n"


async def test_without_a_stack_it_says_what_to_start(tmp_path: Path) -> None:
    ran = await run_cli("api", "--port", "0", "--data-dir", str(tmp_path))

    assert ran.code == 3
    assert f"stillmotion dev --data-dir {tmp_path}" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("port", ["70000", "-1", "x", "²"])
def test_a_port_that_can_not_be_is_refused(capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--port={port}"])

    assert ended.value.code == 2
    assert f"'{port}': not a port; allowed: 0 to 65535" in capsys.readouterr().err


async def test_without_its_extra_it_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['fastapi'] = None;"
        " from starter.api.__main__ import main; sys.exit(main([]))"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=clean_environment(),
    )
    _, err = await process.communicate()

    assert process.returncode == 2
    assert err == b"The API needs fastapi, of its extra: pip install 'stillmotion[api]'\n"


async def test_the_doctor_says_whether_webhooks_are_asked_for_and_taken(
    idle_stack: Stack, api: Api
) -> None:
    async def said(public_url: str) -> str:
        where = ("--data-dir", str(idle_stack.data_dir))
        ran = await run_here("doctor", "-o", "json", *where, STILLMOTION_PUBLIC_URL=public_url)
        (check,) = (each for each in ran.json["checks"] if each["name"] == "webhooks")
        assert check["ok"]
        return check["detail"]

    assert "STILLMOTION_PUBLIC_URL is not set" in await said("")
    assert await said(api.origin) == f"taken at {api.origin}"
    nobody = await said("http://127.0.0.1:9")
    assert nobody.startswith("warning: ")
    assert "stillmotion api" in nobody
    elsewhere = await said(idle_stack.address.provider.removesuffix("/api/v3"))
    assert "not taken" in elsewhere


async def test_the_public_url_is_among_the_settings(idle_stack: Stack) -> None:
    where = ("--data-dir", str(idle_stack.data_dir))
    ran = await run_here(
        *("doctor", "--settings", "-o", "json", *where),
        STILLMOTION_PUBLIC_URL="https://video.example.com",
    )

    (listed,) = (each for each in ran.json if each["name"] == "STILLMOTION_PUBLIC_URL")
    assert (listed["value"], listed["source"]) == ("https://video.example.com", "environment")


async def _token(stack: Stack, generation_id: str) -> str:
    connection = await asyncpg.connect(stack.address.database)
    try:
        return token_of(await connection.fetchval(generations.SQL["hash_key"]), generation_id)
    finally:
        await connection.close()
