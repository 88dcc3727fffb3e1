"""Signing in with a key, and out again.

A form does it, so that it works without a script. Whoever reaches another page without a session
finds this form there, and comes back to that page.
"""

from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import TypeAdapter, ValidationError

from activities.access.keys import Key
from starter.api.callers import key_of
from starter.api.pages.rendering import HEADERS, PageRoute, sign_in_page
from starter.api.parts import PartsOf
from starter.api.problems import Problem
from starter.api.sessions import Session, begin, end, require_own_origin
from workflows.contracts.texts import Name

FORM_SIZE_BYTES_MAX = 8192
FIELDS_MAX = 8
HOME = "/"

_NAME: TypeAdapter[str] = TypeAdapter(Name)

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/sign-in")
async def form(request: Request) -> Response:
    """The form alone; it leads to the gallery."""
    return sign_in_page(request, following=HOME)


@router.post("/sign-in")
async def sign_in(request: Request, parts: PartsOf) -> Response:
    """Begin a session. The cases are looked at in this order.

    1. a page of somebody else's sent the form: 403.
    2. the form is too long, or no form: 413, 422.
    3. the key isn't good: 401; too many were tried from this address: 429.
    4. the key has no user of its own, and none is given, or none that can be one: 422.
    5. the key acts for another user: 403.
    """
    require_own_origin(request)  # (1)
    fields = await _fields(request)  # (2)
    user = fields.get("user", "").strip()
    following = _own_path(fields.get("next", HOME))
    try:
        key = await key_of(request, parts, fields.get("key", "").strip())  # (3)
        user_id = _user_of(key, user)  # (4), (5)
    except Problem as problem:
        told = _told(problem)
        return sign_in_page(
            request,
            told,
            status=problem.status,
            headers=problem.headers,
            user=user,
            following=following,
        )
    response = _leading_to(following)
    begin(request, response, parts.hash_key, Session(key.key_id, user_id))
    return response


@router.post("/sign-out")
async def sign_out(request: Request, parts: PartsOf) -> Response:
    """End the session in this browser."""
    require_own_origin(request)
    response = _leading_to("/sign-in")
    end(request, response, parts.hash_key)
    return response


async def _fields(request: Request) -> dict[str, str]:
    """The form's fields, the first of each name."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_SIZE_BYTES_MAX:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The form is too long.")
    try:
        given = parse_qs(body.decode(), errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "This is no form of ours.") from None
    return {name: values[0] for name, values in given.items()}


def _user_of(key: Key, given: str) -> str:
    if not given:
        if key.user_id is None:
            detail = "User id: missing; this key acts for whoever signs in with it."
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        return key.user_id
    try:
        user_id = _NAME.validate_python(given)
    except ValidationError:
        detail = "User id: allowed are 1 to 200 printable characters."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None
    if key.user_id not in {None, user_id}:
        raise Problem(HTTPStatus.FORBIDDEN, "User id: this key acts for another user.")
    return user_id


def _told(problem: Problem) -> str:
    """The same words for each key that isn't good, whatever is wrong about it."""
    if problem.status is HTTPStatus.UNAUTHORIZED:
        return "This key is unknown, has ended or was revoked."
    return problem.detail


def _own_path(text: str) -> str:
    """A page of ours to go on to: a path alone, so that nobody is led to another site."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return HOME
    is_path = text.startswith("/") and not text.startswith(("//", "/\\"))
    if not is_path or parts.scheme or parts.netloc or not text.isprintable():
        return HOME
    return HOME if parts.path in {"/sign-in", "/sign-out"} else text


def _leading_to(path: str) -> RedirectResponse:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, HEADERS)
