"""PostgreSQL as our child, in ordinary and in awkward folders."""

import asyncio
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import asyncpg
import pytest

from workers.embedded.errors import (
    DataDirectoryUnusable,
    EmbeddedError,
    ServerDidNotStart,
    ServerNotRunning,
)
from workers.embedded.identity import Disguise, Identity, candidates
from workers.embedded.locking import DataDirectory
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.processes import having_open, is_alive
from workers.embedded.sockets import fits

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
IN_REACH_OF_NOBODY = pytest.mark.skipif(
    not all(folder.stat().st_mode & stat.S_IXOTH for folder in Path(sys.prefix).parents),
    reason="the environment lies below a private folder, which `nobody` can't enter",
)


async def query(server: EmbeddedPostgres, sql: str) -> str:
    connection = await asyncpg.connect(server.dsn)
    try:
        return str(cast("object", await connection.fetchval(sql)))
    finally:
        await connection.close()


async def test_a_row_survives_a_restart(data_path: Path) -> None:
    async with DataDirectory(data_path) as directory:
        async with EmbeddedPostgres(directory) as server:
            await query(server, "CREATE TABLE kept AS SELECT 'still here' AS word")
        async with EmbeddedPostgres(directory) as server:
            assert await query(server, "SELECT word FROM kept") == "still here"


async def test_the_session_server_is_durable_private_and_roomy(postgres: EmbeddedPostgres) -> None:
    async def shown(name: str) -> str:
        return await query(postgres, f"SHOW {name}")

    assert await shown("fsync") == "on"
    assert await shown("synchronous_commit") == "on"
    assert await shown("listen_addresses") == ""
    assert await shown("max_connections") == "200"
    assert await shown("timezone") == "UTC"
    assert await query(postgres, "SELECT lower('ÄÖÜ')") == "äöü"
    assert await query(postgres, "SELECT current_user") == "stillmotion"


@pytest.mark.parametrize(
    "name",
    ["with blanks and %41 of ümläuts", "with, comma", "a-long-folder-name-" * 8],
    ids=["blanks", "comma", "long"],
)
async def test_an_awkward_path_works(
    data_path: Path, with_cluster: Callable[[Path], Path], name: str
) -> None:
    async with (
        DataDirectory(with_cluster(data_path / name)) as directory,
        EmbeddedPostgres(directory) as server,
    ):
        assert await query(server, "SELECT current_database()") == "stillmotion"


async def test_a_socket_folder_outside_is_private_and_removed(
    data_path: Path, with_cluster: Callable[[Path], Path]
) -> None:
    run = with_cluster(data_path / ("a-long-folder-name-" * 8)) / "run"
    assert not fits(run)

    async with DataDirectory(run.parent) as directory, EmbeddedPostgres(directory):
        short = Path((run / "socket-folder").read_text())
        mode = short.stat().st_mode & 0o777

    assert mode == 0o700
    assert not short.exists()


async def test_no_address_outside_the_context(data_path: Path) -> None:
    async with DataDirectory(data_path) as directory:
        server = EmbeddedPostgres(directory)

        with pytest.raises(ServerNotRunning):
            _ = server.dsn


async def test_a_start_that_fails_shows_the_log_and_leaves_no_process(used_data_path: Path) -> None:
    (used_data_path / "postgres" / "PG_VERSION").write_text("9.6\n")

    async with DataDirectory(used_data_path) as directory:
        with pytest.raises(ServerDidNotStart, match=r"initialized by PostgreSQL version 9\.6"):
            await EmbeddedPostgres(directory).__aenter__()
        assert having_open(used_data_path / "lock") == [os.getpid()]


async def test_an_interrupted_initdb_is_begun_anew(data_path: Path) -> None:
    async with DataDirectory(data_path) as directory:
        half_made = directory.folder("postgres.new")
        (half_made / "PG_VERSION").write_text("18\n")

        async with EmbeddedPostgres(directory) as server:
            assert await query(server, "SELECT 1") == "1"

    assert not half_made.exists()


