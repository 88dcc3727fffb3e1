"""Readers of event streams, as a browser reads them."""

import json
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

import httpx

from activities.database.pool import Pool
from activities.generations import repository as generations
from tests.activities.conftest import a_generation, a_request
from tests.starter.api.products import Product
from workflows.contracts.stages import Stage

NO_LIMIT = httpx.Timeout(20, read=60)
ALL = "/v1/events"
WAY = (
    *("accepted", "reserving", "prompting", "staging", "submitting", "generating"),
    *("downloading", "saving", "settling", "completed"),
)


async def begun(pool: Pool, user: str, stage: Stage = Stage.GENERATING) -> str:
    """A generation that has come as far as `stage`; its id."""
    generation_id = f"gen_{secrets.token_hex(13)}"
    return await a_generation(pool, generation_id, user_id=user, stage=stage)


async def asked(pool: Pool, user: str, source: str = "api") -> str:
    """A generation that was asked for just now; its id."""
    generation_id = f"gen_{secrets.token_hex(13)}"
    async with pool.acquire() as connection:
        request = a_request(user_id=user, source=source)
        await generations.claim(connection, generation_id, request)
    return generation_id


async def enter(pool: Pool, generation_id: str, *stages: Stage) -> None:
    """Let a generation enter these stages, one after the other."""
    for stage in stages:
        async with pool.acquire() as connection, connection.transaction():
            assert await generations.record(connection, generation_id, stage)


class Heard(NamedTuple):
    """One event."""

    id: int | None
    event: str
    data: dict[str, Any]

    @property
    def step(self) -> tuple[str, str]:
        """Which generation entered which stage."""
        return self.data["generation_id"], self.event


class Listening:
    """One open stream."""

    def __init__(self, reply: httpx.Response) -> None:
        self.reply = reply
        self.comments = 0
        self.retries_ms: list[int] = []
        self._events = self._read()

    async def heard(self) -> Heard:
        """The next event."""
        return await anext(self._events)

    async def entered(self) -> Heard:
        """The next one that is no mere progress."""
        while (heard := await self.heard()).event == "progress":
            pass
        return heard

    async def rest(self) -> list[Heard]:
        """All that are no mere progress, until the stream ends."""
        return [heard async for heard in self._events if heard.event != "progress"]

    async def close(self) -> None:
        await self._events.aclose()

    async def _read(self) -> AsyncGenerator[Heard]:
        fields: dict[str, str] = {}
        lines = self.reply.aiter_lines()
        assert isinstance(lines, AsyncGenerator)
        async with aclosing(lines):
            async for line in lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    number = fields.get("id")
                    yield Heard(
                        None if number is None else int(number),
                        fields["event"],
                        json.loads(fields["data"]),
                    )
                    fields.clear()
                elif "retry" in fields:
                    self.retries_ms.append(int(fields.pop("retry")))


@asynccontextmanager
async def listening(
    product: Product, path: str, user: str, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[Listening]:
    """A stream that is open for the time of the block."""
    sent = {**product.holder.headers(user), **(headers or {})}
    url = product.origin + path
    async with product.http.stream("GET", url, headers=sent, timeout=NO_LIMIT) as reply:
        assert reply.status_code == 200, await reply.aread()
        stream = Listening(reply)
        try:
            yield stream
        finally:
            await stream.close()
