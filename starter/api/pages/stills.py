"""The picture that a video is made of: what the gallery shows until there is a video."""

from collections.abc import AsyncGenerator
from http import HTTPStatus

from fastapi import APIRouter, Response

from activities.database.statements import statements
from starter.api.callers import CallerOf
from starter.api.pages.rendering import PageRoute
from starter.api.parts import Parts, PartsOf
from starter.api.problems import Problem
from starter.api.scopes import generation_of
from starter.api.streaming import PatientStream

SQL = statements("starter.api.pages", "queries.sql")

PIECE_SIZE_BYTES = 256 * 1024
PIECE_WITHIN_S = 60.0

MIME_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/bmp"})
"""What a browser shows as a picture and never runs; it is what was decoded, not what was said."""

KEPT_S = 300
"""It never changes; a browser that was signed out forgets it soon."""

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/generations/{generation_id:path}/still")
async def still(generation_id: str, caller: CallerOf, parts: PartsOf) -> Response:
    """The picture, as it was uploaded.

    Raises:
        Problem: 404: there is none yet, or the generation is another's.
        NotStored: the same, where the file is gone.
    """
    seen = await generation_of(parts, caller, generation_id)
    row = await parts.pool.fetchrow(SQL["still"], seen.generation_id, seen.user_id)
    if row is None or row["mime_type"] not in MIME_TYPES:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such picture.")
    headers = {
        "Cache-Control": f"private, max-age={KEPT_S}",
        "Vary": "Authorization, Cookie",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return PatientStream(
        _pieces(parts, row["key"]),
        piece_within_s=PIECE_WITHIN_S,
        headers=headers,
        media_type=row["mime_type"],
    )


async def _pieces(parts: Parts, key: str) -> AsyncGenerator[bytes]:
    # The store's own reading ends with it.
    async for piece in parts.client.store.stream(key, PIECE_SIZE_BYTES):
        yield piece
