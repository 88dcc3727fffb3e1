"""A whole stack as real processes, with workers that a test starts, kills and freezes itself."""

import asyncio
import ctypes
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx

from starter import GenerationHandle, VideoClient
from workers.stack import environment_of
from workflows.contracts.results import Generation
from workflows.contracts.stack import StackAddress
from workflows.contracts.stages import Stage

REPOSITORY = Path(__file__).parents[2]
COFFEE = REPOSITORY / "examples" / "coffee.jpg"
READY_S = 90.0
_PR_SET_PDEATHSIG = 1
# Short, so that a killed worker's wait is taken over within a test's patience.
HASTY = {"STILLMOTION_HEARTBEAT_TIMEOUT_S": "5", "STILLMOTION_SETTLE_DELAY_S": "1"}


class Process(NamedTuple):
    """A process of ours, killed at the end of its block."""

    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self.process.pid

    async def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            await self.process.wait()


@asynccontextmanager
async def running(*argv: str, env: dict[str, str]) -> AsyncGenerator[Process]:
    """A child process with its output in ours, killed at the end of the block, or with us."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
        preexec_fn=_end_with_parent,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        transport: Any = getattr(process, "_transport")  # noqa: B009
        transport.close()


def _end_with_parent() -> None:
    """Have the kernel end this process when the test run ends, also by a kill (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Stack:
    """A stack in its own data directory: `dev`, a client, the sandbox's controls."""

    def __init__(self, data_dir: Path, address: StackAddress, client: VideoClient) -> None:
        self.data_dir = data_dir
        self.address = address
        self.client = client
        self._sandbox = address.provider.removesuffix("/api/v3")

    def worker(self, *argv: str) -> Any:
        """A worker process; `argv` names another module to run instead."""
        env = environment_of(self.address) | HASTY
        return running(*(argv or ("-m", "workers", "worker")), env=env)

    async def faults(self, plan: dict[str, Any]) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.delete(f"{self._sandbox}/sandbox/faults")).raise_for_status()
            (await http.post(f"{self._sandbox}/sandbox/faults", json=plan)).raise_for_status()

    async def predictions_of(self, generation_id: str) -> list[str]:
        """Ids of every prediction whose input holds this generation's staged URL."""
        async with httpx.AsyncClient(trust_env=False) as http:
            log = (await http.get(f"{self._sandbox}/sandbox/log")).raise_for_status().json()
        staged = await self.value(
            "SELECT staged_url FROM submissions WHERE generation_id = $1", generation_id
        )
        if staged is None:
            return []
        return [row["id"] for row in log["predictions"] if staged in json.dumps(row["input"])]

    async def value(self, query: str, *args: Any) -> Any:
        connection = await asyncpg.connect(self.address.database)
        try:
            return await connection.fetchval(query, *args)
        finally:
            await connection.close()

    async def settlements(self, generation_id: str) -> int:
        return await self.value(
            "SELECT count(*) FROM ledger WHERE generation_id = $1 AND kind = 'settle'",
            generation_id,
        )

    async def start(self, prompt: str = "a slow zoom", **parameters: Any) -> GenerationHandle:
        user_id = f"user-{uuid.uuid4().hex[:8]}"
        return await self.client.image_to_video(
            COFFEE, prompt, user_id=user_id, resolution="480p", **parameters
        )


async def until(condition: Callable[[], Awaitable[Any]], timeout_s: float = 60) -> Any:
    """Wait until an awaitable condition is true; its value."""
    async with asyncio.timeout(timeout_s):
        while not (value := await condition()):
            await asyncio.sleep(0.05)
        return value


async def at_stage(handle: GenerationHandle, *stages: Stage, timeout_s: float = 60) -> None:
    """Wait until the generation is at one of `stages`."""

    async def there() -> bool:
        return (await handle.facts()).stage in stages

    await until(there, timeout_s)


async def finished(handle: GenerationHandle, timeout_s: float = 120) -> Generation:
    """The completed generation."""
    await at_stage(handle, Stage.COMPLETED, Stage.FAILED, Stage.CANCELLED, timeout_s=timeout_s)
    return await handle.result(timeout=1)


@asynccontextmanager
async def running_dev(data_dir: Path, *flags: str) -> AsyncGenerator[tuple[Process, StackAddress]]:
    """`stillmotion dev` as a process; its ready line."""
    argv = ("-m", "workers", "dev", "--json", f"--data-dir={data_dir}", *flags)
    async with running(*argv, env=dict(os.environ)) as process:
        assert process.process.stdout is not None
        line = await asyncio.wait_for(process.process.stdout.readline(), READY_S)
        yield process, StackAddress.model_validate_json(line)
