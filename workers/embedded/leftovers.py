"""Makes way for PostgreSQL in a folder that a killed server left behind.

PostgreSQL believes the pid in `postmaster.pid`: when that number now belongs to any other process
of our user (after a reboot, in a restarted container) or to a zombie, it refuses to start; so it
does when a power cut left the file empty. We hold the data directory's lock, so we may look closer.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from workers.embedded.errors import DataDirectoryUnusable
from workers.embedded.processes import command_of, is_alive, working_in

POSTMASTER_TIMEOUT_S = 30.0
BACKENDS_TIMEOUT_S = 5.0
RETRY_INTERVAL_S = 0.02


async def clear_leftovers(cluster: Path, sockets: Path) -> None:
    """Remove what would keep a new server from starting on `cluster` with its socket in `sockets`.

    The recorded process
    1. is gone: the file stays, since PostgreSQL then checks its shared memory itself;
    2. is a PostgreSQL on this very folder, which only a start by hand can be: it is stopped;
    3. is another one, a zombie, or not readable: once nothing works in the folder, the file goes.

    Raises:
        DataDirectoryUnusable: when a server of an earlier run does not end.
    """
    _remove_sockets(sockets)
    pid_file = cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    pid = _recorded_pid(pid_file)
    if pid is not None and not _exists(pid):
        return
    if pid is not None and _serves(pid, cluster):
        os.kill(pid, signal.SIGINT)
        await _wait_until(lambda: not is_alive(pid), POSTMASTER_TIMEOUT_S, cluster)
        return
    await _wait_until(lambda: not working_in(cluster), BACKENDS_TIMEOUT_S, cluster)
    pid_file.unlink()


def _remove_sockets(sockets: Path) -> None:
    for entry in sockets.glob(".s.PGSQL.*"):
        entry.unlink()


def _recorded_pid(pid_file: Path) -> int | None:
    lines = pid_file.read_text(encoding="utf-8", errors="replace").splitlines()
    return int(lines[0]) if lines and lines[0].strip().isdecimal() else None


def _exists(pid: int) -> bool:
    """Tell whether the pid is in use at all, as PostgreSQL asks it: a zombie counts."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _serves(pid: int, cluster: Path) -> bool:
    command = command_of(pid)
    if not command or Path(command[0]).name != "postgres":
        return False
    return str(cluster) in command or pid in working_in(cluster)


async def _wait_until(done: Callable[[], bool], timeout_s: float, cluster: Path) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not done():
        if asyncio.get_running_loop().time() > deadline:
            pids = ", ".join(str(pid) for pid in working_in(cluster)) or "unknown"
            raise DataDirectoryUnusable(
                cluster, f"A PostgreSQL of an earlier run still works in it (process {pids})."
            )
        await asyncio.sleep(RETRY_INTERVAL_S)
