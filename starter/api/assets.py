"""The asset library over HTTP: finished videos, listed, read, edited and deleted by their owner."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from activities.library.edits import TAG_CHARACTERS_MAX, AssetChanges
from activities.library.repository import Asset, UnknownAsset
from starter.api.asset_documents import AssetDocument, AssetId, AssetPage
from starter.api.callers import Caller, CallerOf
from starter.api.cursors import (
    CURSOR_CHARACTERS_MAX,
    LIMIT,
    LIMIT_MAX,
    Moment,
    after_of,
    encode,
    page_of,
)
from starter.api.documents import ASSETS
from starter.api.parts import Parts, PartsOf
from starter.api.responses import problems
from starter.api.scopes import sources_of
from workflows.contracts.requests import Operation, Source
from workflows.contracts.texts import Storable

WORDS_CHARACTERS_MAX = 500

router = APIRouter(prefix=ASSETS, tags=["assets"])


class Filters(BaseModel):
    """Which assets a page has; what is left out is any."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    operation: Operation | None = None
    source: Source | None = None
    """The product that asked; of those that the key asks for."""
    q: Annotated[Storable, Field(min_length=1, max_length=WORDS_CHARACTERS_MAX)] | None = None
    """Words that all stand in title, description or prompt."""
    tag: Annotated[Storable, Field(min_length=1, max_length=TAG_CHARACTERS_MAX)] | None = None
    """One whole tag, such as `scene_3`."""
    favorite: bool | None = None
    """Whether they have a star."""
    since: Moment | None = None
    """Not made before it."""
    until: Moment | None = None
    """Made before it."""
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = LIMIT
    """How many at most."""
    cursor: Annotated[str, Field(max_length=CURSOR_CHARACTERS_MAX)] | None = None
    """The `next_cursor` of the page before; without one, the first page."""


@router.get("", summary="List assets", responses=problems())
async def assets(
    caller: CallerOf, parts: PartsOf, filters: Annotated[Filters, Query()]
) -> AssetPage:
    """Finished videos of the user, newest first."""
    found = await parts.client.library.find(
        user_id=caller.user_id,
        sources=sources_of(caller),
        source=filters.source,
        operation=filters.operation,
        words=filters.q,
        tag=filters.tag,
        favorite=filters.favorite,
        since=filters.since,
        until=filters.until,
        after=after_of(filters.cursor),
        limit=filters.limit + 1,
    )
    page, has_more = page_of(found, filters.limit)
    return AssetPage(
        items=tuple(AssetDocument.of(each) for each in page),
        next_cursor=encode(page[-1].asset_id) if has_more else None,
    )


@router.get("/{asset_id}", summary="Read an asset", responses=problems(404))
async def asset(asset_id: AssetId, caller: CallerOf, parts: PartsOf) -> AssetDocument:
    """One finished video: what it is, what it was made of, and where its files are."""
    return AssetDocument.of(await _owned(parts, caller, asset_id))


@router.patch("/{asset_id}", summary="Edit an asset", responses=problems(404, 408, 413))
async def edit(
    asset_id: AssetId, changes: AssetChanges, caller: CallerOf, parts: PartsOf
) -> AssetDocument:
    """Change what is given: title, description, tags, the star. What is left out stays."""
    await _owned(parts, caller, asset_id)
    edited = await parts.client.library.edit(asset_id, changes, user_id=caller.user_id)
    return AssetDocument.of(edited)


@router.delete(
    "/{asset_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Delete an asset",
    responses=problems(404),
)
async def delete(asset_id: AssetId, caller: CallerOf, parts: PartsOf) -> None:
    """Delete a video and its files, for good. What it cost stays booked."""
    await _owned(parts, caller, asset_id)
    await parts.client.library.delete(asset_id, user_id=caller.user_id)


async def _owned(parts: Parts, caller: Caller, asset_id: str) -> Asset:
    """The caller's asset, by its whole id.

    Raises:
        UnknownAsset: there is none, or it is another user's or another product's.
    """
    found = await parts.client.library.read(asset_id, user_id=caller.user_id)
    if found.asset_id != asset_id or found.source not in caller.sources:
        raise UnknownAsset(f"no asset {asset_id!r}")
    return found
