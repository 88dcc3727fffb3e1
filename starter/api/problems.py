"""Every error of the API as a problem document (RFC 9457), `application/problem+json`.

A route raises `Problem`; what it didn't expect becomes one here. A document never repeats what was
sent: addresses hold tokens.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus

import asyncpg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import JsonValue
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from temporalio.service import RPCError

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger(__name__)


class Problem(Exception):
    """What a route answers in place of what was asked. `detail` is a sentence that anyone may read.

    `more` are further members of the document, `headers` of the reply.
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


def reply_of(problem: Problem) -> JSONResponse:
    """The problem as a reply."""
    document = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
        **problem.more,
    }
    return JSONResponse(document, problem.status, problem.headers, MEDIA_TYPE)


def tell_problems(app: FastAPI) -> None:
    """Have the application answer every error by a problem document."""
    app.add_exception_handler(Problem, _told)
    app.add_exception_handler(HTTPException, _refused_by_the_router)
    app.add_exception_handler(RequestValidationError, _not_as_documented)
    app.add_exception_handler(ClientDisconnect, _nobody_there)
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


async def _refused_by_the_router(_: Request, error: Exception) -> Response:
    """Unknown paths and methods."""
    assert isinstance(error, HTTPException), "registered for it"
    status = HTTPStatus(error.status_code)
    detail = f"{status.description or status.phrase}."
    return reply_of(Problem(status, detail, headers=error.headers))


async def _not_as_documented(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for it"
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return reply_of(Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{place}: {first['msg']}."))


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
