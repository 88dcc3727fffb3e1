"""One data directory, one stack: neither server refuses a second one on the same files.

Two Temporal servers open one SQLite file without complaint, so the folder is locked before anything
in it is touched. The lock is a `flock`, which the kernel drops with the last descriptor of its
open file. Children get a copy of that descriptor (`Inheritance.fds`), on purpose: when the parent
is killed its children need a second or so to shut down, and the folder must not look free while
they still write to it. When the last of them is gone the lock is free, with nothing to clean up.
"""

import asyncio
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from workers.embedded.errors import DataDirectoryBusy, DataDirectoryUnusable
from workers.embedded.processes import having_open, is_alive

LOCK_NAME = "lock"
# A killed parent's children end within 1.3 s (measured); PostgreSQL may write a checkpoint first.
LEFTOVERS_GRACE_S = 20.0
RETRY_INTERVAL_S = 0.05


class DataDirectory:
    """A folder held by this process from `__aenter__` to `__aexit__`.

    The folder is made with mode 0700. An existing one keeps its mode, since a mistyped `--data-dir`
    must not change the mode of a home directory; everything private lives in 0700 folders below.

    Raises:
        DataDirectoryBusy: on entering, when a live process holds it, or when children
            of a dead one are still there after `LEFTOVERS_GRACE_S`.
        DataDirectoryUnusable: on entering, when it is no folder or can't be made or written.
    """

    def __init__(self, path: Path) -> None:
        # Resolved, to be compared with what the kernel says where a process works.
        self.path = path.resolve()
        self._lock_fd: int | None = None

    @property
    def lock_fd(self) -> int:
        """The lock's descriptor, to be inherited by every child that writes below the folder."""
        assert self._lock_fd is not None, "the data directory is entered before it is used"
        return self._lock_fd

    def folder(self, name: str) -> Path:
        """Return the private (0700) folder `name` below this one, made when missing."""
        path = self.path / name
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise DataDirectoryUnusable(path, f"{error.strerror}.") from error
        return path

    def log_path(self, name: str) -> Path:
        """Return where the child called `name` writes its output."""
        return self.folder("logs") / f"{name}.log"

    async def __aenter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirectoryUnusable(self.path, f"{error.strerror}.") from error
        try:
            await self._lock(fd)
            os.truncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(fd)
            raise
        self._lock_fd = fd
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        fd, self._lock_fd = self.lock_fd, None
        # Only closed, never unlocked: an unlock would free the folder under a child still running.
        os.truncate(fd, 0)
        os.close(fd)

    async def _lock(self, fd: int) -> None:
        deadline = asyncio.get_running_loop().time() + LEFTOVERS_GRACE_S
        while not _try_lock(fd, fcntl.LOCK_EX):
            pid = _recorded_pid(self.path)
            if pid is not None and is_alive(pid):
                raise DataDirectoryBusy(self.path, pid)
            if asyncio.get_running_loop().time() > deadline:
                children = [pid for pid in having_open(self.path / LOCK_NAME) if pid != os.getpid()]
                raise DataDirectoryBusy(self.path, children[0] if children else None)
            await asyncio.sleep(RETRY_INTERVAL_S)


def is_running(path: Path) -> bool:
    """Tell whether a stack runs on the data directory `path`, or is still shutting down.

    Takes a shared lock for an instant; a start at that very moment just tries again.
    """
    try:
        fd = os.open(path / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataDirectoryUnusable(path, f"{error.strerror}.") from error
    try:
        return not _try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def running_pid(path: Path) -> int | None:
    """Return the pid of the live process that holds `path`; None when none does."""
    pid = _recorded_pid(path) if is_running(path) else None
    return pid if pid is not None and is_alive(pid) else None


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _recorded_pid(path: Path) -> int | None:
    text = (path / LOCK_NAME).read_text(encoding="ascii", errors="replace").strip()
    return int(text) if text.isdecimal() else None
