"""The gallery, one card of it, and one video in full."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from starter.api.callers import Caller, CallerOf
from starter.api.cursors import CURSOR_CHARACTERS_MAX
from starter.api.pages.cards import FAVORITE, Wanted, card_of, choices, is_deleted, page_of
from starter.api.pages.details import values_of
from starter.api.pages.rendering import PageRoute, page
from starter.api.parts import PartsOf
from starter.api.problems import Problem
from starter.api.scopes import generation_of
from workflows.contracts.requests import Operation, Source
from workflows.contracts.results import Generation
from workflows.contracts.stages import Status

router = APIRouter(route_class=PageRoute, include_in_schema=False)


class Asked(BaseModel):
    """The address of a page of the gallery; what no filter knows is no filter."""

    q: str = Field(default="", max_length=200)
    operation: str = Field(default="", max_length=40)
    source: str = Field(default="", max_length=40)
    status: str = Field(default="", max_length=40)
    cursor: str | None = Field(default=None, max_length=CURSOR_CHARACTERS_MAX)

    def wanted(self, caller: Caller) -> Wanted:
        """The same as the gallery understands it."""
        q = self.q.replace("\x00", "").strip()
        # Words are searched in finished videos.
        known = (FAVORITE, Status.COMPLETED) if q else (FAVORITE, *Status)
        return Wanted(
            q,
            Operation(self.operation) if self.operation in tuple(Operation) else None,
            Source(self.source) if self.source in caller.sources else None,
            self.status if self.status in known else "",
            self.cursor,
        )


@router.get("/")
async def gallery(
    request: Request, caller: CallerOf, parts: PartsOf, asked: Annotated[Asked, Query()]
) -> Response:
    """The caller's videos, newest first."""
    wanted = asked.wanted(caller)
    as_of = datetime.now(UTC)
    found = await page_of(parts, caller, wanted)
    values = {
        "here": "gallery",
        "cards": found.cards,
        "filters": wanted,
        "more": _more(wanted, found.cursor),
        # Before it was read: what begins from now on may be missing on it.
        "as_of": as_of,
        **choices(caller),
    }
    return page(request, "gallery.html", values)


def _more(wanted: Wanted, cursor: str | None) -> str | None:
    """Where the next page is; None on the last one."""
    if cursor is None:
        return None
    chosen = wanted._replace(cursor=cursor)._asdict()
    return f"/?{urlencode({name: value for name, value in chosen.items() if value})}"


@router.get("/cards/{generation_id:path}")
async def card(generation_id: str, request: Request, caller: CallerOf, parts: PartsOf) -> Response:
    """One card of the gallery, as it is by now.

    Raises:
        Problem: 404: as `generation`.
    """
    seen = await generation_of(parts, caller, generation_id)
    _require_kept(seen)
    return page(request, "one-card.html", {"card": await card_of(parts, seen)})


@router.get("/generations/{generation_id:path}")
async def generation(
    generation_id: str, request: Request, caller: CallerOf, parts: PartsOf
) -> Response:
    """One video in full.

    Raises:
        Problem: 404: there is none, it is another's, or its owner deleted the video.
    """
    seen = await generation_of(parts, caller, generation_id)
    _require_kept(seen)
    return page(request, "generation.html", await values_of(parts, seen))


def _require_kept(generation: Generation) -> None:
    if is_deleted(generation):
        raise Problem(HTTPStatus.NOT_FOUND, "This video was deleted.")
