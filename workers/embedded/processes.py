"""What the kernel says about processes we did not start ourselves.

Needed after a crash, when a pid in a file is all that is left. Linux only: elsewhere the functions
that need `/proc` answer "nothing known", and PostgreSQL's own, more cautious check decides.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def is_alive(pid: int) -> bool:
    """Tell whether `pid` is a process that still runs: a zombie, waiting to be reaped, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # It exists and belongs to somebody else.
    return _state(pid) not in {"Z", "X"}


def command_of(pid: int) -> list[str]:
    """Return the command line of `pid`, empty when it is gone, a zombie or not readable."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(part) for part in raw.rstrip(b"\0").split(b"\0")] if raw else []


def working_in(folder: Path) -> list[int]:
    """Return the pids whose current folder is `folder`, as a PostgreSQL backend's is."""
    return [pid for pid in _pids() if _current_folder(pid) == folder]


def having_open(path: Path) -> list[int]:
    """Return the pids that have the file `path` open, as far as we may look."""
    wanted = path.stat()
    return [pid for pid in _pids() if any(os.path.samestat(wanted, s) for s in _open_files(pid))]


def _open_files(pid: int) -> Iterator[os.stat_result]:
    with contextlib.suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield entry.stat()


def _pids() -> Iterator[int]:
    if PROC.is_dir():
        yield from (int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal())


def _current_folder(pid: int) -> Path | None:
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "cwd").readlink()
    return None


def _state(pid: int) -> str:
    """Return the one-letter state of `pid`, empty where `/proc` doesn't tell."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    # The second field is the name in brackets, which may itself contain brackets and blanks.
    return stat.rpartition(")")[2].split()[0]
