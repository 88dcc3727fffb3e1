"""A whole stack as real processes, with workers that a test starts, kills and freezes itself."""

import asyncio
import ctypes
import io
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import asyncpg
import httpx

from starter import GenerationHandle, VideoClient
from starter.cli.app import run_command
from workers.stack import environment_of
from workflows.contracts.ids import generation_digest
from workflows.contracts.queues import TaskQueue
from workflows.contracts.results import Generation
from workflows.contracts.stack import StackAddress
from workflows.contracts.stages import Stage

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"
COFFEE = EXAMPLES / "coffee.jpg"
CHELSEA, PORTRAIT, SPEECH = (
    EXAMPLES / name for name in ("chelsea.jpg", "portrait.jpg", "speech.wav")
)
CATALOGUE = REPOSITORY / "workflows" / "contracts" / "catalogue.json"
READY_S = 90.0
_PR_SET_PDEATHSIG = 1
# Short, so that a killed worker's wait is taken over within a test's patience.
HASTY = {
    "STILLMOTION_HEARTBEAT_TIMEOUT_S": "5",
    "STILLMOTION_SETTLE_DELAY_S": "1",
    # Else what a test leaves behind is mended under its eyes.
    "STILLMOTION_SWEEP_INTERVAL_S": "0",
}


SMALL = [{"kind": "other_size"}, {"kind": "other_duration"}]
"""Outputs that are made and decoded at once, where neither is the point."""


def without(*queues: TaskQueue) -> tuple[str, ...]:
    """A worker that leaves these queues to nobody."""
    served = (queue.value for queue in TaskQueue if queue not in queues)
    return ("-m", "workers", "worker", "--queues", *served)


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

    def worker(self, *argv: str, settings: Mapping[str, str] | None = None) -> Any:
        """A worker process; `argv` names another module or its flags, `settings` are its own."""
        env = environment_of(self.address) | HASTY | dict(settings or {})
        return running(*(argv or ("-m", "workers", "worker")), env=env)

    async def faults(self, plan: dict[str, Any]) -> None:
        """These faults and no others; jobs that hang go on."""
        await self._controls("DELETE", "faults")
        await self._controls("POST", "faults", json=plan)

    async def mend(self, area: str) -> None:
        """No fault of one area any more."""
        await self._controls("DELETE", "faults", params={"area": area})

    async def struck(self, area: str) -> int:
        """How often the faults of an area have struck."""
        return sum(fault["used"] for fault in (await self.board()).get(area, []))

    async def board(self) -> dict[str, list[dict[str, Any]]]:
        """The faults in force by area, each with how often it was seen and has struck."""
        return (await self._controls("GET", "faults"))["faults"]

    async def log(self) -> dict[str, Any]:
        """What was asked of the sandbox."""
        return await self._controls("GET", "log")

    async def predictions_of(self, generation_id: str) -> list[str]:
        """Ids of every prediction whose input holds this generation's staged URL."""
        return list(await self.jobs_of(generation_id))

    async def jobs_of(self, generation_id: str) -> dict[str, str]:
        """The same, each with its status at the provider."""
        staged = await self.value(
            "SELECT staged_url FROM submissions WHERE generation_id = $1", generation_id
        )
        if staged is None:
            return {}
        rows = (await self.log())["predictions"]
        return {row["id"]: row["status"] for row in rows if staged in json.dumps(row["input"])}

    async def _controls(self, method: str, name: str, **given: Any) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False) as http:
            reply = await http.request(method, f"{self._sandbox}/sandbox/{name}", **given)
            return reply.raise_for_status().json()

    async def value(self, query: str, *args: Any) -> Any:
        connection = await asyncpg.connect(self.address.database)
        try:
            return await connection.fetchval(query, *args)
        finally:
            await connection.close()

    async def rows(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.address.database)
        try:
            return [tuple(row) for row in await connection.fetch(query, *args)]
        finally:
            await connection.close()

    @asynccontextmanager
    async def locked(self, table: str) -> AsyncGenerator[None]:
        """Nobody else writes to `table` in this block."""
        connection = await asyncpg.connect(self.address.database)
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()

    async def cli(self, *words: str) -> tuple[int, str, str]:
        """`stillmotion words…` for this stack, in a thread: its exit code, stdout and stderr."""
        out, err = io.StringIO(), io.StringIO()
        argv = [*words, f"--data-dir={self.data_dir}"]
        with redirect_stdout(out), redirect_stderr(err):
            code = await asyncio.to_thread(run_command, argv)
        return code, out.getvalue(), err.getvalue()

    def files_of(self, generation_id: str) -> list[Path]:
        """What the media store holds of a generation's outputs."""
        store = Path(unquote(urlsplit(self.address.media).path))
        return [
            path for path in store.rglob("*.*") if generation_digest(generation_id) in path.parts
        ]

    async def settlements(self, generation_id: str) -> int:
        return await self.value(
            "SELECT count(*) FROM ledger WHERE generation_id = $1 AND kind = 'settle'",
            generation_id,
        )

    async def start(self, prompt: str = "a slow zoom", **parameters: Any) -> GenerationHandle:
        given: dict[str, Any] = {"user_id": a_user(), "resolution": "480p"} | parameters
        return await self.client.image_to_video(COFFEE, prompt, **given)

    async def animate(self, title: str = "A cat looks up", **parameters: Any) -> GenerationHandle:
        given: dict[str, Any] = {
            "user_id": a_user(),
            "story_context": {"plot": "It waits for rain."},
        } | parameters
        return await self.client.animate_scene(CHELSEA, {"title": title}, **given)

    async def speak(self, prompt: str = "she speaks", **parameters: Any) -> GenerationHandle:
        given: dict[str, Any] = {"user_id": a_user(), "prompt": prompt} | parameters
        return await self.client.talking_avatar(PORTRAIT, SPEECH, **given)


def impatient(folder: Path, **deadlines_s: int) -> dict[str, str]:
    """Settings of a worker whose catalogue gives these operations other deadlines."""
    catalogue = json.loads(CATALOGUE.read_text("utf-8"))
    for entry in catalogue["models"]:
        deadline_s = deadlines_s.get(entry["operation"].replace("-", "_"))
        if deadline_s is not None:
            entry["deadline"] = {"fixed_s": deadline_s}
    path = folder / f"catalogue-{uuid.uuid4().hex}.json"
    path.write_text(json.dumps(catalogue), "utf-8")
    return {"STILLMOTION_CATALOGUE": str(path)}


def a_user() -> str:
    """A user whom nobody knows yet: on the free plan, with all of its quota."""
    return f"user-{uuid.uuid4().hex[:8]}"


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
async def running_dev(
    data_dir: Path, *flags: str, api: bool = False
) -> AsyncGenerator[tuple[Process, StackAddress]]:
    """`stillmotion dev` as a process; its ready line."""
    argv = ("-m", "workers", "dev", "--json", f"--data-dir={data_dir}", *flags)
    if not api:
        argv = (*argv, "--no-api")
    async with running(*argv, env=dict(os.environ)) as process:
        assert process.process.stdout is not None
        line = await asyncio.wait_for(process.process.stdout.readline(), READY_S)
        yield process, StackAddress.model_validate_json(line)
