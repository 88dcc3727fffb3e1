"""The verbs that become a process of `workers`, with their flags."""

import asyncio
import json
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.starter.conftest import Stack, run_cli, start_cli


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A socket's path must be short, and pytest's folders are not."""
    with tempfile.TemporaryDirectory(prefix="sm-cli-") as folder:
        yield Path(folder)


async def first_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


async def test_dev_prints_its_addresses_is_found_and_stops_on_sigterm(short_folder: Path) -> None:
    process = await start_cli(
        "dev", "--no-workers", "-o", "json", "--data-dir", str(short_folder / "data")
    )
    try:
        ready = json.loads(await first_line(process))
        listed = await run_cli("list", "-o", "json", "--data-dir", str(short_folder / "data"))
        page = await run_cli("open", "-o", "quiet", "--data-dir", str(short_folder / "data"))
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()

    assert set(ready) >= {
        *("temporal", "temporal_ui", "task_queue", "database", "provider", "llm", "api"),
    }
    assert ready["task_queue"] == "stillmotion"
    assert (listed.code, listed.json) == (0, [])
    assert (page.code, page.out) == (0, f"{ready['api']}\n")
    assert process.returncode == 0


async def test_the_sandbox_serves_the_providers_api(tmp_path: Path) -> None:
    process = await start_cli("sandbox", "--port", "0", "--data-dir", str(tmp_path))
    try:
        addresses = json.loads(await first_line(process))
        async with httpx.AsyncClient(trust_env=False) as http:
            base_url = next(value for value in addresses.values() if value.endswith("/api/v3"))
            refused = await http.get(f"{base_url}/balance")
            balance = await http.get(f"{base_url}/balance", headers={"Authorization": "Bearer any"})
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()

    assert (refused.status_code, balance.status_code) == (401, 200)
    assert (tmp_path / "sandbox").is_dir()


async def test_migrate_says_that_nothing_is_left_to_do(stack: Stack) -> None:
    ran = await run_cli("migrate", "--data-dir", str(stack.data_dir))

    assert (ran.code, ran.out) == (0, "The database is up to date.\n")


async def test_a_worker_without_a_stack_says_what_to_start(tmp_path: Path) -> None:
    ran = await run_cli("worker", "--queues", "stillmotion-poll", "--data-dir", str(tmp_path))

    assert ran.code == 3
    assert f"No `stillmotion dev` runs in {tmp_path}" in ran.err


async def test_a_queue_that_there_is_not_is_refused(tmp_path: Path) -> None:
    ran = await run_cli("worker", "--queues", "stillmotion-tea", "--data-dir", str(tmp_path))

    assert ran.code == 2
    assert "stillmotion-tea" in ran.err
