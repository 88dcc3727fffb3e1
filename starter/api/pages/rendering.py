"""Pages from templates, the headers that guard them, and errors that are pages, too.

Everything that stands in a page is escaped; no script and no style stands in one. The policy says
so to the browser as well: it runs and shows only what comes from here, and no site may frame it.
"""

from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import asyncpg
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from temporalio.service import RPCError

from starter.api.callers import Caller
from starter.api.pages.words import FILTERS
from starter.api.parts import Parts
from starter.api.problems import Problem
from starter.api.refusals import TOLD, problem_of
from starter.api.sessions import csrf_token_of

HERE = Path(__file__).parent
STATIC = HERE / "static"

POLICY = (
    "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: a browser would hide the origin of our own forms with it.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Who has signed out must not come back to it by the browser's back button.
    "Cache-Control": "no-store",
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_AWAY = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    RPCError,
)


class PageRoute(APIRoute):
    """A route whose errors are pages: whoever isn't signed in gets the sign-in in its place."""

    def get_route_handler(self) -> Handler:
        """The route's own, which answers problems by pages."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except (Problem, RequestValidationError, HTTPException, *TOLD, *_AWAY) as error:
                return _page_of(request, _problem_of(error))

        return handled


def page(
    request: Request,
    template: str,
    values: Mapping[str, object],
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """A page of a template with these values, for whoever asks."""
    caller, parts = getattr(request.state, "caller", None), request.app.state.parts
    assert isinstance(parts, Parts), "create_app sets them"
    known = {
        "here": "",
        "user_id": caller.user_id if isinstance(caller, Caller) else None,
        "csrf_token": csrf_token_of(request, parts.hash_key),
    }
    html = _templates().get_template(template).render({**known, **values})
    return HTMLResponse(html, status, {**HEADERS, **(headers or {})})


def sign_in_page(
    request: Request,
    refusal: str | None = None,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    user: str = "",
    following: str | None = None,
) -> HTMLResponse:
    """The sign-in, which leads on to `following`, else to where it stands."""
    if following is None:
        following = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    place = request.app.state.parts.place
    values = {
        "refusal": refusal,
        "user": user,
        "next": following,
        # Elsewhere a link with a key would sign people in as whoever sent it to them.
        "by_link": place.stack is not None,
    }
    return page(request, "sign-in.html", values, status=status, headers=headers)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case RequestValidationError():
            detail = "Nothing is at this address: something in it is not as it should be."
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        case HTTPException():
            return Problem(HTTPStatus(error.status_code), error.detail, headers=error.headers)
        case RPCError():
            return _away("Temporal does not answer.")
        case _ if isinstance(error, TOLD):
            return problem_of(error)
        case _:
            return _away("The database does not answer.")


def _away(detail: str) -> Problem:
    hint = "Nothing that was started is lost. Load the page again in a moment."
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, hint=hint)


def _page_of(request: Request, problem: Problem) -> HTMLResponse:
    if problem.status is HTTPStatus.UNAUTHORIZED:
        return sign_in_page(request, status=problem.status, headers=problem.headers)
    values = {
        "title": problem.status.phrase,
        "detail": problem.detail,
        "hint": problem.more.get("hint"),
    }
    return page(request, "problem.html", values, status=problem.status, headers=problem.headers)
