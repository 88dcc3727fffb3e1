"""Temporal's remote codec protocol: `POST /encode` and `POST /decode`, JSON of `Payloads` each.

Whoever may ask reads every prompt, so a token is needed, but for the machine's own users. Nothing
of a request or an answer is logged.
"""

import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from temporalio.api.common.v1 import Payload, Payloads

from activities.encryption.codec import EncryptionCodec, PayloadUnreadable

BODY_SIZE_BYTES_MAX = 8 * 1024 * 1024
"""A gRPC message of Temporal's has at most 4 MiB, which base64 makes a third longer."""

PREFLIGHT_KEPT_S = 600

LOOPBACK_NAMES = frozenset({"127.0.0.1", "::1", "localhost"})

Coding = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]


class Access(NamedTuple):
    """Who may ask."""

    token: str | None
    """None: whoever reaches a loopback address."""
    origins: tuple[str, ...]
    """Of the Web UIs whose scripts may read the answers."""


class Refused(Exception):
    """A request that isn't answered. The message is a sentence for whoever asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def create_app(codec: EncryptionCodec, access: Access) -> Starlette:
    """The application."""

    def route(path: str, coding: Coding) -> Route:
        async def answer(request: Request) -> Response:
            try:
                _require_access(request, access)
                return await _coded(request, coding)
            except Refused as error:
                headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None  # noqa: PLR2004 - HTTP's own number
                return PlainTextResponse(f"{error}\n", error.status, headers)

        return Route(path, answer, methods=["POST"])

    return Starlette(
        routes=[route("/encode", codec.encode), route("/decode", codec.decode)],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=access.origins,
                allow_methods=["POST"],
                allow_headers=["Authorization", "Content-Type", "X-Namespace"],
                max_age=PREFLIGHT_KEPT_S,
            )
        ],
    )


def _require_access(request: Request, access: Access) -> None:
    """Raise Refused for who has no token; without one, for who came under a foreign name."""
    if access.token is None:
        # A page whose own name was made to mean this machine is of the same origin for a browser.
        if request.url.hostname not in LOOPBACK_NAMES:
            raise Refused(403, "Host: allowed are localhost and the loopback addresses.")
        return
    given = request.headers.get("authorization", "").encode()
    if not secrets.compare_digest(given, f"Bearer {access.token}".encode()):
        raise Refused(401, "Authorization: allowed is `Bearer` and STILLMOTION_CODEC_TOKEN.")


async def _coded(request: Request, coding: Coding) -> Response:
    body = await _body(request)
    try:
        document = json.loads(body)
        asked = ParseDict(document, Payloads(), ignore_unknown_fields=True)
    except (ParseError, ValueError, RecursionError):
        document = asked = None
    # The parser takes a string or a list for an empty message.
    if asked is None or not isinstance(document, dict):
        # Without the cause: a parser's words hold what it parsed.
        raise Refused(400, "The body is not JSON of Payloads.")
    try:
        answered = await coding(asked.payloads)
    except PayloadUnreadable as error:
        raise Refused(400, f"{error}") from None
    text = MessageToJson(Payloads(payloads=answered), indent=None)
    return Response(text, media_type="application/json", headers={"Cache-Control": "no-store"})


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_SIZE_BYTES_MAX:
                raise Refused(413, f"The body is over {BODY_SIZE_BYTES_MAX:,} bytes.")
    except ClientDisconnect:
        raise Refused(400, "The body was not sent to its end.") from None
    return bytes(body)
