"""Folders for files on their way: private, and known to be abandoned once their process is dead.

A process that is killed cleans nothing up, and a film has up to 2 GiB. So each folder is locked by
whoever made it, and the kernel gives a lock back however its holder ended: who gets it may remove
the folder. No clock or process id is asked, which differ between containers that share a folder.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".stillmotion-incoming-"
"""No object key begins with a dot."""

_LOCK = ".lock"
"""A file: the folder itself can't be locked on NFS."""


@contextmanager
def scratch_folder(parent: Path | None = None) -> Generator[Path]:
    """A private folder for the time of the block, in `parent` or the system's own place.

    Raises:
        OSError: it can't be made.
    """
    folder, lock = _locked(parent or default_parent())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep_scratch(parent: Path) -> int:
    """Remove the folders whose process is dead; returns how many there were.

    Raises:
        OSError: `parent` can't be read.
    """
    with os.scandir(parent) as entries:
        ours = [Path(entry.path) for entry in entries if _is_ours(entry)]
    return sum(map(_removed, ours))


def default_parent() -> Path:
    """The system's place for such folders: `TMPDIR`, else `/tmp`."""
    return Path(tempfile.gettempdir())


def holds(parent: Path, path: Path) -> bool:
    """Whether `path` lies in a scratch folder of `parent`."""
    return path.is_relative_to(parent) and path.relative_to(parent).parts[0].startswith(PREFIX)


def _is_ours(entry: "os.DirEntry[str]") -> bool:
    """The system's own place is open to everyone: others' folders, and links, are left alone."""
    if not entry.name.startswith(PREFIX) or not entry.is_dir(follow_symlinks=False):
        return False
    try:
        return entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    except FileNotFoundError:
        return False  # Its block ended meanwhile.


def _locked(parent: Path) -> tuple[Path, int]:
    """A new folder and its lock."""
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = _lock(folder)
        if lock is not None:
            return folder, lock
        # A sweeper came between the two steps, and has removed it or is about to.


def _lock(folder: Path) -> int | None:
    """The lock of a folder that stands; None where somebody else has it, or it is gone."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _removed(folder: Path) -> bool:
    lock = _lock(folder)
    if lock is None:
        return False
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
    return not folder.exists()
