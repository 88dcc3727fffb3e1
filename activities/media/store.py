"""One store for all media, on a local folder or in a bucket.

An object is whole or absent: both kinds write aside first. The local kind also survives a power
cut: a file and its folders are synced before `put_file` returns, since a database row will say that
it is there.
"""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from activities.media.errors import (
    NotStored,
    StoreError,
    StoreFull,
    StoreUnavailable,
    is_disk_full,
)
from activities.media.keys import check_key, input_key, output_key, poster_key

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

__all__ = ["MediaStore", "StoredObject", "input_key", "output_key", "poster_key"]

BUCKET_SCHEMES = ("s3", "gs", "az")

# The smallest part that S3 takes: 2 GiB are 410 parts of the 10,000 that it allows.
_PART_SIZE_BYTES = 5 * 1024 * 1024
_CONCURRENT_PARTS = 4
_CHUNK_SIZE_BYTES = 1024 * 1024
_LEFTOVER = re.compile(r".+#\d+")

# A stalled connection ends after a minute without a byte; all of 2 GiB may take half an hour.
_CLIENT: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(minutes=30),
}
# Writing by content is safe to repeat, and one 503 among 256 parts must not send 2 GiB again.
_RETRY: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
# The store's own words for a full disk or quota (ENOSPC, EDQUOT, HTTP 507).
_FULL = re.compile(r"os error (28|122)\b|507 Insufficient Storage|StorageFull|QuotaExceeded")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What the store knows of one object."""

    key: str
    size_bytes: int
    modified_at: datetime


class MediaStore:
    """Media by key. Every method raises ValueError for what is no key, and `StoreError`s."""

    def __init__(self, store: "ObjectStore", url: str, root: Path | None) -> None:
        self._store = store
        self._url = url.rstrip("/")
        self._root = root

    @classmethod
    def from_url(cls, url: str, *, client_options: "ClientConfig | None" = None) -> Self:
        """Open the store at `file:///folder` (made if missing) or `s3://bucket/prefix`.

        Credentials and endpoint of a bucket come from the cloud's own environment variables.

        Args:
            url: The setting `media_url`.
            client_options: Added to the HTTP client's options, such as `{"allow_http": True}`.

        Raises:
            ValueError: The URL names no store that we know.
            StoreUnavailable: The folder can't be made.
        """
        parts = urlsplit(url)
        if parts.scheme == "file":
            root = _folder(url)
            with _translated("open the media folder"):
                return cls(LocalStore(prefix=root, mkdir=True), root.as_uri(), root)
        if parts.scheme not in BUCKET_SCHEMES or not parts.hostname:
            raise ValueError("the media URL must be file:///folder or s3://bucket/prefix")
        options: ClientConfig = {**_CLIENT, **(client_options or {})}
        return cls(from_url(url, client_options=options, retry_config=_RETRY), url, None)

    async def put_file(self, path: Path, key: str, *, mime_type: str) -> None:
        """Store a file of any size in bounded memory (about 6 parts of 5 MiB); durable on return.

        Raises:
            StoreFull: Nothing was stored.
            StoreUnavailable: Nothing was stored, or not durably; storing it again is safe.
        """
        file = await asyncio.to_thread(path.open, "rb")  # A missing source is the caller's mistake.
        with file:
            # Given the path itself, the store reads far ahead: 300 MB held 89 MB in memory, so 30.
            await self._put(_blocks(file), key, mime_type)

    async def put_bytes(self, data: bytes, key: str, *, mime_type: str) -> None:
        """Store a few bytes; the same promises as `put_file`."""
        await self._put(data, key, mime_type)

    async def _put(self, source: AsyncIterator[bytes] | bytes, key: str, mime_type: str) -> None:
        check_key(key)
        with _translated("store a file"):
            await obstore.put_async(
                self._store,
                key,
                source,
                # The local store refuses attributes.
                attributes=None if self._root else {"Content-Type": mime_type},
                chunk_size=_PART_SIZE_BYTES,
                max_concurrency=_CONCURRENT_PARTS,
            )
            if self._root:
                await asyncio.to_thread(_sync, self._root, self._root / key)

    async def stream(
        self,
        key: str,
        chunk_size_bytes: int = _CHUNK_SIZE_BYTES,
        *,
        start: int = 0,
        end: int | None = None,
    ) -> AsyncIterator[bytes]:
        """The object's bytes from `start` up to, not including, `end`.

        Raises:
            NotStored: At the first step, if there is no such object.
        """
        check_key(key)
        options: GetOptions = {}
        if end is not None:
            options = {"range": (start, end)}
        elif start:
            options = {"range": {"offset": start}}
        with _translated("read a file", missing=NotStored):
            found = await obstore.get_async(self._store, key, options=options)
            async for chunk in found.stream(min_chunk_size=chunk_size_bytes):
                yield bytes(chunk)

    async def fetch_to(self, key: str, path: Path) -> None:
        """Copy an object to a local file; nothing is left there on failure.

        Raises:
            NotStored: There is no such object.
            StoreFull: The local disk is full.
        """
        file = await asyncio.to_thread(path.open, "wb")
        try:
            with _translated("copy a file out of the store"), file:
                async for chunk in self.stream(key):
                    await asyncio.to_thread(file.write, chunk)
        except BaseException:
            path.unlink(missing_ok=True)  # noqa: ASYNC240  # Also when cancelled: nothing awaits here.
            raise

    async def head(self, key: str) -> StoredObject | None:
        """What is stored under the key, None if nothing is."""
        try:
            with _translated("look at a file", missing=NotStored):
                found = await obstore.head_async(self._store, check_key(key))
        except NotStored:
            return None
        return StoredObject(key, found["size"], found["last_modified"])

    async def delete(self, key: str) -> None:
        """Remove an object; a missing one is fine."""
        try:
            with _translated("delete a file", missing=NotStored):
                await obstore.delete_async(self._store, check_key(key))
        except NotStored:
            return

    async def list(self, prefix: str | None = None) -> AsyncIterator[StoredObject]:
        """Every object below a prefix of whole segments, such as `outputs/<owner>`."""
        below = check_key(prefix) if prefix else None
        with _translated("list files"):
            async for rows in obstore.list(self._store, below):
                for row in rows:
                    yield StoredObject(row["path"], row["size"], row["last_modified"])

    def local_path(self, key: str) -> Path | None:
        """The file itself, if this store is a local folder."""
        check_key(key)
        return self._root / key if self._root else None

    def url(self, key: str) -> str:
        """A name for the object: its file URL, or its place in the bucket. Never signed."""
        return f"{self._url}/{check_key(key)}"

    async def sweep_leftovers(self, older_than_s: float) -> int:
        """Remove what writers killed half-way left in a local store; how many there were.

        They are called `name#1`, which no key can be. A bucket needs its own rule that aborts
        incomplete uploads.
        """
        if not self._root:
            return 0
        with _translated("sweep the media folder"):
            return await asyncio.to_thread(_sweep, self._root, time.time() - older_than_s)


async def _blocks(file: BinaryIO) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(file.read, _CHUNK_SIZE_BYTES):
        yield block


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    folder = Path(url2pathname(parts.path))
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise ValueError("a media folder is written file:///folder, with three slashes")
    if not parts.path.startswith("/") or folder == Path("/"):
        raise ValueError("the media URL must name an absolute folder: file:///folder")
    return folder


def _sync(root: Path, path: Path) -> None:
    """Sync the file, then each folder up to the root: any of them may be new."""
    _fsync(path)
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


def _sweep(root: Path, before: float) -> int:
    swept = 0
    for path in root.rglob("*#*"):
        try:
            if _LEFTOVER.fullmatch(path.name) and path.stat().st_mtime < before:
                path.unlink()
                swept += 1
        except FileNotFoundError:
            continue  # Its writer finished, or another sweeper was faster.
    return swept


@contextmanager
def _translated(doing: str, *, missing: type[StoreError] = StoreUnavailable) -> Generator[None]:
    """Our errors for the store's, whose texts hold this machine's paths and bucket addresses.

    Args:
        doing: What was tried, after "could not".
        missing: What "not found" means: the object when reading, the bucket when writing.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise missing(f"could not {doing}: it is not in the media store") from error
    except OSError as error:
        if is_disk_full(error):
            raise StoreFull(f"could not {doing}: the disk is full") from error
        raise StoreUnavailable(f"could not {doing}: {error.strerror or 'no answer'}") from error
    except BaseError as error:
        if _FULL.search(str(error)):
            raise StoreFull(f"could not {doing}: the media store is full") from error
        kind = type(error).__name__.removesuffix("Error")
        raise StoreUnavailable(f"could not {doing}: the media store said {kind}") from error
