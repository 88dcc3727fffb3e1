"""The asset library for Python: `VideoClient.library`. Finished videos, read, edited, handed out.

Reads are owner-scoped unless an operator asks (None). Nothing here costs money or needs a worker.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

from activities.database.pool import Pool
from activities.library import repository as library
from activities.library.edits import AssetChanges
from activities.library.repository import Asset
from activities.media.errors import NotStored
from activities.media.store import LINK_S, MediaStore

FileKind = Literal["content", "poster"]
"""The video itself, or a still of it."""

_POSTER_TYPES = {".jpg": "image/jpeg", ".webp": "image/webp"}


class AssetFile(NamedTuple):
    """One file of an asset, as it is handed out."""

    asset_id: str
    key: str
    """Where the media store has it."""
    mime_type: str
    size_bytes: int
    digest: str
    """Of its content: two files that have the same are the same, byte by byte."""
    title: str
    """The asset's, as a person reads it; no file name yet."""


class Assets:
    """Finished videos."""

    def __init__(self, pool: Pool, store: MediaStore) -> None:
        self._pool = pool
        self._store = store

    async def find(
        self,
        **filters: Any,  # noqa: ANN401 - those of `activities.library.repository.find`
    ) -> list[Asset]:
        """Finished videos, newest first, by the filters of the library's own `find`."""
        return await library.find(self._pool, self._store, **filters)

    async def read(self, asset_id: str, *, user_id: str | None = None) -> Asset:
        """One asset, by id or unique beginning.

        Raises:
            UnknownAsset: none, several, or another owner's.
        """
        return await library.read(self._pool, self._store, asset_id, user_id)

    async def edit(self, asset_id: str, changes: AssetChanges, *, user_id: str) -> Asset:
        """Change title, description, tags or the star; returns the asset as it is then.

        Raises:
            UnknownAsset: none of this id, or another owner's.
        """
        return await library.edit(self._pool, self._store, asset_id, user_id, changes)

    async def delete(self, asset_id: str, *, user_id: str) -> None:
        """Delete an asset and its files; the ledger keeps what it cost.

        Raises:
            UnknownAsset: none of this id, or another owner's.
        """
        await library.delete(self._pool, self._store, asset_id, user_id)

    async def file(
        self,
        asset_id: str,
        kind: FileKind = "content",
        *,
        user_id: str | None = None,
        sources: Sequence[str] | None = None,
    ) -> AssetFile:
        """A file of an asset, by its whole id. That it is there is not looked at: reading tells.

        Raises:
            UnknownAsset: none of this id, another owner's, or of none of the `sources`.
            NotStored: no still of it could be made.
            StoreError: the media store does not answer.
        """
        found = await library.files_of(self._pool, asset_id, user_id, sources)
        if kind == "poster":
            return await self._poster(found)
        facts = found.facts
        return AssetFile(
            found.asset_id,
            found.key,
            facts.mime_type,
            facts.size_bytes,
            facts.sha256,
            found.title,
        )

    async def _poster(self, found: library.AssetFiles) -> AssetFile:
        """The still. Its size stands nowhere but in the store; its key ends in its hash."""
        key = found.poster_key
        stored = None if key is None else await self._store.head(key)
        if key is None or stored is None:
            raise NotStored(f"there is no still of {found.asset_id}")
        name = PurePosixPath(key)
        return AssetFile(
            found.asset_id,
            key,
            _POSTER_TYPES[name.suffix],
            stored.size_bytes,
            name.stem,
            found.title,
        )

    async def is_there(self, file: AssetFile) -> bool:
        """Whether the media store has it. Raises StoreError where that doesn't answer."""
        return await self._store.head(file.key) is not None

    async def blocks(
        self, file: AssetFile, size_bytes: int, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes]:
        """The bytes of a file from `start` up to, not including, `end`, in blocks of some size.

        Raises:
            NotStored, StoreError: with the first block, if it can't be read.
        """
        stream = self._store.stream(file.key, size_bytes, start=start, end=end)
        assert isinstance(stream, AsyncGenerator), "it is written as one"
        async with aclosing(stream):
            async for block in stream:
                yield block

    async def link(self, file: AssetFile, expires_s: int = LINK_S) -> str | None:
        """An address that gives the file to whoever has it; None where the store is a folder.

        A secret for its time, as `MediaStore.presigned_url`, which says what it raises.
        """
        return await self._store.presigned_url(file.key, expires_s)

    async def key_of(self, generation_id: str, *, user_id: str | None = None) -> str | None:
        """The store's key of a generation's video; None where this owner has none."""
        return await library.key_of(self._pool, generation_id, user_id)
