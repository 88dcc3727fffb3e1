"""A small disk of its own for the media store, so that it can really be full.

A tmpfs in a mount namespace of this process: the children inherit it, nobody else sees it, and it
vanishes with the last of them. Root needs only the mount namespace; anyone else first enters a user
namespace in which they keep their own uid. Some containers forbid both: then there is no small
disk, and whoever wants a full one is told so.
"""

import ctypes
import errno
import os
import threading
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER = 0x0002_0000, 0x1000_0000  # linux/sched.h
MS_REC, MS_PRIVATE, MNT_DETACH = 0x4000, 0x4_0000, 2  # linux/mount.h
FILLER = "filler"
BLOCK_BYTES = 1024 * 1024


class NoSmallDisk(Exception):
    """The kernel gives this process no namespace to mount in; the message says what it answered."""


class SmallDisk:
    """A mounted tmpfs; `fill` leaves no byte on it until `free`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / FILLER

    def fill(self) -> None:
        """Write until the kernel says ENOSPC."""
        block = bytes(BLOCK_BYTES)
        with self._filler.open("ab", buffering=0) as file:
            while block:
                try:
                    file.write(block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    # Smaller pieces take what a whole block does not fit into.
                    block = block[: len(block) // 2]

    def free(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Let the folder be an empty one again."""
        libc = ctypes.CDLL(None, use_errno=True)
        _answered(libc.umount2(os.fsencode(self.folder), MNT_DETACH), "umount2")


def mount_small_disk(folder: Path, size_bytes: int) -> SmallDisk:
    """Mount a tmpfs of `size_bytes` on `folder`, visible to this process and its children only.

    Call it while the process has one thread: a user namespace is refused to more.

    Raises:
        NoSmallDisk: the kernel does not allow it here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0:
        assert threading.active_count() == 1, "a user namespace is entered by one thread"
    _answered(libc.unshare(CLONE_NEWNS if uid == 0 else CLONE_NEWNS | CLONE_NEWUSER), "unshare")
    if uid != 0:
        # The same uid inside as outside: PostgreSQL refuses to run as a namespace's root.
        _write("setgroups", "deny")
        _write("uid_map", f"{uid} {uid} 1")
        _write("gid_map", f"{gid} {gid} 1")
    # Without it the mount would be seen outside.
    _answered(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount")
    options = f"size={size_bytes},mode=0700,uid={uid},gid={gid}".encode()
    _answered(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options), "mount")
    return SmallDisk(folder)


def _answered(code: int, call: str) -> None:
    if code != 0:
        told = os.strerror(ctypes.get_errno())
        raise NoSmallDisk(f"{call}: {told}")


def _write(name: str, text: str) -> None:
    try:
        Path(f"/proc/self/{name}").write_text(text, "ascii")
    except OSError as error:
        raise NoSmallDisk(f"{name}: {error.strerror}") from error
