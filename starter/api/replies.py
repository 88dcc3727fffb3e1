"""What every reply bears, whoever makes it: the request's id, and what it forbids a browser.

And the one line that the log has of a request: its method, its route as a template, the status, how
long it took and whose key it was. Never an address, which may hold a token, and never a user.
"""

import logging
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from starter.api.callers import Caller
from starter.api.logs import REQUEST_ID

ID_HEADER = b"x-request-id"

Header = tuple[bytes, bytes]

_ALWAYS: tuple[Header, ...] = (
    # A caller's own bytes may be in it: they are what we say they are.
    (b"x-content-type-options", b"nosniff"),
    # Addresses of links hold tokens.
    (b"referrer-policy", b"no-referrer"),
)
_DATA: tuple[Header, ...] = (
    # Nobody looks at JSON as at a page. Videos are left alone: browsers make a page around them.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_DATA_TYPES = (b"application/json", b"application/problem+json")
_ENDLESS_TYPE = b"text/event-stream"
_ENDLESS = "is_endless"
_UNTOLD = ("/livez", "/readyz")
"""Probes ask every few seconds."""

METHOD_CHARACTERS_MAX = 16
"""A stranger may call it anything."""

_log = logging.getLogger(__name__)


class Replies:
    """Around everything else, so that errors of the server's own bear the same."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI wants it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        request_id = f"req_{secrets.token_hex(8)}"
        # Never reset: each request is a task of its own, whose last words the server says.
        REQUEST_ID.set(request_id)
        begun, status = time.monotonic(), 0

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = headers_of(message["headers"], request_id)
                scope["state"][_ENDLESS] = _type_in(headers).startswith(_ENDLESS_TYPE)
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        finally:
            if scope["path"] not in _UNTOLD:
                _tell(scope, status, time.monotonic() - begun)


def is_endless(state: Mapping[str, Any]) -> bool:
    """Whether the request of this state is answered by events, which end only with their reader."""
    return bool(state.get(_ENDLESS))


def headers_of(given: Iterable[Header], request_id: str) -> list[Header]:
    """What a route says of its reply, and what else is to be said of it."""
    headers = [(name.lower(), value) for name, value in given]
    names = {name for name, _ in headers}
    # What can be asked for by its ETag may be kept, by the one who may see it, and asked for anew.
    kept = b"private, no-cache" if b"etag" in names else b"no-store"
    more = [(ID_HEADER, request_id.encode()), *_ALWAYS, (b"cache-control", kept)]
    if _type_in(headers).startswith(_DATA_TYPES):
        more += _DATA
    return headers + [each for each in more if each[0] not in names]


def _type_in(headers: Iterable[Header]) -> bytes:
    return next((value for name, value in headers if name == b"content-type"), b"")


def _tell(scope: Scope, status: int, took_s: float) -> None:
    caller = scope["state"].get("caller")
    _log.info(
        "%s %s %s in %d ms by %s",
        scope["method"][:METHOD_CHARACTERS_MAX],
        getattr(scope.get("route"), "path", "-"),
        status or "unanswered",
        round(took_s * 1000),
        caller.key_id if isinstance(caller, Caller) else "nobody",
    )
