"""Batches over HTTP: many generations asked for as one, counted, cancelled."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from activities.batches.repository import NewBatch
from starter.api.batch_documents import BatchDetails, BatchDocument, BatchPage
from starter.api.batch_wishes import batch_in, items_of
from starter.api.callers import CallerOf
from starter.api.cursors import CURSOR_CHARACTERS_MAX, LIMIT, LIMIT_MAX, after_of, encode, page_of
from starter.api.documents import BATCHES
from starter.api.idempotency import KeyOf, with_key
from starter.api.parts import PartsOf
from starter.api.responses import also, problems
from starter.api.schemas import BATCH
from starter.api.scopes import batch_of, sources_of
from starter.api.wishes import json_of, source_of
from starter.batch_handles import BatchHandle
from starter.batches import new_key
from starter.screening import screen_items

router = APIRouter(prefix=BATCHES, tags=["batches"])

BatchId = Annotated[
    str, Path(description="The whole id.", examples=["bat_5mzq3kcfwnzvj4y2tqk7x6ab2e"])
]


class BatchFilters(BaseModel):
    """Which batches a page has."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = LIMIT
    """How many at most."""
    cursor: Annotated[str, Field(max_length=CURSOR_CHARACTERS_MAX)] | None = None
    """The `next_cursor` of the page before; without one, the first page."""


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    summary="Start a batch",
    response_description="It is accepted and goes on by itself; `Location` is its address.",
    responses=also(200, BatchDocument, "The key's batch, which was started before.")
    | problems(408, 413, 415),
    openapi_extra=BATCH,
)
async def start(
    request: Request, response: Response, caller: CallerOf, parts: PartsOf, key: KeyOf
) -> BatchDocument:
    """Start up to 500 generations as one: JSON, with media by id or URL.

    Every item is checked before anything is recorded; a mistake is told by the item's `position`,
    which counts from 1. Quota for the whole is reserved at once, or the batch fails as a whole; an
    item that fails leaves the others.
    """
    asked = batch_in(with_key(await json_of(request), key))
    client, source = parts.client, source_of(caller, asked.source)
    is_known = await client.batches.is_known(caller.user_id, asked.idempotency_key)
    requests = await client.batches.asking.requests(
        items_of(asked, caller), user_id=caller.user_id, source=source
    )
    if not is_known:
        await screen_items(client, requests)
    handle = await client.batches.start(
        NewBatch(
            caller.user_id,
            asked.idempotency_key or new_key(),
            source,
            requests,
            asked.max_parallel,
            asked.max_cost_usd_micros,
        )
    )
    if is_known:
        response.status_code = HTTPStatus.OK
    response.headers["Location"] = f"{BATCHES}/{handle.id}"
    return BatchDocument.of(await handle.progress())


@router.get("", summary="List batches", responses=problems())
async def listed(
    caller: CallerOf, parts: PartsOf, filters: Annotated[BatchFilters, Query()]
) -> BatchPage:
    """The user's batches that the key's products asked for, newest first."""
    found = await parts.client.batches.reader.find(
        caller.user_id,
        filters.limit + 1,
        sources=sources_of(caller),
        after=after_of(filters.cursor),
    )
    page, goes_on = page_of(found, filters.limit)
    return BatchPage(
        items=tuple(BatchDocument.of(each) for each in page),
        next_cursor=encode(page[-1].batch_id) if goes_on else None,
    )


@router.get("/{batch_id}", summary="Read a batch", responses=problems(404))
async def read(batch_id: BatchId, caller: CallerOf, parts: PartsOf) -> BatchDetails:
    """One batch with its items, each with what became of it."""
    batch = await batch_of(parts, caller, batch_id)
    items = await parts.client.batches.reader.items(batch_id, caller.user_id)
    return BatchDetails.with_items(batch, items)


@router.post(
    "/{batch_id}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    summary="Cancel a batch",
    response_description="What runs is cancelled, and what waits is never started.",
    responses=also(200, BatchDocument, "It has ended already.") | problems(404),
)
async def cancel(
    batch_id: BatchId, response: Response, caller: CallerOf, parts: PartsOf
) -> BatchDocument:
    """Cancel what runs and what waits. It is durable without workers; finished videos are kept."""
    await batch_of(parts, caller, batch_id)
    handle = BatchHandle(parts.client.batches, batch_id, caller.user_id)
    if not await handle.cancel():
        response.status_code = HTTPStatus.OK
    return BatchDocument.of(await handle.progress())
