"""Holders of keys: who may call an API, and how a browser of theirs is signed in."""

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import NamedTuple

from fastapi import Request, Response
from pydantic import SecretStr

from activities.access import repository as access
from activities.access.keys import Key
from activities.database.pool import Pool, connect
from activities.database.settings import DatabaseSettings
from starter.api.parts import Parts
from starter.api.sessions import Session, begin, csrf_token_of
from tests.starter.conftest import Stack

EVERYTHING_A_MINUTE = 60_000
"""So that no test is stopped by its own speed."""


class Holder(NamedTuple):
    """Somebody with a key."""

    key: Key
    secret: str

    def headers(self, user_id: str | None = "ann") -> dict[str, str]:
        """What a backend sends; None = without a user."""
        user = {"Stillmotion-User": user_id} if user_id is not None else {}
        return {"Authorization": f"Bearer {self.secret}", **user}


@asynccontextmanager
async def owners_pool(stack: Stack) -> AsyncGenerator[Pool]:
    """The stack's database, as operators have it."""
    url = SecretStr(stack.address.database)
    settings = DatabaseSettings(database_url=url, database_connections_max=2)
    async with connect(settings) as pool:
        yield pool


async def a_holder(
    pool: Pool,
    *,
    sources: Sequence[str] = ("api", "story_writer"),
    user_id: str | None = None,
    requests_per_minute: int = EVERYTHING_A_MINUTE,
) -> Holder:
    """Somebody with a new key."""
    made = await access.make(
        pool,
        f"key-{secrets.token_hex(6)}",
        sources,
        user_id=user_id,
        requests_per_minute=requests_per_minute,
    )
    return Holder(made.key, made.secret)


class Browser(NamedTuple):
    """What the browser of somebody who signed in sends."""

    cookie: str
    csrf_token: str

    def headers(self, origin: str | None = None) -> dict[str, str]:
        """To read; with an origin also to change something."""
        if origin is None:
            return {"Cookie": self.cookie}
        return {"Cookie": self.cookie, "Origin": origin, "Stillmotion-Csrf": self.csrf_token}


def a_browser(parts: Parts, key_id: str, user_id: str) -> Browser:
    """A browser that signed in with a key."""
    reply = Response()
    begin(_request({}), reply, parts.hash_key, Session(key_id, user_id))
    ((name, morsel),) = SimpleCookie(reply.headers["set-cookie"]).items()
    cookie = f"{name}={morsel.value}"
    csrf_token = csrf_token_of(_request({"cookie": cookie}), parts.hash_key)
    assert csrf_token is not None
    return Browser(cookie, csrf_token)


def _request(headers: Mapping[str, str]) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "query_string": b""}
    return Request({**scope, "server": ("127.0.0.1", 80), "headers": raw})
