"""The session of a person who signed in with a key: a signed cookie, and what guards its use.

The cookie names the key and the user, never the secret; nothing is stored here. It is good for half
a day, and for as long as its key is: the key is looked up at each request, so that revoking it ends
the session. A browser sends the cookie by itself, also for a page of somebody else's. So whatever
is not a mere read needs two things that such a page doesn't have: the session's token in a header,
and an origin that is ours.
"""

import hashlib
import hmac
import json
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from fastapi import Request, Response
from pydantic import TypeAdapter

from starter.api.problems import Problem

AGE_S_MAX = 12 * 60 * 60
"""A working day: who leaves a machine alone overnight signs in again."""

CSRF_HEADER = "Stillmotion-Csrf"
READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing here."""

COOKIE_CHARACTERS_MAX = 4096
"""Browsers keep no longer ones."""

_CSRF_BYTES = 16
# No user id holds a NUL, so that no user's keyed hash, which lists show, ever signs a session.
_CONTEXT = b"page session\x00"
_NAME_CONTEXT = b"page cookie\x00"


class Session(NamedTuple):
    """Who is signed in."""

    key_id: str
    user_id: str


class _Signed(NamedTuple):
    """What a cookie says."""

    key_id: str
    user_id: str
    csrf_token: str
    ends_at_s: int
    """Unix seconds."""


_SIGNED: TypeAdapter[_Signed] = TypeAdapter(_Signed)


def session_of(request: Request, hash_key: str) -> Session | None:
    """Who is signed in; None where nobody is: no cookie, one that has ended, one not signed here.

    Raises:
        Problem: 403: a session is there, but the request may come from a page of somebody else's.
    """
    signed = _read(request, hash_key)
    if signed is None:
        return None
    if request.method not in READS:
        _require_our_page(request, signed)
    return Session(signed.key_id, signed.user_id)


def csrf_token_of(request: Request, hash_key: str) -> str | None:
    """What a page sends back in `CSRF_HEADER`; None where nobody is signed in."""
    signed = _read(request, hash_key)
    return None if signed is None else signed.csrf_token


def begin(request: Request, response: Response, hash_key: str, session: Session) -> None:
    """Have the browser keep a new session, in place of the one that it may have."""
    token = secrets.token_urlsafe(_CSRF_BYTES)
    signed = _Signed(*session, token, int(time.time()) + AGE_S_MAX)
    response.set_cookie(
        cookie_name(hash_key),
        _written(signed, hash_key),
        max_age=AGE_S_MAX,
        secure=_is_https(request),
        httponly=True,
        samesite="strict",
    )


def end(request: Request, response: Response, hash_key: str) -> None:
    """Have the browser forget its session."""
    response.delete_cookie(
        cookie_name(hash_key), secure=_is_https(request), httponly=True, samesite="strict"
    )


def require_own_origin(request: Request) -> None:
    """Refuse a form that a page of somebody else's sent. Programs that name no origin may pass.

    Raises:
        Problem: 403.
    """
    origin = request.headers.get("origin")
    if origin is not None and not _is_ours(origin, request):
        raise Problem(HTTPStatus.FORBIDDEN, "Origin: the request comes from another site's page.")


def cookie_name(hash_key: str) -> str:
    """Of its own for each deployment: a browser doesn't tell the ports of one host apart."""
    return f"stillmotion_{_hmac(hash_key, _NAME_CONTEXT).hex()[:8]}"


def _read(request: Request, hash_key: str) -> _Signed | None:
    """What the cookie says, where we said it and it is still good."""
    cookie = request.cookies.get(cookie_name(hash_key), "")
    if not cookie.isascii() or len(cookie) > COOKIE_CHARACTERS_MAX:
        return None
    text, _, mac = cookie.partition(".")
    if not hmac.compare_digest(mac, _mac(text, hash_key)):
        return None
    try:
        signed = _SIGNED.validate_python(json.loads(urlsafe_b64decode(text + "==")))
    except ValueError:
        # Signed by us, but by a release that wrote it otherwise.
        return None
    return signed if time.time() < signed.ends_at_s else None


def _written(signed: _Signed, hash_key: str) -> str:
    document = json.dumps(signed, ensure_ascii=False, separators=(",", ":"))
    # Without its padding, which a cookie would have to quote.
    text = urlsafe_b64encode(document.encode()).decode().rstrip("=")
    return f"{text}.{_mac(text, hash_key)}"


def _mac(text: str, hash_key: str) -> str:
    return _hmac(hash_key, _CONTEXT + text.encode()).hex()


def _hmac(hash_key: str, message: bytes) -> bytes:
    return hmac.new(hash_key.encode(), message, hashlib.sha256).digest()


def _require_our_page(request: Request, signed: _Signed) -> None:
    origin, token = request.headers.get("origin", ""), request.headers.get(CSRF_HEADER, "")
    if not _is_ours(origin, request):
        raise Problem(HTTPStatus.FORBIDDEN, "Origin: missing, or another site's page.")
    if not hmac.compare_digest(token.encode(), signed.csrf_token.encode()):
        detail = f"{CSRF_HEADER}: missing, or not this session's. Load the page again."
        raise Problem(HTTPStatus.FORBIDDEN, detail)


def _is_ours(origin: str, request: Request) -> bool:
    """Whether an origin names the host that was asked.

    Its scheme isn't compared: behind a proxy that ends TLS we may be asked by http.
    """
    host = request.headers.get("host", "")
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and parts.netloc == host.lower()


def _is_https(request: Request) -> bool:
    """Whether the browser's way is encrypted; it says so itself when it sends a form."""
    origin = request.headers.get("origin", "")
    return request.url.scheme == "https" or origin.startswith("https://")
