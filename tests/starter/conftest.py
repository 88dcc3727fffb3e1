"""A whole stack and the command line as processes, and makers of good and bad input files."""

import asyncio
import io
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import asyncpg
import httpx
import pytest
from PIL import Image

from starter.cli.app import run_command
from starter.client import VideoClient
from workflows.contracts.stack import StackAddress

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
COFFEE = str(EXAMPLES / "coffee.jpg")
CHELSEA = str(EXAMPLES / "chelsea.jpg")
"""Just large enough for Kling, too small for WAN."""
PORTRAIT = str(EXAMPLES / "portrait.jpg")
SPEECH = str(EXAMPLES / "speech.wav")
"""4.79 seconds."""
WAN = "alibaba/wan-2.5/image-to-video"
KANDINSKY = "wavespeed/kandinsky5-pro/image-to-video"
KLING = "kwaivgi/kling-v2.5-turbo-std/image-to-video"
INFINITETALK = "wavespeed-ai/infinitetalk"
A_VIDEO = ("image-to-video", COFFEE, "--prompt", "steam rises", "--resolution", "480p")
OURS = ("STILLMOTION_", "WAVESPEED_", "OPENAI_", "TEMPORAL_")


def clean_environment(**given: str) -> dict[str, str]:
    """The environment without anything that belongs to a real deployment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | given


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout."""
        return json.loads(self.out)


class Cli(Protocol):
    """Runs one command."""

    def __call__(self, *words: str, **environment: str) -> Awaitable[Ran]: ...


