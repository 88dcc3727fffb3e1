"""Every error of the API as a problem document (RFC 9457), `application/problem+json`.

A route raises `Problem`; what the client raises becomes one in `refusals`, what nobody expected
here. A document never repeats an address that was asked for: it may hold a token.
"""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus

import asyncpg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import JsonValue
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from temporalio.service import RPCError

from workflows.contracts.failures import FailureKind

MEDIA_TYPE = "application/problem+json"

KIND_URN = "urn:stillmotion:problem:"
"""Before the kind: the document's `type`."""

DETAIL_CHARACTERS_MAX = 1000
"""A sentence or two; a longer one lists what somebody sent."""

_PARAMETER = re.compile(r"\{[^}]*\}")

_log = logging.getLogger(__name__)


class Problem(Exception):
    """What a route answers in place of what was asked. `detail` is a sentence that anyone may read.

    `more` are further members of the document, `headers` of the reply. A `kind` among them says
    which situation it is, for programs; without one it is only what the status says.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: JsonValue,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.more = more


def document_of(problem: Problem) -> dict[str, JsonValue]:
    """The members of a problem document."""
    kind = problem.more.get("kind")
    return {
        "type": f"{KIND_URN}{kind}" if kind else "about:blank",
        "title": str(kind).replace("_", " ").capitalize() if kind else problem.status.phrase,
        "status": problem.status.value,
        "detail": _sayable(problem.detail),
        **problem.more,
    }


def reply_of(problem: Problem) -> JSONResponse:
    """The problem as a reply."""
    return JSONResponse(document_of(problem), problem.status, problem.headers, MEDIA_TYPE)


def _sayable(detail: str) -> str:
    """Names that a caller chose stand in it: of any length, and with halves of characters."""
    told = detail.encode(errors="backslashreplace").decode()
    if len(told) <= DETAIL_CHARACTERS_MAX:
        return told
    return told[: DETAIL_CHARACTERS_MAX - 1] + "…"


def tell_problems(app: FastAPI) -> None:
    """Have the application answer every error by a problem document."""
    app.add_exception_handler(Problem, _told)
    app.add_exception_handler(HTTPException, _refused_by_the_router)
    app.add_exception_handler(RequestValidationError, _not_as_documented)
    app.add_exception_handler(ClientDisconnect, _nobody_there)
    app.add_exception_handler(asyncpg.CharacterNotInRepertoireError, _not_storable)
    for unreachable in (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
        RPCError,
    ):
        app.add_exception_handler(unreachable, _not_answering)
    app.add_exception_handler(Exception, _not_expected)


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem), "registered for it"
    return reply_of(error)


async def _refused_by_the_router(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, and bodies that FastAPI could not read."""
    assert isinstance(error, HTTPException), "registered for it"
    status, headers = HTTPStatus(error.status_code), error.headers
    if status is HTTPStatus.BAD_REQUEST:
        return reply_of(_unreadable())
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {**(headers or {}), **_allow_at(request)}
    detail = f"{status.description or status.phrase}."
    return reply_of(Problem(status, detail, headers=headers))


def _unreadable() -> Problem:
    """What is no text, nests too deeply or holds a number of thousands of digits."""
    detail = "body: not JSON; allowed: a JSON object."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind=FailureKind.INVALID_REQUEST.value)


def _allow_at(request: Request) -> dict[str, str]:
    """Every method of the path: the router tells those of the first route that it found."""
    found: dict[str, set[str]] = {}
    for route in iter_route_contexts(request.app.routes):
        if route.path and route.methods and route.path_regex.match(request.scope["path"]):
            found.setdefault(route.path, set()).update(route.methods)
    if not found:
        return {}
    # A parameter that takes slashes fits longer paths, too: the most is said by the one that is
    # written out furthest.
    nearest = max(found, key=lambda path: len(_PARAMETER.sub("", path)))
    return {"Allow": ", ".join(sorted(found[nearest]))}


async def _not_as_documented(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for it"
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    detail = f"{place}: {first['msg'].removeprefix('Value error, ')}."
    return reply_of(
        Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind=FailureKind.INVALID_REQUEST.value)
    )


async def _not_storable(_request: Request, _error: Exception) -> Response:
    detail = "A text holds a NUL character; allowed: none."
    return reply_of(
        Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind=FailureKind.INVALID_REQUEST.value)
    )


async def _nobody_there(_request: Request, _error: Exception) -> Response:
    """The caller has gone: this is written to nobody."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _not_answering(_: Request, error: Exception) -> Response:
    # By its type only: its words may quote what was sent.
    _log.warning("a service does not answer: %s", type(error).__name__)
    detail = "A service that this needs does not answer; see /readyz. Try again."
    return reply_of(Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail))


async def _not_expected(_: Request, error: Exception) -> Response:
    _log.error("a request failed: %s", type(error).__name__)
    detail = "This should not have happened; the server's log says more."
    return reply_of(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail))
