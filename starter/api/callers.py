"""Who asks: the key of a product, and the user it acts for. Every route but health takes one.

    @router.get("/v1/usage")
    async def usage(caller: CallerOf, parts: PartsOf) -> UsageReport: ...

`caller.user_id` is passed to every read of the client, and `caller.sources` narrows it: what is
another user's or another product's is 404, as if it were not there.

A backend sends its key and the user in headers; a browser that signed in sends its session
(`sessions`). Whoever can't say who they are is told which header is wrong, never what stood in it.
"""

from http import HTTPStatus
from typing import Annotated, NamedTuple

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import TypeAdapter, ValidationError

from activities.access.keys import Key, is_secret
from starter.api.parts import Parts, PartsOf
from starter.api.problems import Problem
from starter.api.sessions import session_of
from workflows.contracts.failures import FailureKind
from workflows.contracts.requests import Source
from workflows.contracts.texts import Name

KEY_HEADER = "Authorization"
USER_HEADER = "Stillmotion-User"

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_SCHEME = HTTPBearer(
    scheme_name="key",
    bearerFormat="sm_…",
    description="A product's key: `stillmotion keys make NAME --sources SOURCE` prints it once.",
    auto_error=False,
)
_USER = Header(
    alias=USER_HEADER,
    description="The user that the request is for, in UTF-8. May be left out where the key has a"
    " user of its own, and must be that one then.",
    examples=["ann"],
)


class Caller(NamedTuple):
    """One request's."""

    key_id: str
    user_id: str
    sources: tuple[Source, ...]
    """The first is the default of what it starts."""
    by_page: bool = False
    """Signed in with a browser, not by a header."""


async def caller_of(
    request: Request,
    parts: PartsOf,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_SCHEME)] = None,
    user: Annotated[str | None, _USER] = None,
) -> Caller:
    """Who asks. The cases are looked at in this order.

    1. a key is sent, or a session without one. Neither is, or it isn't good: 401.
    2. a session is sent, but the request may come from somebody else's page: 403.
    3. the key may ask no more for now: 429.
    4. the user can't be one, or there is none: 422.
    5. the key acts for one user, and another is named: 403.

    Raises:
        Problem: with one of these statuses; 429 as well where an address failed too often.
    """
    # They are there for the document; what was sent is read as it was sent.
    del credentials, user
    known = getattr(request.state, "caller", None)
    return known if isinstance(known, Caller) else await _identified(request, parts)


CallerOf = Annotated[Caller, Depends(caller_of)]
"""A route's parameter: who asks."""


async def key_of(request: Request, parts: Parts, secret: str) -> Key:
    """The key of a secret that was sent, in a header or to sign in.

    A wrong one costs a hash and a look-up, whatever is wrong about it, and counts against its
    address. Past the limit nobody is looked up who was not good here before.

    Raises:
        Problem: 401: it is not good. 429: the address failed too often.
    """
    if not is_secret(secret):
        raise _unknown(request, parts, "not a key; allowed: `Bearer sm_…`")
    if not parts.keyring.knows(secret):
        parts.rates.require_attempt(_address_of(request))
    key = await parts.keyring.of_secret(parts.pool, secret)
    if key is None:
        raise _unknown(request, parts, "the key is unknown, has ended or was revoked")
    return key


async def _identified(request: Request, parts: Parts) -> Caller:
    by_page = KEY_HEADER not in request.headers
    if by_page:
        key, user_id = await _of_session(request, parts)
    else:
        key, user_id = await key_of(request, parts, _secret_of(request, parts)), None
    allowance = parts.rates.take(key)
    caller = Caller(key.key_id, user_id or _user_of(request, key), key.sources, by_page=by_page)
    request.state.caller, request.state.allowance = caller, allowance
    return caller


async def _of_session(request: Request, parts: Parts) -> tuple[Key, str]:
    """The key and the user of a session; the key may have been revoked since it began."""
    session = session_of(request, parts.hash_key)
    if session is None:
        raise _unknown(request, parts, "missing; send a key as `Bearer sm_…`")
    key = await parts.keyring.of_id(parts.pool, session.key_id)
    if key is None or key.user_id not in {None, session.user_id}:
        raise _unknown(request, parts, "the session's key was revoked; sign in with another one")
    return key, session.user_id


def _secret_of(request: Request, parts: Parts) -> str:
    """What was sent as a secret, whatever it looks like."""
    sent = request.headers.getlist(KEY_HEADER)
    scheme, _, secret = sent[0].partition(" ")
    if len(sent) > 1:
        raise _unknown(request, parts, "given twice")
    if scheme.lower() != "bearer":
        raise _unknown(request, parts, "another scheme; allowed: `Bearer sm_…`")
    return secret.strip(" ")


def _user_of(request: Request, key: Key) -> str:
    """The user that a request names, else the key's own."""
    name = USER_HEADER.lower().encode()
    sent = [value for header, value in request.scope["headers"] if header == name]
    if not sent:
        if key.user_id is None:
            raise _no_user("missing; this key acts for whoever each request names")
        return key.user_id
    if len(sent) > 1:
        raise _no_user("given twice")
    try:
        user_id = _NAME.validate_python(sent[0].decode())
    except UnicodeDecodeError:
        raise _no_user("must be UTF-8") from None
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"]
        raise _no_user(told.removeprefix("Value error, ")) from None
    if key.user_id not in {None, user_id}:
        detail = f"{USER_HEADER}: this key acts for one user, and not for that one."
        raise Problem(HTTPStatus.FORBIDDEN, detail, kind="not_allowed")
    return user_id


def _unknown(request: Request, parts: Parts, why: str) -> Problem:
    """The refusal of somebody who can't say who they are; it counts against their address."""
    parts.rates.count_attempt(_address_of(request))
    detail = f"{KEY_HEADER}: {why}."
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers=_CHALLENGE, kind="not_authenticated")


def _no_user(why: str) -> Problem:
    detail = f"{USER_HEADER}: {why}."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind=FailureKind.INVALID_REQUEST.value)


def _address_of(request: Request) -> str | None:
    return request.client.host if request.client is not None else None
