"""`stillmotion dev`: the whole stack in one process tree with one data directory.

PostgreSQL and Temporal, then the migrations, the sandbox provider (or the real one), and a worker
that is started again when it dies. Every child ends with this process, however it ends.
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
import httpx
from temporalio.api.enums.v1 import IndexedValueType

from activities.database.migrations import migrate
from activities.ledger.settings import LedgerSettings
from activities.prompts.settings import LlmSettings
from activities.provider.settings import ProviderSettings
from workers.embedded.children import Child, Inheritance, start_child
from workers.embedded.errors import EmbeddedError, ServerDidNotStart
from workers.embedded.locking import DataDirectory
from workers.embedded.ports import LOOPBACK, remembered_port
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.temporal import EmbeddedTemporal
from workers.kept_keys import payload_keys, secret_key
from workers.stack import without_real_keys
from workers.supervision import supervised_worker
from workflows.contracts.queues import SEARCH_ATTRIBUTES, TaskQueue
from workflows.contracts.stack import STACK_FILE, StackAddress

SEARCH_ATTRIBUTE_TYPES = {
    key.name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{key.indexed_value_type.name}")
    for key in SEARCH_ATTRIBUTES
}
"""What a server must know before the first generation: an unknown one blocks its workflow."""

LOCAL_USER = "local"
LOCAL_PLAN = "pro"
SANDBOX_START_S = 30.0


class Options(NamedTuple):
    """What the command line asked for."""

    data_dir: Path
    live: bool = False
    workers: bool = True
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
        temporal = EmbeddedTemporal(directory, search_attributes=SEARCH_ATTRIBUTE_TYPES)
        await stack.enter_async_context(_both(postgres, temporal))
        await _prepare_database(postgres.dsn)
        live = ProviderSettings() if _is_live(options) else None
        provider, llm = (
            (live.base_url, LlmSettings().address)
            if live is not None
            else await stack.enter_async_context(_sandbox(directory, options))
        )
        address = StackAddress(
            temporal=temporal.address,
            temporal_ui=temporal.ui_url,
            task_queue=TaskQueue.GENERATIONS,
            database=postgres.dsn,
            media=directory.folder("media").as_uri(),
            provider=provider,
            llm=llm,
            secret_key_file=str(secret_key(directory)),
            payload_keys_file=keys_file,
            limits=_limits(),
            live=live is not None,
        )
        if options.workers:
            await stack.enter_async_context(supervised_worker(directory, address))
        stack.enter_context(_announced(directory, address))
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
        await _answers(f"http://{LOOPBACK}:{port}/sandbox/health", child)
        yield f"http://{LOOPBACK}:{port}/api/v3", f"http://{LOOPBACK}:{port}/v1"
    finally:
        await child.stop()


async def _answers(url: str, child: Child) -> None:
    """Wait until a child of ours answers at `url`."""
    deadline = asyncio.get_running_loop().time() + SANDBOX_START_S
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                (await client.get(url)).raise_for_status()
            except httpx.HTTPError as error:
                late = asyncio.get_running_loop().time() > deadline
                if late or child.exit_code is not None:
                    raise ServerDidNotStart(
                        "the sandbox", "does not answer", child.log_path, child.log_tail()
                    ) from error
            else:
                return
            await asyncio.sleep(0.05)


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
