"""A worker on a host of its own: `host_program.py NAME FOLDER…`, in namespaces of its own.

    unshare --mount --uts python host_program.py host-a /tmp

The network is its namespace's already. Here goes what processes of one machine share beside it: the
name, and every disk. What stays is the code and its Python, and nothing of that may be written to.
"""

import ctypes
import os
import socket
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CODE = (REPOSITORY, Path(sys.prefix), Path(sys.base_prefix))
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x4_0000
OWN = Path("/tmp")
"""Empty at the start, and the only place with room: all that this host has of a disk."""


def main() -> None:
    """Become a host and serve every queue there."""
    name, *shared = sys.argv[1:]
    socket.sethostname(name)
    _mount(None, Path("/"), None, MS_REC | MS_PRIVATE)
    for folder in sorted({OWN, Path("/dev/shm"), *map(Path, shared)}):
        _empty(folder)
    for folder in (Path("/"), *CODE):
        _freeze(folder)
    os.chdir(OWN)
    os.execv(sys.executable, [sys.executable, "-m", "workers", "worker"])


def _empty(folder: Path) -> None:
    """Hide what is in a folder, except the code, where it lies there."""
    kept = [path for path in CODE if path.is_relative_to(folder)]
    opened = {path: os.open(path, os.O_PATH) for path in kept}
    if not folder.is_dir():
        return  # It lay in one that was emptied before it.
    _mount("tmpfs", folder, "tmpfs", 0)
    for path, descriptor in opened.items():
        path.mkdir(parents=True, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", path, None, MS_BIND | MS_REC)


def _freeze(folder: Path) -> None:
    """Let nothing be written below a folder from here, unless something is mounted there."""
    _mount(str(folder), folder, None, MS_BIND | MS_REC)
    _mount(None, folder, None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def _mount(source: str | None, target: Path, kind: str | None, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    if libc.mount(*words, ctypes.c_ulong(flags), None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


if __name__ == "__main__":
    main()
