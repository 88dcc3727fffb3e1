"""What the store does itself where it is a local folder: durable, without a second copy.

The store's library writes aside and renames, so an object is whole or absent, but it syncs nothing.
What was fetched into the store's own scratch folder is given its place by a link, which costs no
second gigabyte.
"""

import errno
import os
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from activities.media.scratch import PREFIX

# `name#1` is what the library writes aside; no key can be called so, and none is listed.
_LEFTOVER = re.compile(r".+#\d+")
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
)


def folder_of(url: str) -> Path:
    """The folder that a `file:` URL names.

    Raises:
        ValueError: It names none, or the root.
    """
    parts = urlsplit(url)
    folder = Path(url2pathname(parts.path))
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise ValueError("a media folder is written file:///folder, with three slashes")
    if not parts.path.startswith("/") or folder == Path("/"):
        raise ValueError("the media URL must name an absolute folder: file:///folder")
    return folder


def link_in(source: Path, root: Path, key: str) -> bool:
    """Store `source`, a file below `root` that nobody changes any more, as `key`; durable.

    Returns False where this file system has no hard links: then nothing was stored.

    Raises:
        OSError: It could not be stored.
    """
    target = root / key
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f"{target.name}#{secrets.randbits(63)}")
    # An object's time says when it was stored, and its bytes are on disk before its name is.
    os.utime(source)
    _fsync(source)
    try:
        aside.hardlink_to(source)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    try:
        aside.replace(target)
    finally:
        # A rename onto another name of the same file does nothing.
        aside.unlink(missing_ok=True)
    _sync_folders(root, target)
    return True


def sync(root: Path, path: Path) -> None:
    """Sync the file, then each folder up to the root: any of them may be new."""
    _fsync(path)
    _sync_folders(root, path)


def sweep_leftovers(root: Path, before: float) -> int:
    """Remove what was written aside before a time, in seconds since 1970; how many there were.

    Folders that go meanwhile are passed over, and scratch folders are their processes' own.
    """
    swept = 0
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(PREFIX)]
        for path in (Path(folder, name) for name in names if _LEFTOVER.fullmatch(name)):
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
                    swept += 1
            except FileNotFoundError:
                continue  # Its writer finished, or another sweeper was faster.
    return swept


def _sync_folders(root: Path, path: Path) -> None:
    folder = path.parent
    while True:
        _fsync(folder)
        if folder == root:
            return
        folder = folder.parent


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
