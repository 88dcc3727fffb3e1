"""`stillmotion dev`: the whole stack in one process tree with one data directory.

PostgreSQL and Temporal, then the migrations, the sandbox provider (or the real one), and a worker
and the HTTP API, which are started again when they die. Every child ends with this process, however
it ends.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from typing import NamedTuple

import asyncpg
from temporalio.api.enums.v1 import IndexedValueType

from activities.database.migrations import migrate
from activities.ledger.settings import LedgerSettings
from activities.prompts.settings import LlmSettings
from activities.provider.settings import ProviderSettings
from workers.api_process import api_origin, missing_libraries, supervised_api
from workers.codec_server import CODEC_PORT
from workers.embedded.children import Inheritance, start_child
from workers.embedded.errors import EmbeddedError
from workers.embedded.locking import DataDirectory
from workers.embedded.ports import LOOPBACK, remembered_port
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.temporal import EmbeddedTemporal
from workers.kept_keys import payload_keys, secret_key
from workers.local_key import LOCAL_USER, local_key
from workers.stack import without_real_keys
from workers.supervision import answers, supervised_worker
from workflows.contracts.queues import SEARCH_ATTRIBUTES, TaskQueue
from workflows.contracts.stack import STACK_FILE, StackAddress

SEARCH_ATTRIBUTE_TYPES = {
    key.name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{key.indexed_value_type.name}")
    for key in SEARCH_ATTRIBUTES
}
"""What a server must know before the first generation: an unknown one blocks its workflow."""

LOCAL_PLAN = "pro"
CODEC_ENDPOINT = f"http://{LOOPBACK}:{CODEC_PORT}"
"""Where `stillmotion codec-server` shows the Web UI what is encrypted; nobody else need run it."""


class Options(NamedTuple):
    """What the command line asked for."""

    data_dir: Path
    live: bool = False
    workers: bool = True
    api: bool = True
    """Without its libraries there is none all the same."""
    sandbox_work_s: float = 2.0


class LiveWithoutKey(EmbeddedError):
    """`--live` needs WAVESPEED_API_KEY in the environment."""


@asynccontextmanager
async def running_stack(options: Options) -> AsyncGenerator[StackAddress]:
    """The stack, ready, for the time of the block.

    Raises:
        EmbeddedError: a part did not start; the message says which and what to do.
        ValueError: the payload keys of the environment can't be used; nothing was started.
    """
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(DataDirectory(options.data_dir))
        # Refused before anything starts.
        keys_file = payload_keys(directory)
        postgres = EmbeddedPostgres(directory)
        temporal = EmbeddedTemporal(
            directory,
            search_attributes=SEARCH_ATTRIBUTE_TYPES,
            codec_endpoint=CODEC_ENDPOINT if keys_file is not None else None,
        )
        await stack.enter_async_context(_both(postgres, temporal))
        await _prepare_database(postgres.dsn)
        live = ProviderSettings() if _is_live(options) else None
        provider, llm = (
            (live.base_url, LlmSettings().address)
            if live is not None
            else await stack.enter_async_context(_sandbox(directory, options))
        )
        has_api = options.api and not missing_libraries()
        address = StackAddress(
            temporal=temporal.address,
            temporal_ui=temporal.ui_url,
            task_queue=TaskQueue.GENERATIONS,
            database=postgres.dsn,
            media=directory.folder("media").as_uri(),
            provider=provider,
            llm=llm,
            api=api_origin(directory) if has_api else None,
            api_key_file=str(await local_key(directory, postgres.dsn)),
            secret_key_file=str(secret_key(directory)),
            payload_keys_file=keys_file,
            limits=_limits(),
            live=live is not None,
        )
        # Before the last parts: the API finds the stack by it.
        stack.enter_context(_announced(directory, address))
        await stack.enter_async_context(_both(*_supervised(directory, address, options)))
        yield address


async def serve(options: Options, announce: Callable[[StackAddress], None]) -> None:
    """Run the stack until SIGTERM or SIGINT; `announce` is called once, when it is ready."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with running_stack(options) as address:
        announce(address)
        await stop.wait()


def _limits() -> dict[str, str]:
    """What the environment says of prices and limits, for whoever estimates from another one."""
    names = (f"STILLMOTION_{field}".upper() for field in LedgerSettings.model_fields)
    given = {name: os.environ[name] for name in names if os.environ.get(name)}
    if catalogue := given.get("STILLMOTION_CATALOGUE"):
        given["STILLMOTION_CATALOGUE"] = str(Path(catalogue).resolve())
    return given


@asynccontextmanager
async def _both(*servers: AbstractAsyncContextManager[object]) -> AsyncGenerator[None]:
    """Enter several servers at once; whichever did start is stopped when another did not."""
    async with AsyncExitStack() as stack:
        entering = [stack.enter_async_context(server) for server in servers]
        for outcome in await asyncio.gather(*entering, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        yield


async def _prepare_database(dsn: str) -> None:
    """Migrate, and put the user `local` on a plan that leaves room to play."""
    connection = await asyncpg.connect(dsn)
    try:
        await migrate(connection)
        await connection.execute(
            "INSERT INTO subscriptions (user_id, plan) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            LOCAL_USER,
            LOCAL_PLAN,
        )
    finally:
        await connection.close()


def _is_live(options: Options) -> bool:
    """Real money only by `--live`, or by a key together with an explicit address."""
    has_key = bool(os.environ.get("WAVESPEED_API_KEY"))
    if options.live and not has_key:
        raise LiveWithoutKey("--live needs the provider's key in WAVESPEED_API_KEY.")
    return options.live or (has_key and bool(os.environ.get("WAVESPEED_BASE_URL")))


@asynccontextmanager
async def _sandbox(directory: DataDirectory, options: Options) -> AsyncGenerator[tuple[str, str]]:
    """The sandbox as a child: its base URL, and its chat endpoint's.

    The port is kept, since the terms of generations in flight name it.
    """
    home = directory.folder("sandbox")
    port = remembered_port(home / "port")
    child = await start_child(
        [
            sys.executable,
            "-m",
            "workers.sandbox",
            f"--port={port}",
            f"--data-dir={home}",
            f"--work-s={options.sandbox_work_s}",
        ],
        env=without_real_keys(os.environ),
        log_path=directory.log_path("sandbox"),
        stop_signal=signal.SIGTERM,
        cwd=home,
        inherit=Inheritance(fds=(directory.lock_fd,)),
    )
    try:
        await answers(f"http://{LOOPBACK}:{port}/sandbox/health", child, "the sandbox")
        yield f"http://{LOOPBACK}:{port}/api/v3", f"http://{LOOPBACK}:{port}/v1"
    finally:
        await child.stop()


def _supervised(
    directory: DataDirectory, address: StackAddress, options: Options
) -> list[AbstractAsyncContextManager[None]]:
    """The parts that are started again when they die."""
    parts: list[AbstractAsyncContextManager[None]] = []
    if options.workers:
        parts.append(supervised_worker(directory, address))
    if address.api is not None:
        parts.append(supervised_api(directory, address))
    return parts


@contextmanager
def _announced(directory: DataDirectory, address: StackAddress) -> Generator[None]:
    """Other commands find the stack by this file."""
    path = directory.path / STACK_FILE
    aside = path.with_suffix(".new")
    aside.touch(mode=0o600)
    aside.write_text(address.model_dump_json(indent=2) + "\n", encoding="utf-8")
    aside.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
