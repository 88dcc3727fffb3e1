"""Links to files for people without a key: signed, short-lived, good for one file.

Where the media store is a bucket the link is the bucket's own, and we are not asked again. Else it
is an address here, whose token says which file and until when, under a keyed hash of ours: nothing
is stored, and nobody makes one without the deployment's key. A link that was given out can't be
taken back but by deleting the asset, so it is short. It is a secret and stands in no log.
"""

import hashlib
import hmac
import re
import time
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal, NamedTuple

from fastapi import APIRouter, Request, Response

from starter.api.asset_documents import AssetId, LinkDocument, LinkRequest
from starter.api.callers import CallerOf
from starter.api.contents import (
    READING,
    STILL_TYPES,
    VIDEO_TYPES,
    Download,
    files,
    reply_of,
)
from starter.api.documents import ASSETS
from starter.api.parts import Parts, PartsOf
from starter.api.problems import Problem
from starter.api.responses import problems
from starter.assets import FileKind

MEDIA = "/v1/media"
"""Below it: a token. No key is asked for there (`entrance`)."""

# No user id holds a NUL, so that no user's keyed hash, which lists show, ever signs a link.
_CONTEXT = b"media link\x00"
_TOKEN = re.compile(r"([a-z0-9_]{1,64})\.(content|poster)\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")

router = APIRouter(tags=["assets"])


class Grant(NamedTuple):
    """What a link lets its holder read."""

    asset_id: str
    file: FileKind
    ends_at_s: int
    """Unix seconds."""


def token_of(hash_key: str, grant: Grant) -> str:
    """The grant and its proof, as one segment of a path."""
    text = ".".join(map(str, grant))
    return f"{text}.{_mac(hash_key, text)}"


def grant_of(hash_key: str, token: str) -> Grant:
    """What a token grants.

    Raises:
        Problem: 404: it is none of ours. 410: it has ended.
    """
    found = _TOKEN.fullmatch(token)
    text, _, mac = token.rpartition(".")
    if found is None or not hmac.compare_digest(mac, _mac(hash_key, text)):
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such link.", kind="unknown_link")
    kind: Literal["content", "poster"] = "poster" if found[2] == "poster" else "content"
    grant = Grant(found[1], kind, int(found[3]))
    if time.time() >= grant.ends_at_s:
        raise Problem(
            HTTPStatus.GONE, "The link has ended; ask for another one.", kind="link_ended"
        )
    return grant


@router.post(
    f"{ASSETS}/{{asset_id}}/links",
    status_code=HTTPStatus.CREATED,
    summary="Make a link",
    responses=problems(404, 408, 413),
)
async def make(
    asset_id: AssetId, asked: LinkRequest, request: Request, caller: CallerOf, parts: PartsOf
) -> LinkDocument:
    """A link to a file of an asset, for somebody without a key."""
    library = parts.client.library
    file = await library.file(asset_id, asked.file, user_id=caller.user_id, sources=caller.sources)
    ends_at_s = int(time.time()) + asked.expires_s
    url = await library.link(file, asked.expires_s)
    if url is None:
        token = token_of(parts.hash_key, Grant(file.asset_id, asked.file, ends_at_s))
        url = f"{_origin(request, parts)}{MEDIA}/{token}"
    return LinkDocument(url=url, expires_at=datetime.fromtimestamp(ends_at_s, UTC))


@router.head(f"{MEDIA}/{{token}}", include_in_schema=False)
@router.get(
    f"{MEDIA}/{{token}}",
    summary="Read by a link",
    response_class=Response,
    responses=files(VIDEO_TYPES + STILL_TYPES, 410),
    openapi_extra=READING,
)
async def read(
    token: str, request: Request, parts: PartsOf, *, download: Download = False
) -> Response:
    """The file of a link, whole or a part; without a key."""
    grant = grant_of(parts.hash_key, token)
    file = await parts.client.library.file(grant.asset_id, grant.file)
    return await reply_of(request, parts, file, download=download)


def _origin(request: Request, parts: Parts) -> str:
    """Where we are reached: as the deployment says, else as this caller did."""
    return parts.public_url or str(request.base_url).rstrip("/")


def _mac(hash_key: str, text: str) -> str:
    digest = hmac.new(hash_key.encode(), _CONTEXT + text.encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")
