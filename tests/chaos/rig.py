"""A whole stack on a fresh data directory, each of its parts in our hand."""

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx

from activities.database.migrations import migrate
from starter import VideoClient
from starter.places import NotReachable
from tests.chaos.disk import SmallDisk
from tests.chaos.parts import Part, PostgresPart, Program, TemporalPart
from tests.end_to_end.stacks import HASTY, Stack
from workers.dev import SEARCH_ATTRIBUTE_TYPES
from workers.embedded.locking import DataDirectory
from workers.embedded.ports import LOOPBACK, remembered_port
from workers.embedded.temporal import EmbeddedTemporal
from workers.stack import environment_of, without_real_keys
from workflows.contracts.queues import TaskQueue
from workflows.contracts.stack import STACK_FILE, StackAddress

SANDBOX_WORK_S = 1.0
SETTINGS = HASTY | {"STILLMOTION_DATABASE_CONNECTIONS_MAX": "30"}
SWEEPING = {"STILLMOTION_SWEEP_INTERVAL_S": "20"}
PATIENCE_S = 60.0
AGAIN_S = 0.2

AWAY: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver makes of a server that dies under a statement
    httpx.HTTPError,
    NotReachable,
)
"""What it looks like from outside when a part was killed a moment ago."""

T = TypeVar("T")


class Rig:
    """The parts, their addresses, and a `Stack` to look at them with."""

    def __init__(self, directory: DataDirectory, disk: SmallDisk | None) -> None:
        self.directory = directory
        self.disk = disk
        self.postgres = PostgresPart(directory)
        server = EmbeddedTemporal(directory, search_attributes=SEARCH_ATTRIBUTE_TYPES)
        self.temporal = TemporalPart(server)
        self._port = remembered_port(directory.folder("sandbox") / "port")
        self.sandbox = self._sandbox()
        self.media = (disk.folder if disk else directory.path) / "media"
        self._address: StackAddress | None = None
        self._stack: Stack | None = None

    @property
    def address(self) -> StackAddress:
        assert self._address is not None, "the rig is running"
        return self._address

    @property
    def stack(self) -> Stack:
        assert self._stack is not None, "the rig is running"
        return self._stack

    @property
    def client(self) -> VideoClient:
        return self.stack.client

    @property
    def servers(self) -> list[Part]:
        """What the workers need."""
        return [self.postgres, self.temporal, self.sandbox]

    def program(self, name: str, *argv: str, settings: Mapping[str, str] | None = None) -> Program:
        """A process that belongs to this stack, not started yet."""
        env = environment_of(self.address) | SETTINGS | dict(settings or {})
        return Program(name, argv, self.directory, env)

    def worker(self, name: str) -> Program:
        """A worker for all queues, with the sweeper, as they run in production."""
        return self.program(name, "-m", "workers", "worker", settings=SWEEPING)

    async def put(self, user_id: str, plan: str) -> None:
        """Put a user on a plan."""
        await self.stack.value(
            "INSERT INTO subscriptions (user_id, plan) VALUES ($1, $2)"
            " ON CONFLICT (user_id) DO UPDATE SET plan = excluded.plan RETURNING plan",
            user_id,
            plan,
        )

    def _sandbox(self) -> Program:
        home = self.directory.folder("sandbox")
        flags = (f"--port={self._port}", f"--data-dir={home}", f"--work-s={SANDBOX_WORK_S}")
        argv = ("-m", "workers.sandbox", *flags)
        return Program("sandbox", argv, self.directory, without_real_keys(os.environ))

    async def restart(self, part: Part) -> None:
        """Start a killed part on its data; the addresses are still those of before."""
        await part.start()
        if part is self.sandbox:
            await self.until_the_sandbox_answers()
        elif part is self.temporal:
            assert self.temporal.server.address == self.address.temporal, "the port stays"
        elif part is self.postgres:
            assert self.postgres.server.dsn == self.address.database, "the socket stays"

    async def until_the_sandbox_answers(self) -> None:
        """Wait until it serves."""
        url = f"http://{LOOPBACK}:{self._port}/sandbox/health"
        async with httpx.AsyncClient(trust_env=False) as http:
            await patiently(lambda: http.get(url))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Servers, schema and client, for the time of the block."""
        async with AsyncExitStack() as stack:
            for part in self.servers:
                await part.start()
                stack.push_async_callback(part.stop)
            await self.until_the_sandbox_answers()
            self._address = self._announce()
            await _migrate(self.address.database)
            client = await VideoClient.connect(self.directory.path)
            await stack.enter_async_context(client)
            self._stack = Stack(self.directory.path, self.address, client)
            yield

    def _announce(self) -> StackAddress:
        """The ready line in its file: clients, and a person's commands, find the stack by it."""
        address = StackAddress(
            temporal=self.temporal.server.address,
            temporal_ui=self.temporal.server.ui_url,
            task_queue=TaskQueue.GENERATIONS,
            database=self.postgres.server.dsn,
            media=self.media.as_uri(),
            provider=f"http://{LOOPBACK}:{self._port}/api/v3",
            llm=f"http://{LOOPBACK}:{self._port}/v1",
        )
        (self.directory.path / STACK_FILE).write_text(address.model_dump_json(), "utf-8")
        return address


@asynccontextmanager
async def running_rig(path: Path, disk: SmallDisk | None = None) -> AsyncGenerator[Rig]:
    """A fresh stack in the folder `path`, without workers."""
    async with DataDirectory(path) as directory:
        rig = Rig(directory, disk)
        async with rig.running():
            yield rig


@asynccontextmanager
async def fresh_rig() -> AsyncGenerator[Rig]:
    """The same in a folder of its own, which goes with it."""
    with tempfile.TemporaryDirectory(prefix="sm-chaos-") as folder:
        async with running_rig(Path(folder)) as rig:
            yield rig


@asynccontextmanager
async def at_work(*programs: Program) -> AsyncGenerator[None]:
    """Programs for the time of the block; one that was killed meanwhile stays dead."""
    async with AsyncExitStack() as stack:
        for program in programs:
            await program.start()
            stack.push_async_callback(_ended, program)
        yield


async def _ended(program: Program) -> None:
    # A frozen process would not hear its stop signal.
    program.thaw()
    await program.stop()


async def patiently(call: Callable[[], Awaitable[T]], patience_s: float = PATIENCE_S) -> T:
    """What `call` gives, once every part that it needs is back."""
    with suppress(*AWAY):
        return await call()
    async with asyncio.timeout(patience_s):
        while True:
            await asyncio.sleep(AGAIN_S)
            with suppress(*AWAY):
                return await call()


async def until(
    condition: Callable[[], Awaitable[Any]], what: str, patience_s: float = PATIENCE_S
) -> Any:
    """Wait until an awaitable condition is true; its value.

    Raises:
        TimeoutError: it never was; `what` says what was waited for.
    """
    try:
        async with asyncio.timeout(patience_s):
            while not (value := await patiently(condition)):
                await asyncio.sleep(AGAIN_S)
            return value
    except TimeoutError:
        raise TimeoutError(f"waited {patience_s:.0f} s in vain until {what}") from None


async def _migrate(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await migrate(connection)
    finally:
        await connection.close()
