"""Assets: recorded once per generation, read, edited and deleted by their owner only."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from activities.database.pool import Connection, Pool, Row
from activities.database.statements import statements
from activities.generations import repository as generations
from activities.library.edits import AssetChanges
from activities.library.labels import labels_of
from activities.media.store import MediaStore
from workflows.contracts.ids import asset_id_for
from workflows.contracts.media import VideoFacts
from workflows.contracts.requests import parse_request
from workflows.contracts.results import StoredVideo
from workflows.contracts.stages import Stage
from workflows.contracts.stories import Scene

SQL = statements("activities.library", "queries.sql")


class UnknownAsset(LookupError):
    """No such asset, or not this owner's: the two look alike on purpose."""


class Asset(BaseModel):
    """One finished video, as `assets show -o json` prints it."""

    model_config = ConfigDict(frozen=True)

    asset_id: str
    generation_id: str
    user_id: str
    source: str
    operation: str
    model: str
    title: str
    description: str
    prompt: str | None
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    """What the product's own library kept beside a video; `activities.library.labels` names it."""
    favorite: bool
    nsfw: bool
    warnings: tuple[str, ...]
    duration_s: float
    width: int
    height: int
    file_size_bytes: int
    sha256: str
    mime_type: str
    file_path: str | None
    poster_path: str | None
    url: str
    created_at: datetime


class AssetFiles(NamedTuple):
    """Where the files of an asset are, and what was measured of the video."""

    asset_id: str
    key: str
    poster_key: str | None
    facts: VideoFacts
    title: str


async def save(
    connection: Connection, generation_id: str, video: StoredVideo, scene: Scene | None = None
) -> str:
    """Record the asset of a generation, in the caller's transaction; returns its id. Idempotent.

    Args:
        connection: In a transaction.
        generation_id: Whose video it is.
        video: The verified file.
        scene: The scene where it is stored as a document, not in the request.

    Raises:
        UnknownGeneration: nothing was reserved under this id.
    """
    await generations.lock(connection, generation_id)
    work = await generations.work_of(connection, generation_id)
    asset_id = asset_id_for(generation_id)
    labels = labels_of(parse_request(work.request), video.facts, work.terms, scene)
    await connection.fetchval(
        SQL["insert"],
        asset_id,
        generation_id,
        work.user_id,
        work.source,
        work.operation,
        work.terms.quote.model,
        video.key,
        video.poster_key,
        list(video.extra_keys),
        video.facts.model_dump(mode="json"),
        video.nsfw,
        list(video.warnings),
        labels.title,
        labels.description,
        work.prompt,
        labels.tags,
        labels.metadata,
    )
    await generations.record(connection, generation_id, Stage.SETTLING, {"asset_id": asset_id})
    return asset_id


async def read(pool: Pool, store: MediaStore, asset_id: str, user_id: str | None) -> Asset:
    """One asset, by id or a beginning of it that names one.

    Raises:
        UnknownAsset: none, several, or another owner's.
    """
    rows = await pool.fetch(SQL["read"], asset_id, user_id)
    if len(rows) != 1:
        raise UnknownAsset(
            f"{'several assets begin' if rows else 'no asset begins'} with {asset_id!r}"
        )
    return _asset(rows[0], store)


async def find(  # noqa: PLR0913 - each is one filter
    pool: Pool,
    store: MediaStore,
    *,
    user_id: str | None = None,
    source: str | None = None,
    operation: str | None = None,
    words: str | None = None,
    tag: str | None = None,
    sources: Sequence[str] | None = None,
    favorite: bool | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: str | None = None,
    limit: int = 100,
) -> list[Asset]:
    """Assets, newest first, by any of the filters; None = any.

    Args:
        pool: The database.
        store: Where their files are.
        user_id: Whose.
        source: The product that asked.
        operation: What was asked for.
        words: All of them stand in title, description and prompt.
        tag: One whole tag, such as `scene_3`.
        sources: Of these products only: what a reader may see, whatever `source` it asks for.
        favorite: Whether they have a star.
        since: Not made before it.
        until: Made before it.
        after: The last asset's id of the page before.
        limit: The page's size.
    """
    allowed = _sources(source, sources)
    filters = (user_id, allowed, operation, after, limit, favorite, since, until)
    if words is None and tag is None:
        rows = await pool.fetch(SQL["list"], *filters)
    else:
        rows = await pool.fetch(SQL["search"], *filters, words, tag)
    return [_asset(row, store) for row in rows]


async def edit(
    pool: Pool, store: MediaStore, asset_id: str, user_id: str, changes: AssetChanges
) -> Asset:
    """Change what is given of an asset; returns it as it is then.

    Raises:
        UnknownAsset: none of this id, or another owner's.
    """
    tags = None if changes.tags is None else list(changes.tags)
    row = await pool.fetchrow(
        SQL["edit"],
        asset_id,
        user_id,
        changes.title,
        changes.description,
        tags,
        changes.favorite,
    )
    if row is None:
        raise UnknownAsset(f"no asset {asset_id!r}")
    return _asset(row, store)


async def files_of(
    pool: Pool, asset_id: str, user_id: str | None, sources: Sequence[str] | None = None
) -> AssetFiles:
    """Where the files of an asset are, by its whole id; `sources` as in `find`.

    Raises:
        UnknownAsset: none of this id, another owner's, or another product's.
    """
    row = await pool.fetchrow(SQL["file"], asset_id, user_id, _sources(None, sources))
    if row is None:
        raise UnknownAsset(f"no asset {asset_id!r}")
    columns: dict[str, Any] = dict(row)
    columns["facts"] = VideoFacts.model_validate(row["facts"])
    return AssetFiles(**columns)


async def key_of(pool: Pool, generation_id: str, user_id: str | None) -> str | None:
    """The store's key of a generation's video; None where this owner has none."""
    return await pool.fetchval(SQL["key_of"], generation_id, user_id)


async def delete(pool: Pool, store: MediaStore, asset_id: str, user_id: str) -> None:
    """Hide an asset and delete its files.

    Raises:
        UnknownAsset: none of this id, or another owner's.
    """
    row = await pool.fetchrow(SQL["delete"], asset_id, user_id)
    if row is None:
        raise UnknownAsset(f"no asset {asset_id!r}")
    for key in (row["key"], row["poster_key"], *row["extra_keys"]):
        if key is not None:
            await store.delete(key)


def _sources(source: str | None, allowed: Sequence[str] | None) -> list[str] | None:
    if source is None:
        return None if allowed is None else sorted(set(allowed))
    return [source] if allowed is None or source in allowed else []


def _asset(row: Row, store: MediaStore) -> Asset:
    facts = VideoFacts.model_validate(row["facts"])
    fields = {name: row[name] for name in Asset.model_fields if name in dict(row)}
    return Asset(
        **fields,
        duration_s=facts.duration_s,
        width=facts.width,
        height=facts.height,
        file_size_bytes=facts.size_bytes,
        sha256=facts.sha256,
        mime_type=facts.mime_type,
        file_path=path_of(store, row["key"]),
        poster_path=path_of(store, row["poster_key"]),
        url=store.url(row["key"]),
    )


def path_of(store: MediaStore, key: str | None) -> str | None:
    """The file of a key where the store is a folder, for those who may read it there."""
    path = store.local_path(key) if key is not None else None
    return str(path) if path is not None else None
