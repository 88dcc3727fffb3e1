"""Replies in the provider's envelope, its refusals, and replies that faults spoil."""

import asyncio
from typing import Any

from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from workers.sandbox.faults import (
    CreditExhaustedFault,
    CutFault,
    EnvelopeFault,
    LostReplyFault,
    MalformedFault,
    NoIdFault,
    RefusedFault,
    RequestFault,
    SlowFault,
    StatusFault,
)

CUT_EXTENSION = "sandbox.cut"


class Refusal(Exception):
    """Ends a request with an HTTP error; `error_code` is the provider's own number."""

    def __init__(self, http_status: int, message: str, error_code: int | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.message = message
        self.error_code = error_code


class CutConnection(Response):
    """No reply at all: the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Closes the connection. Needs the server of `serving`, since ASGI has no word for it."""
        del send
        await cut(scope, receive)


async def cut(scope: Scope, receive: Receive) -> None:
    """Closes the connection after what was sent so far, and returns when it is gone.

    Raises:
        RuntimeError: the application doesn't run on the server of `serving`.
    """
    close = scope.get("extensions", {}).get(CUT_EXTENSION)
    if close is None:
        raise RuntimeError("a connection can only be cut on the server of workers.sandbox.serving")
    close()
    while (await receive())["type"] != "http.disconnect":
        pass


def success(data: JsonValue) -> Response:
    """HTTP 200 with the envelope of a success."""
    return JSONResponse({"code": 200, "message": "success", "data": data})


def refused(refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
    """The envelope of an HTTP error."""
    body: dict[str, Any] = {"code": refusal.http_status, "message": refusal.message, "data": None}
    if refusal.error_code is not None:
        body["error_code"] = refusal.error_code
    return JSONResponse(body, refusal.http_status, headers)


async def spoiled(fault: RequestFault) -> Response | None:
    """The reply that a fault asks for; None lets the request go on."""
    if isinstance(fault, SlowFault):
        await asyncio.sleep(fault.delay_s)
        return None
    return _spoiled(fault)


def _spoiled(fault: RequestFault) -> Response:
    match fault:
        case StatusFault():
            reply = refused(Refusal(fault.code, fault.message), fault.headers)
        case CutFault() | LostReplyFault():
            reply = CutConnection()
        case MalformedFault():
            reply = Response(fault.body, media_type="application/json")
        case EnvelopeFault():
            reply = JSONResponse({"code": fault.code, "message": fault.message, "data": None})
        case RefusedFault():
            reply = refused(Refusal(401, "the access key is not valid"))
        case CreditExhaustedFault():
            reply = refused(Refusal(402, "insufficient credits, please top up"))
        case NoIdFault():
            reply = success({"status": "created"})
        case _:
            raise AssertionError(f"no reply is written for {fault!r}")
    return reply


async def json_object(request: Request, *, required: bool = True) -> dict[str, JsonValue]:
    """The request's body.

    Raises:
        Refusal: 400, it isn't a JSON object.
    """
    if not required and not await request.body():
        return {}
    try:
        body = await request.json()
    except ValueError:
        raise Refusal(400, "the body is not JSON", 1401) from None
    if not isinstance(body, dict):
        raise Refusal(400, "the body must be a JSON object", 1401)
    return body


def origin(request: Request) -> str:
    """Scheme, host and port as the caller wrote them: URLs handed out start with it."""
    return f"{request.url.scheme}://{request.url.netloc}"