@pytest.mark.parametrize("recorded", ["a foreign process", "a zombie", "nothing", "no number"])
async def test_a_stale_pid_file_is_survived(
    used_data_path: Path, foreign_process: int, zombie_process: int, recorded: str
) -> None:
    first_line = {"a foreign process": foreign_process, "a zombie": zombie_process, "nothing": ""}
    async with DataDirectory(used_data_path) as directory:
        sockets = directory.folder("run")
        pid_file = used_data_path / "postgres" / "postmaster.pid"
        pid_file.write_text(f"{first_line.get(recorded, 'x')}\n{used_data_path / 'postgres'}\n")
        (sockets / ".s.PGSQL.5432.lock").write_text(f"{foreign_process}\n")

        async with EmbeddedPostgres(directory) as server:
            assert await query(server, "SELECT 1") == "1"

    assert is_alive(foreign_process)


async def test_a_server_started_by_hand_on_the_folder_is_stopped_first(
    used_data_path: Path,
) -> None:
    async with DataDirectory(used_data_path) as directory:
        by_hand = EmbeddedPostgres(directory)
        await by_hand.__aenter__()

        async with EmbeddedPostgres(directory) as server:
            assert await by_hand.child.wait() == 0
            assert await query(server, "SELECT 1") == "1"

        await by_hand.__aexit__(None, None, None)


async def test_the_end_of_the_server_can_be_awaited(used_data_path: Path) -> None:
    async with DataDirectory(used_data_path) as directory, EmbeddedPostgres(directory) as server:
        os.kill(server.child.pid, signal.SIGKILL)

        async with asyncio.timeout(10):
            assert await server.child.wait() == -signal.SIGKILL


@AS_ROOT
@IN_REACH_OF_NOBODY
async def test_without_user_namespaces_the_server_runs_as_nobody(data_path: Path) -> None:
    namespace, nobody = candidates()
    refused = Identity(Disguise.NAMESPACE, uid=-1, gid=-1)
    data_path.parent.chmod(0o711)

    async with DataDirectory(data_path) as directory:
        async with EmbeddedPostgres(directory, identities=[refused, nobody]) as server:
            await query(server, "CREATE TABLE kept AS SELECT 1")
            owner = Path(f"/proc/{server.child.pid}").stat().st_uid
        async with EmbeddedPostgres(directory, identities=[namespace]) as server:
            assert await query(server, "SELECT count(*) FROM kept") == "1"

    assert owner == nobody.uid


@AS_ROOT
async def test_a_folder_that_nobody_can_not_enter_is_refused_by_name(data_path: Path) -> None:
    _, nobody = candidates()
    data_path.parent.chmod(0o700)

    async with DataDirectory(data_path) as directory:
        with pytest.raises(DataDirectoryUnusable, match=f"may not enter {data_path.parent}"):
            await EmbeddedPostgres(directory, identities=[nobody]).__aenter__()


@AS_ROOT
async def test_no_usable_user_is_an_error_that_says_so(data_path: Path) -> None:
    refused = Identity(Disguise.NAMESPACE, uid=-1, gid=-1)

    async with DataDirectory(data_path) as directory:
        with pytest.raises(EmbeddedError, match="as an ordinary user") as raised:
            await EmbeddedPostgres(directory, identities=[refused, refused]).__aenter__()

    assert str(raised.value).count("namespace: can't become uid -1 in a user namespace") == 2


@AS_ROOT
async def test_threads_that_start_again_in_every_forked_child_keep_nothing_from_starting(
    data_path: Path,
) -> None:
    """As OpenTelemetry's batch exporter does, in a process that has ever begun to trace."""
    traced = threading.Event()
    traced.set()

    def start_again() -> None:
        if traced.is_set():  # Cleared below: a hook of a fork stays for the life of the process.
            threading.Thread(target=time.sleep, args=(60.0,), daemon=True).start()

    os.register_at_fork(after_in_child=start_again)
    namespace, _ = candidates()
    try:
        async with (
            DataDirectory(data_path) as directory,
            EmbeddedPostgres(directory, identities=[namespace]) as server,
        ):
            assert await query(server, "SELECT 1") == "1"
    finally:
        traced.clear()


async def test_an_awkward_path_works_from_the_first_start_on(data_path: Path) -> None:
    async with (
        DataDirectory(data_path / "with blanks, and a comma") as directory,
        EmbeddedPostgres(directory) as server,
    ):
        assert await query(server, "SELECT 1") == "1"