async def run_here(*words: str, **environment: str) -> Ran:
    """The command line in a thread of this process: all but the way out, and much faster.

    Warnings are errors here, so that a verb that leaves something open fails.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(OURS):
                patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        with redirect_stdout(out), redirect_stderr(err):
            code = await asyncio.to_thread(run_command, words)
    return Ran(code, out.getvalue(), err.getvalue())


async def run_cli(*words: str, **environment: str) -> Ran:
    """`stillmotion words…` as a process of its own, to its end, on no terminal."""
    process = await start_cli(*words, **environment)
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


async def start_cli(*words: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from starter.cli import main; main()", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=clean_environment(**environment),
        # A background job of a shell inherits SIGINT ignored; ours must get it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )


@dataclass(frozen=True)
class Stack:
    """A running `dev`, with ways to look behind it."""

    data_dir: Path
    address: StackAddress
    database: "asyncpg.Connection[asyncpg.Record]"
    sandbox: httpx.AsyncClient

    async def submits(self) -> int:
        """How many paid POSTs the sandbox has seen."""
        return (await self.sandbox.get("/sandbox/log")).json()["submits"]

    async def sent(self, prediction_id: str) -> dict[str, Any]:
        """The body of the paid POST that made a prediction."""
        log = (await self.sandbox.get("/sandbox/log")).json()
        (found,) = (each for each in log["predictions"] if each["id"] == prediction_id)
        return found["input"]

    async def chats_about(self, words: str) -> list[Any]:
        """What the LLM was asked with these words in it."""
        log = (await self.sandbox.get("/sandbox/log")).json()
        return [each for each in log["chats"] if words in json.dumps(each, ensure_ascii=False)]

    async def rows_of(self, user_id: str) -> dict[str, int]:
        """What is stored for a user."""
        return {
            table: await self.database.fetchval(
                f"SELECT count(*) FROM {table} WHERE user_id = $1", user_id
            )
            for table in ("generations", "media", "balances", "assets")
        }

    @asynccontextmanager
    async def faults(self, plan: Mapping[str, Any]) -> AsyncGenerator[None]:
        """The sandbox misbehaves for the time of the block."""
        (await self.sandbox.post("/sandbox/faults", json=plan)).raise_for_status()
        try:
            yield
        finally:
            (await self.sandbox.delete("/sandbox/faults")).raise_for_status()


NOTHING = {"generations": 0, "media": 0, "balances": 0, "assets": 0}


@asynccontextmanager
async def running_stack(*options: str, api: bool = False) -> AsyncGenerator[Stack]:
    """`dev` in a folder of its own. It ends with this process, however that ends."""
    if not api:
        options = (*options, "--no-api")
    # Not pytest's folder: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="sm-cli-") as folder:
        data_dir, log = Path(folder) / "data", Path(folder) / "dev.log"
        guard = (sys.executable, "-m", "workers.embedded.guard", "SIGTERM")
        dev = (sys.executable, "-m", "workers", "dev", "--json", "--data-dir", str(data_dir))
        with log.open("wb") as written:
            process = await asyncio.create_subprocess_exec(
                *(*guard, *dev, "--sandbox-work-s", "0.2", *options),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=written,
                cwd=ROOT,
                env=clean_environment(),
            )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready = await process.stdout.readline()
            assert ready, log.read_text()
            address = StackAddress.model_validate_json(ready)
            async with httpx.AsyncClient(
                base_url=address.provider.removesuffix("/api/v3"), trust_env=False
            ) as sandbox:
                database = await asyncpg.connect(address.database)
                try:
                    yield Stack(data_dir, address, database, sandbox)
                finally:
                    await database.close()
        finally:
            process.stdin.close()
            await process.wait()


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    async with running_stack() as running:
        yield running


@pytest.fixture(scope="session")
async def idle_stack() -> AsyncIterator[Stack]:
    """A stack on which no worker runs."""
    async with running_stack("--no-workers") as running:
        yield running


@pytest.fixture
def cli(stack: Stack) -> Cli:
    """The command line, for the shared stack."""

    async def run(*words: str, **environment: str) -> Ran:
        return await run_here(*words, "--data-dir", str(stack.data_dir), **environment)

    return run


@pytest.fixture
def idle_cli(idle_stack: Stack) -> Cli:
    """The command line, for the stack without workers: what it starts stays accepted."""

    async def run(*words: str, **environment: str) -> Ran:
        return await run_here(*words, "--data-dir", str(idle_stack.data_dir), **environment)

    return run


@asynccontextmanager
async def connected_to(stack: Stack) -> AsyncGenerator[VideoClient]:
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(OURS):
                patch.delenv(name)
        async with await VideoClient.connect(stack.data_dir) as connected:
            yield connected


@pytest.fixture(scope="session")
async def client(stack: Stack) -> AsyncIterator[VideoClient]:
    async with connected_to(stack) as connected:
        yield connected


@pytest.fixture(scope="session")
async def idle_client(idle_stack: Stack) -> AsyncIterator[VideoClient]:
    """A client whose generations stay accepted."""
    async with connected_to(idle_stack) as connected:
        yield connected


@pytest.fixture
def user() -> str:
    """A user whom nobody has seen, on the free plan: two videos and $2 a month."""
    return f"user-{secrets.token_hex(6)}"


@dataclass
class Pictures:
    """Makes input files, good and bad, in a folder."""

    folder: Path
    made: dict[str, Path] = field(default_factory=dict[str, Path])

    def picture(self, name: str, size: tuple[int, int], mode: str = "RGB") -> str:
        path = self.folder / name
        Image.new(mode, size, "orange").save(path)
        return str(path)

    def noise(self, name: str, side: int) -> str:
        """A PNG that can't be made smaller: about 3 bytes a pixel."""
        path = self.folder / name
        Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(
            path, compress_level=0
        )
        return str(path)

    def cut(self, name: str) -> str:
        whole = (EXAMPLES / "coffee.jpg").read_bytes()
        return self.file(name, whole[: len(whole) // 2])

    def file(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def json(self, name: str, document: Any) -> str:
        return self.file(name, json.dumps(document).encode())

    def sound(self, name: str, seconds: float, rate: int = 8000, channels: int = 1) -> str:
        path = self.folder / name
        with wave.open(str(path), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(bytes(int(seconds * rate) * channels * 2))
        return str(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path)


Start = Callable[..., Awaitable[str]]


def starting_with(cli: Cli) -> Start:
    async def start(user_id: str, *words: str) -> str:
        ran = await cli(*A_VIDEO, "--user", user_id, "--detach", "-o", "json", *words)
        assert ran.code == 0, ran
        return ran.json["generation_id"]

    return start


@pytest.fixture
def started(cli: Cli) -> Start:
    """Start a small video without waiting; returns its id."""
    return starting_with(cli)


@pytest.fixture
def accepted(idle_cli: Cli) -> Start:
    """The same where no worker is: it costs no time to make."""
    return starting_with(idle_cli)


OWNERS_VIDEO = (
    *("image-to-video", COFFEE, "--prompt", "a kettle boils", "--resolution", "480p"),
    *("--user", "owner", "--source", "video_studio", "--id", "the-owners", "--wait"),
)


@pytest.fixture(scope="session")
async def finished(stack: Stack) -> dict[str, Any]:
    """A finished video of the user `owner`, as `--wait -o json` prints it."""
    ran = await run_here(*OWNERS_VIDEO, "-o", "json", "--data-dir", str(stack.data_dir))
    assert ran.code == 0, ran
    return ran.json


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder for what a test downloads."""
    folder = tmp_path / "out"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
