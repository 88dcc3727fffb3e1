"""One store for all media, on a local folder or in a bucket.

An object is whole or absent: both kinds write aside first. The local kind also survives a power
cut: a file and its folders are synced before `put_file` returns, since a database row will say that
it is there. No step finds another step's files but through here: their hosts share no disk.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import urlsplit

import obstore
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store, from_url

from activities.media import folders, scratch
from activities.media.errors import NotStored
from activities.media.keys import check_key, input_key, is_key, output_key, poster_key
from activities.media.store_errors import translated

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

__all__ = ["MediaStore", "StoredObject", "input_key", "output_key", "poster_key"]

BUCKET_SCHEMES = ("s3", "gs", "az")

# The smallest part that S3 takes: 2 GiB are 410 parts of the 10,000 that it allows.
_PART_SIZE_BYTES = 5 * 1024 * 1024
_CONCURRENT_PARTS = 4
_CHUNK_SIZE_BYTES = 1024 * 1024
_TAKING_BACK_S = 10.0
"""For the parts of an upload that was cancelled. What is left after it, the bucket's own rule for
incomplete uploads removes."""

LINK_S = 300
LINK_S_MAX = 7 * 24 * 3600
"""Of a signed address: five minutes, and the week that S3 allows at most."""

# A stalled connection ends after a minute without a byte; all of 2 GiB may take half an hour.
_CLIENT: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(minutes=30),
    # Whoever names an endpoint by http:// means it; the cloud's own are https.
    "allow_http": True,
}
# Writing by content is safe to repeat, and one 503 among 256 parts must not send 2 GiB again.
_RETRY: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}


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
        # A file is taken without a copy only within one file system.
        self._scratch_parent = root or scratch.default_parent()

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
            root = folders.folder_of(url)
            with translated("open the media folder"):
                return cls(LocalStore(prefix=root, mkdir=True), root.as_uri(), root)
        if parts.scheme not in BUCKET_SCHEMES or not parts.hostname:
            raise ValueError("the media URL must be file:///folder or s3://bucket/prefix")
        if set("@:") & set(parts.netloc) or parts.query or parts.fragment:
            raise ValueError(
                "a bucket is written s3://bucket/prefix: its key and endpoint stand in variables,"
                " such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL"
            )
        options: ClientConfig = {**_CLIENT, **(client_options or {})}
        return cls(from_url(url, client_options=options, retry_config=_RETRY), url, None)

    @contextmanager
    def scratch(self) -> Generator[Path]:
        """A private folder for files on their way into the store, gone after the block.

        What is put from there into a local store is not copied again.

        Raises:
            StoreFull, StoreUnavailable: It can't be made.
        """
        with ExitStack() as stack:
            with translated("make a folder for a file"):
                folder = stack.enter_context(scratch.scratch_folder(self._scratch_parent))
            yield folder

    async def put_file(self, path: Path, key: str, *, mime_type: str) -> None:
        """Store a file of any size in bounded memory (about 6 parts of 5 MiB); durable on return.

        Cancelled, it takes back what it has sent. From the store's own `scratch` the file itself
        may be taken: it must not be written to any more.

        Raises:
            StoreFull: Nothing was stored.
            StoreUnavailable: Nothing was stored, or not durably; storing it again is safe.
        """
        check_key(key)
        file = await asyncio.to_thread(path.open, "rb")  # A missing source is the caller's mistake.
        with file:
            if self._root and scratch.holds(self._root, path):
                with translated("store a file"):
                    if await asyncio.to_thread(folders.link_in, path, self._root, key):
                        return
            # Given the path itself, the store reads far ahead: 300 MB held 89 MB in memory, so 30.
            stopped = asyncio.Event()
            await _finished(self._put(_blocks(file, stopped), key, mime_type), stopped)

    async def put_bytes(self, data: bytes, key: str, *, mime_type: str) -> None:
        """Store a few bytes; the same promises as `put_file`."""
        await self._put(data, check_key(key), mime_type)

    async def _put(self, source: AsyncIterator[bytes] | bytes, key: str, mime_type: str) -> None:
        with translated("store a file"):
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
                await asyncio.to_thread(folders.sync, self._root, self._root / key)

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
        with translated("read a file", missing=NotStored):
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
            with translated("copy a file out of the store"), file:
                async for chunk in self.stream(key):
                    await asyncio.to_thread(file.write, chunk)
        except BaseException:
            path.unlink(missing_ok=True)  # noqa: ASYNC240  # Also when cancelled: nothing awaits here.
            raise

    async def head(self, key: str) -> StoredObject | None:
        """What is stored under the key, None if nothing is."""
        try:
            with translated("look at a file", missing=NotStored):
                found = await obstore.head_async(self._store, check_key(key))
        except NotStored:
            return None
        return StoredObject(key, found["size"], found["last_modified"])

    async def delete(self, key: str) -> None:
        """Remove an object; a missing one is fine."""
        try:
            with translated("delete a file", missing=NotStored):
                await obstore.delete_async(self._store, check_key(key))
        except NotStored:
            return

    async def list(self, prefix: str | None = None) -> AsyncIterator[StoredObject]:
        """Every object below a prefix of whole segments, such as `outputs/<owner>`."""
        below = check_key(prefix) if prefix else None
        with translated("list files"):
            async for rows in obstore.list(self._store, below):
                for row in rows:
                    # Files on their way are none of them.
                    if is_key(row["path"]):
                        yield StoredObject(row["path"], row["size"], row["last_modified"])

    def local_path(self, key: str) -> Path | None:
        """The file itself, if this store is a local folder."""
        check_key(key)
        return self._root / key if self._root else None

    def url(self, key: str) -> str:
        """A name for the object: its file URL, or its place in the bucket. Never signed."""
        return f"{self._url}/{check_key(key)}"

    async def presigned_url(self, key: str, expires_s: int = LINK_S) -> str | None:
        """An address that gives the object to whoever has it; None where the store is a folder.

        A secret for its time: hand it to the person who may read the file, and to nothing that
        keeps it. Whether there is such an object is not asked.

        Args:
            key: The object.
            expires_s: 1 second to 7 days; one signed by a role's credentials ends with these.

        Raises:
            ValueError: `expires_s` is something else.
        """
        check_key(key)
        if not 1 <= expires_s <= LINK_S_MAX:
            raise ValueError(f"expires_s is {expires_s}; allowed: 1 to {LINK_S_MAX}")
        if not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        with translated("sign an address"):
            return await obstore.sign_async(self._store, "GET", key, timedelta(seconds=expires_s))

    async def sweep_scratch(self) -> int:
        """Remove this host's folders of files on their way whose process is dead; how many.

        Those of the system's own place too, where callers' bytes wait for their upload.
        """
        swept = 0
        with translated("sweep the folders of killed processes"):
            for parent in {self._scratch_parent, scratch.default_parent()}:
                swept += await asyncio.to_thread(scratch.sweep_scratch, parent)
        return swept

    async def sweep_leftovers(self, older_than_s: float) -> int:
        """Remove what killed writers left, `name#1` in a local store too; how many there were.

        A bucket needs its own rule that aborts incomplete uploads.
        """
        before = time.time() - older_than_s
        with translated("sweep the media folder"):
            swept = await asyncio.to_thread(scratch.sweep_scratch, self._scratch_parent)
            if not self._root:
                return swept
            return swept + await asyncio.to_thread(folders.sweep_leftovers, self._root, before)


class _Stopped(Exception):
    """The upload is not wanted any more."""


async def _finished(upload: Awaitable[None], stopped: asyncio.Event) -> None:
    """Await an upload that, cancelled, is first told to fail by itself.

    The library takes back the parts of an upload whose source fails, not of one that is dropped.
    """
    task = asyncio.ensure_future(upload)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        stopped.set()
        # Its failure is what we asked for: read, so that nobody is told of it.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        try:
            await asyncio.wait({task}, timeout=_TAKING_BACK_S)
        finally:
            task.cancel()
        raise


async def _blocks(file: BinaryIO, stopped: asyncio.Event) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(file.read, _CHUNK_SIZE_BYTES):
        if stopped.is_set():
            raise _Stopped
        yield block
