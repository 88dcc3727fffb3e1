"""The gallery's cards: what there is of a caller's videos, finished or on their way, newest first.

Everything is one list of generations. Where words or stars are asked for, or finished videos alone,
it is the list of assets, in which those stand. A video that was deleted is in neither.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from activities.generations.reading import Filters
from activities.library.repository import Asset, UnknownAsset
from starter.api.callers import Caller
from starter.api.cursors import after_of, encode
from starter.api.documents import ASSETS, told
from starter.api.pages.words import operation, segment
from starter.api.parts import Parts
from starter.api.scopes import sources_of
from workflows.contracts.progress import Progress, estimate
from workflows.contracts.requests import Operation, Source
from workflows.contracts.results import Generation
from workflows.contracts.stages import TERMINAL, Stage, Status

CARDS = 24
"""A page: full rows of two, three and four."""

READS_MAX = 5
"""Lists read for one page: where very many were deleted, it is short, and the next goes on."""

FAVORITE = "favorite"
"""In place of a status: finished videos with a star."""

TITLE_CHARACTERS_MAX = 80


class Wanted(NamedTuple):
    """What to show; empty = any."""

    q: str = ""
    operation: Operation | None = None
    source: Source | None = None
    status: Status | str = ""
    cursor: str | None = None

    @property
    def any(self) -> bool:
        """Whether something is left out."""
        return bool(self.q or self.operation or self.source or self.status)

    @property
    def finished(self) -> bool:
        """Whether only finished videos can be meant."""
        return bool(self.q) or self.status in {FAVORITE, Status.COMPLETED}


class Card(NamedTuple):
    """One video as the gallery shows it."""

    generation_id: str
    asset_id: str | None
    title: str
    operation: Operation
    status: Status
    stage: Stage
    made_at: datetime
    duration_s: float | None
    poster: str | None = None
    """A still of the video; there may be none at this address, which a script hides."""
    content: str | None = None
    still: str | None = None
    """The picture that it is made of, as long as there is no video."""
    nsfw: bool = False
    favorite: bool = False
    progress: Progress | None = None
    """None where it has ended."""
    refusal: str | None = None
    """Why there is no video."""


class Page(NamedTuple):
    """Cards, and where the next ones go on."""

    cards: list[Card]
    cursor: str | None


async def page_of(parts: Parts, caller: Caller, wanted: Wanted) -> Page:
    """A page of what is wanted.

    Raises:
        Problem: 422: the cursor is none of ours.
    """
    after = after_of(wanted.cursor)
    if wanted.finished:
        return await _finished(parts, caller, wanted, after)
    return await _all(parts, caller, wanted, after)


async def _finished(parts: Parts, caller: Caller, wanted: Wanted, after: str | None) -> Page:
    found = await parts.client.library.find(
        user_id=caller.user_id,
        sources=sources_of(caller),
        source=wanted.source,
        operation=wanted.operation,
        words=wanted.q or None,
        favorite=True if wanted.status == FAVORITE else None,
        after=after,
        limit=CARDS + 1,
    )
    shown = found[:CARDS]
    cursor = encode(shown[-1].asset_id) if len(found) > CARDS else None
    return Page([card_of_asset(asset) for asset in shown], cursor)


async def _all(parts: Parts, caller: Caller, wanted: Wanted, after: str | None) -> Page:
    filters = Filters(
        user_id=caller.user_id,
        status=Status(wanted.status) if wanted.status else None,
        operation=wanted.operation,
        source=wanted.source,
        limit=CARDS,
        sources=sources_of(caller),
    )
    shown: list[Generation] = []
    for _ in range(READS_MAX):
        read = await parts.client.reader.find(filters._replace(after=after))
        shown += [each for each in read if not is_deleted(each)]
        after = read[-1].generation_id if len(read) == CARDS else None
        if after is None or len(shown) * 2 >= CARDS:
            break
    cards = await asyncio.gather(*(card_of(parts, each) for each in shown))
    return Page(list(cards), None if after is None else encode(after))


def is_deleted(generation: Generation) -> bool:
    """Whether there was a video, and its owner took it away."""
    return generation.status is Status.COMPLETED and generation.asset_id is None


async def card_of(parts: Parts, generation: Generation, asset: Asset | None = None) -> Card:
    """The card of a generation; its asset, unless it is given, and its progress are read."""
    if generation.asset_id is not None and asset is None:
        with suppress(UnknownAsset):  # deleted just now
            asset = await parts.client.library.read(generation.asset_id, user_id=generation.user_id)
    if asset is not None and generation.stage in TERMINAL:
        return card_of_asset(asset)
    why = told(generation.error)
    return Card(
        generation_id=generation.generation_id,
        asset_id=None,
        title=title_of(generation),
        operation=generation.operation,
        status=generation.status,
        stage=generation.stage,
        made_at=generation.created_at,
        duration_s=generation.duration_s,
        still=f"/generations/{segment(generation.generation_id)}/still",
        progress=await _progress(parts, generation),
        refusal=why.message if why is not None and generation.stage in TERMINAL else None,
    )


def card_of_asset(asset: Asset) -> Card:
    """The card of a finished video."""
    address = f"{ASSETS}/{asset.asset_id}"
    return Card(
        generation_id=asset.generation_id,
        asset_id=asset.asset_id,
        title=asset.title,
        operation=Operation(asset.operation),
        status=Status.COMPLETED,
        stage=Stage.COMPLETED,
        made_at=asset.created_at,
        duration_s=asset.duration_s,
        poster=f"{address}/poster",
        content=f"{address}/content",
        nsfw=asset.nsfw,
        favorite=asset.favorite,
    )


def title_of(generation: Generation) -> str:
    """What a generation is called before it has a title: by its prompt, else by what is made."""
    line = " ".join((generation.prompt or "").split()) or operation(generation.operation)
    if len(line) <= TITLE_CHARACTERS_MAX:
        return line
    return line[: TITLE_CHARACTERS_MAX - 1].rstrip() + "…"


async def _progress(parts: Parts, generation: Generation) -> Progress | None:
    if generation.stage in TERMINAL:
        return None
    facts = await parts.client.reader.progress(generation.generation_id, generation.user_id)
    return estimate(facts, datetime.now(UTC))


def choices(caller: Caller) -> dict[str, Sequence[str]]:
    """What the gallery can be narrowed to."""
    return {
        "operations": tuple(Operation),
        "sources": caller.sources,
        "statuses": tuple(Status),
    }
