"""A product's backend: it has a key, and asks the API for one user or another."""

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.starter.api.holders import Holder, a_holder, owners_pool
from tests.starter.conftest import COFFEE, Stack

if TYPE_CHECKING:
    # Whose fixtures make products.
    from tests.starter.api.conftest import Api

PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Product:
    """One key at one API."""

    origin: str
    http: httpx.AsyncClient
    holder: Holder
    stack: Stack

    async def ask(
        self,
        method: str,
        path: str,
        user: str,
        headers: Mapping[str, str] | None = None,
        **given: Any,
    ) -> httpx.Response:
        """One request for a user."""
        sent = {**self.holder.headers(user), **(headers or {})}
        return await self.http.request(method, self.origin + path, headers=sent, **given)

    async def get(self, path: str, user: str, **given: Any) -> httpx.Response:
        return await self.ask("GET", path, user, **given)

    async def post(self, path: str, user: str, **given: Any) -> httpx.Response:
        return await self.ask("POST", path, user, **given)

    async def uploaded(self, user: str, file: str = COFFEE, role: str = "image") -> dict[str, str]:
        """A reference to a file of the user's."""
        content = Path(file).read_bytes()
        reply = await self.post(f"/v1/uploads?role={role}", user, content=content)
        assert reply.status_code == 201, reply.text
        return {"media_id": reply.json()["media_id"]}

    async def wish(self, user: str, **given: Any) -> dict[str, Any]:
        """What an image-to-video takes, its picture uploaded."""
        wish = {"operation": "image-to-video", "prompt": "a calm sea", "resolution": "480p"}
        return {**wish, "image": await self.uploaded(user), **given}

    async def started(self, user: str, **given: Any) -> dict[str, Any]:
        """A generation that was started just now."""
        reply = await self.post("/v1/generations", user, json=await self.wish(user, **given))
        assert reply.status_code == 202, reply.text
        return reply.json()

    async def stored(self, user: str) -> dict[str, int]:
        """What is there of a user, in rows."""
        return await self.stack.rows_of(user)


@asynccontextmanager
async def a_product(
    api: "Api", *, sources: Sequence[str] = ("api", "story_writer"), origin: str | None = None
) -> AsyncGenerator[Product]:
    """A product with a key of its own."""
    async with owners_pool(api.stack) as pool:
        holder = await a_holder(pool, sources=sources)
    yield Product(origin or api.origin, api.http, holder, api.stack)


def a_user() -> str:
    """Somebody whom nobody has seen, on the free plan: two videos and $2 a month."""
    return f"user-{secrets.token_hex(6)}"


def problem_in(reply: httpx.Response) -> dict[str, Any]:
    """The problem document that a reply is."""
    assert reply.headers["content-type"] == PROBLEM, reply.text
    document = reply.json()
    assert document["status"] == reply.status_code
    return document
