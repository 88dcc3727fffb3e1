"""Files of assets: the video and its still, whole or in parts, straight from the media store.

A file passes through in blocks and is never whole in memory. Its reader is waited for between two
blocks; one that goes away, or takes nothing for a minute, ends the read. It comes back by `Range`.
"""

import unicodedata
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from activities.media.errors import NotStored
from starter.api.asset_documents import AssetId
from starter.api.callers import CallerOf
from starter.api.documents import ASSETS
from starter.api.parts import Parts, PartsOf
from starter.api.ranges import etag_of, is_known, part_of
from starter.api.responses import Responses, problems
from starter.api.streaming import PatientStream
from starter.assets import AssetFile

BLOCK_SIZE_BYTES = 256 * 1024
"""A reader has few of them in memory."""

BLOCK_WITHIN_S = 60.0
"""How long a reader may take over a block. A player that is paused takes none; it asks again when
it goes on."""

VIDEO_TYPES = ("video/mp4", "video/webm")
STILL_TYPES = ("image/jpeg", "image/webp")
"""What files of assets can be, for the OpenAPI document."""

NAME_CHARACTERS_MAX = 80
_SIGNS = frozenset(" .,()-_")
_AN_ETAG = f'"{"0123456789abcdef" * 4}"'

Download = Annotated[
    bool, Query(description="Whether a browser is to save it rather than to show it.")
]

router = APIRouter(prefix=ASSETS, tags=["assets"])


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "examples": [example]}
    return {"name": name, "in": "header", "description": description, "schema": schema}


READING: dict[str, Any] = {
    "parameters": [
        _header("Range", "One part of it.", "bytes=0-1023"),
        _header("If-Range", "The part only of this file; of another one the whole.", _AN_ETAG),
        _header("If-None-Match", "The ETag of what you have.", _AN_ETAG),
    ]
}
"""What `reply_of` reads of a request, for the OpenAPI document."""


def files(media_types: Sequence[str], *statuses: int) -> Responses:
    """What `reply_of` answers for a file, for the OpenAPI document; and these problems."""
    content = {"schema": {"type": "string", "format": "binary"}}
    file = {"content": dict.fromkeys(media_types, content)}
    return {
        200: {"description": "The whole file.", **file},
        206: {"description": "The part of it that was asked for.", **file},
        304: {"description": "You have it."},
        **problems(404, 416, *statuses),
    }


@router.head("/{asset_id}/content", include_in_schema=False)
@router.get(
    "/{asset_id}/content",
    summary="Read a video",
    response_class=Response,
    responses=files(VIDEO_TYPES),
    openapi_extra=READING,
)
async def content(
    asset_id: AssetId,
    request: Request,
    caller: CallerOf,
    parts: PartsOf,
    *,
    download: Download = False,
) -> Response:
    """The video, whole or a part. Its ETag is the file's SHA-256."""
    owner, sources = caller.user_id, caller.sources
    file = await parts.client.library.file(asset_id, user_id=owner, sources=sources)
    return await reply_of(request, parts, file, download=download)


@router.head("/{asset_id}/poster", include_in_schema=False)
@router.get(
    "/{asset_id}/poster",
    summary="Read a still",
    response_class=Response,
    responses=files(STILL_TYPES),
    openapi_extra=READING,
)
async def poster(
    asset_id: AssetId,
    request: Request,
    caller: CallerOf,
    parts: PartsOf,
    *,
    download: Download = False,
) -> Response:
    """A still of the video, mostly a JPEG."""
    owner, sources = caller.user_id, caller.sources
    file = await parts.client.library.file(asset_id, "poster", user_id=owner, sources=sources)
    return await reply_of(request, parts, file, download=download)


async def reply_of(
    request: Request, parts: Parts, file: AssetFile, *, download: bool = False
) -> Response:
    """A file, or what of it the reader wants; for GET and HEAD.

    Raises:
        Problem: 416: the part that is asked for is beyond the end.
        NotStored: it is not in the media store.
        StoreError: the media store does not answer.
    """
    library, etag = parts.client.library, etag_of(file.digest)
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition_of(file, download=download),
    }
    if is_known(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if request.method == "HEAD":
        if not await library.is_there(file):
            raise NotStored("it is not in the media store")
        headers["Content-Length"] = str(file.size_bytes)
        return Response(headers=headers, media_type=file.mime_type)
    part = part_of(request, etag, file.size_bytes)
    if part is not None:
        headers["Content-Range"] = part.of(file.size_bytes)
    start, end = part or (0, file.size_bytes)
    headers["Content-Length"] = str(end - start)
    return PatientStream(
        library.blocks(file, BLOCK_SIZE_BYTES, start, end),
        piece_within_s=BLOCK_WITHIN_S,
        status_code=HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT,
        headers=headers,
        media_type=file.mime_type,
    )


def disposition_of(file: AssetFile, *, download: bool) -> str:
    """The header `Content-Disposition`: shown or saved, under a name that any system takes.

    It is made of the title, which people write: letters, digits and a few signs are kept. Readers
    that are old get what of it is ASCII.
    """
    suffix = PurePosixPath(file.key).suffix
    name = _plain(unicodedata.normalize("NFC", file.title)) or file.asset_id
    old = _plain(unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode())
    kind = "attachment" if download else "inline"
    encoded = quote(f"{name}{suffix}", safe="")
    return f"{kind}; filename=\"{old or file.asset_id}{suffix}\"; filename*=UTF-8''{encoded}"


def _plain(text: str) -> str:
    """Letters with their marks, digits, and signs that mean nothing to a file system."""
    kept = (
        each if each in _SIGNS or unicodedata.category(each)[0] in "LMN" else " " for each in text
    )
    return " ".join("".join(kept).split())[:NAME_CHARACTERS_MAX].strip(" .")
