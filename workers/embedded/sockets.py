"""Where PostgreSQL's Unix socket lies: in the data directory, unless that path is too long.

A socket's path may have 103 bytes (macOS; Linux 107). asyncpg and PostgreSQL also read a comma in
it as a separator. For such paths the socket gets a short folder of its own in `/tmp`,
remembered in the data directory, so that a killed run leaves at most that one empty folder behind.
"""

import os
import stat
import tempfile
from pathlib import Path

PORT = 5432  # Only a part of the socket's name: nothing listens on TCP.
SOCKET_PATH_BYTES_MAX = 103
SOCKET_NAME = f".s.PGSQL.{PORT}"
AMBIGUOUS = frozenset(',"\\')
MEMO_NAME = "socket-folder"


def socket_folder(run: Path) -> Path:
    """Return a private folder for the socket: `run` itself, or a short one remembered in it."""
    if fits(run):
        return run
    memo = run / MEMO_NAME
    if memo.exists():
        remembered = Path(memo.read_text(encoding="utf-8"))
        if _is_private_folder(remembered):
            return remembered
    short = Path(tempfile.mkdtemp(prefix="stillmotion-", dir="/tmp"))
    memo.write_text(str(short), encoding="utf-8")
    return short


def forget_socket_folder(run: Path) -> None:
    """Remove the short folder of `run`, where it has one, after its server has ended."""
    memo = run / MEMO_NAME
    if not memo.exists():
        return
    short = Path(memo.read_text(encoding="utf-8"))
    if _is_private_folder(short):
        for entry in short.iterdir():
            entry.unlink()
        short.rmdir()
    memo.unlink()


def fits(folder: Path) -> bool:
    """Tell whether a socket in `folder` has a path that every client understands."""
    path = os.fsencode(folder / SOCKET_NAME)
    text = str(folder)
    plain = text.isprintable() and AMBIGUOUS.isdisjoint(text)
    return plain and len(path) <= SOCKET_PATH_BYTES_MAX


def _is_private_folder(path: Path) -> bool:
    """Tell whether `path` is a folder nobody else may enter: `/tmp` is open to everyone."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    ours = found.st_uid == os.geteuid() or os.geteuid() == 0
    return ours and stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == stat.S_IRWXU
