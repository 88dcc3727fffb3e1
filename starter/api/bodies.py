"""How large the body of a request may be, and how slowly it may come.

Whoever reads a body, a route or FastAPI for it, reads it through this. What is too large is refused
by its announcement, else at the first byte over; a sender who has us wait is not waited for. What
nobody reads is not waited for either: after the reply the connection is closed, unless the rest is
so short that the server may as well throw it away (`serving`).
"""

import asyncio
import time
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from activities.provider.webhooks import PATH as WEBHOOKS
from starter.api.problems import Problem, reply_of

BODY_SIZE_BYTES_MAX = 1024 * 1024
"""JSON, forms, and whatever a route did not ask for. A request with its story is 40 kB at most."""

BATCHES = "/v1/batches"
BATCH_SIZE_BYTES_MAX = 10 * 1024 * 1024
"""Five hundred of them, at half that size."""

UPLOADS = "/v1/uploads"
WITH_FILES = frozenset({"/v1/generations", "/v1/estimates"})
"""Where `multipart/form-data` brings files: these routes stream them, and limit each."""

GRACE_S = 20.0
"""How long a body may let us wait altogether, and a second more for each `BYTES_PER_S_MIN`."""

BYTES_PER_S_MIN = 4096
"""A tenth of what the slowest mobile networks do."""

REST_SIZE_BYTES_MAX = BODY_SIZE_BYTES_MAX
"""As much is read and thrown away after a reply, so that the sender gets to read that."""

_CLOSE = (b"connection", b"close")


class BodyRefused(HTTPException):
    """A body that is too large, or too slow. Its detail is a sentence that anyone may read.

    FastAPI lets an HTTPException pass where it reads a body, and makes 400 of any other.
    """


class Bodies:
    """Watches the body of each request."""

    def __init__(self, app: ASGIApp, *, grace_s: float = GRACE_S) -> None:
        self._app = app
        self._grace_s = grace_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI wants it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, send, self._grace_s)
        await self._app(scope, body.receive, body.send)


def limit_of(path: str, content_type: str) -> int | None:
    """How many bytes a body may have; None where the route itself limits it."""
    if path == UPLOADS or path.startswith(f"{WEBHOOKS}/"):
        return None
    if path in WITH_FILES and content_type.lower().startswith("multipart/form-data"):
        return None
    return BATCH_SIZE_BYTES_MAX if path == BATCHES else BODY_SIZE_BYTES_MAX


def tell_bodies(app: FastAPI) -> None:
    """Have the application answer a refused body by a problem document."""
    app.add_exception_handler(BodyRefused, _told)


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, BodyRefused), "registered for it"
    status = HTTPStatus(error.status_code)
    kind = "too_slow" if status is HTTPStatus.REQUEST_TIMEOUT else "too_large"
    return reply_of(Problem(status, error.detail, headers=error.headers, kind=kind))


class _Body:
    """The body of one request, as it comes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, grace_s: float) -> None:
        headers = Headers(scope=scope)
        self._limit = limit_of(scope["path"], headers.get("content-type", ""))
        self._announced = _announced(headers)
        self._expects_leave = "expect" in headers
        self._received = 0
        self._is_whole = self._announced == 0
        self._waited_s = 0.0
        self._grace_s = grace_s
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        """The next piece; after the last one, that the sender has gone.

        Raises:
            BodyRefused: 413: it is too large. 408: it doesn't come in time.
        """
        if self._is_whole:
            return await self._receive()
        self._require_small(self._announced or 0)
        message = await self._in_time()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            self._require_small(self._received)
        else:
            self._is_whole = True
        return message

    async def send(self, message: Message) -> None:
        """Pass the reply on, with the connection's end where too much of the body is left."""
        if message["type"] == "http.response.start" and self._leaves_much():
            headers = [each for each in message["headers"] if each[0].lower() != _CLOSE[0]]
            message = {**message, "headers": [*headers, _CLOSE]}
        await self._send(message)

    async def _in_time(self) -> Message:
        left_s = self._grace_s + self._received / BYTES_PER_S_MIN - self._waited_s
        since = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                return await self._receive()
        except TimeoutError:
            detail = "The body did not come in time."
            headers = {"Connection": "close"}
            raise BodyRefused(HTTPStatus.REQUEST_TIMEOUT, detail, headers) from None
        finally:
            self._waited_s += time.monotonic() - since

    def _require_small(self, size_bytes: int) -> None:
        if self._limit is not None and size_bytes > self._limit:
            detail = f"The body is larger than {self._limit} bytes."
            raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)

    def _leaves_much(self) -> bool:
        if self._is_whole:
            return False
        if self._announced is None or (self._expects_leave and not self._received):
            return True
        return self._announced - self._received > REST_SIZE_BYTES_MAX


def _announced(headers: Headers) -> int | None:
    """The length of the body in bytes; None where it will show. The server refuses a wrong one.

    Chunks go before a length, as the server has it: a sender of both could announce nothing.
    """
    if "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0
