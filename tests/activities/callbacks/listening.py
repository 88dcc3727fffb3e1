"""A receiver of callbacks: a real HTTP server on loopback that does what a test wants."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from standardwebhooks import Webhook, WebhookVerificationError

Behaviour = int | Literal["hang", "drip", "flood"]
"""A status; or no answer; or one that comes slowly; or one without an end."""


class Post(NamedTuple):
    """One request, with what was answered."""

    at: datetime
    path: str
    headers: dict[str, str]
    body: str
    answer: Behaviour

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.body)["data"]

    @property
    def seq(self) -> int:
        return self.data["seq"]

    def verified_by(self, secret: str) -> bool:
        """Whether the library that receivers use accepts the signature."""
        try:
            Webhook(secret).verify(self.body, self.headers)
        except WebhookVerificationError:
            return False
        return True


@dataclass
class Listener:
    """What came, and what is answered: `behaviours` in turn, the last one again and again."""

    url: str = ""
    behaviours: list[Behaviour] = field(default_factory=lambda: list[Behaviour]([200]))
    redirect_to: str = ""
    posts: list[Post] = field(default_factory=list[Post])
    sent_bytes: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def answers(self, *behaviours: Behaviour) -> None:
        self.behaviours[:] = behaviours

    @property
    def taken(self) -> list[Post]:
        """What was answered with a 200."""
        return [post for post in self.posts if post.answer == 200]

    async def until(self, count: int, timeout_s: float = 30) -> list[Post]:
        """Wait for so many requests."""
        async with asyncio.timeout(timeout_s):
            while len(self.posts) < count:
                self.news.clear()
                await self.news.wait()
        return self.posts

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(*await _request(reader), writer)
        finally:
            writer.close()

    async def _answer(self, head: Sequence[str], body: str, writer: asyncio.StreamWriter) -> None:
        answer = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        headers = dict(line.split(": ", 1) for line in head[1:])
        self.posts.append(Post(datetime.now(UTC), head[0].split()[1], headers, body, answer))
        self.news.set()
        match answer:
            case "hang":
                await self.closing.wait()
            case "drip":
                await self._endlessly(b"HTTP/1.1 200 OK\r\n", b"X-Slow: yes\r\n", writer, 0.05)
            case "flood":
                await self._endlessly(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, writer, 0)
            case _:
                location = f"Location: {self.redirect_to}\r\n" if self.redirect_to else ""
                writer.write(f"HTTP/1.1 {answer} X\r\n{location}Content-Length: 0\r\n\r\n".encode())
                await writer.drain()

    async def _endlessly(
        self, first: bytes, again: bytes, writer: asyncio.StreamWriter, pause_s: float
    ) -> None:
        writer.write(first)
        while not self.closing.is_set():
            writer.write(again)
            self.sent_bytes += len(again)
            await writer.drain()
            await asyncio.sleep(pause_s)


async def _request(reader: asyncio.StreamReader) -> tuple[list[str], str]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    lengths = [line.partition(": ")[2] for line in head if line.lower().startswith("content-len")]
    return head, (await reader.readexactly(int(lengths[0] if lengths else 0))).decode()


@asynccontextmanager
async def listening(port: int = 0) -> AsyncGenerator[Listener]:
    """A receiver for the time of the block; `port` takes one up again that was there before."""
    listener = Listener()
    server = await asyncio.start_server(listener.serve, "127.0.0.1", port)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?token=t0k3n"
    try:
        yield listener
    finally:
        listener.closing.set()
        server.close()
        await asyncio.sleep(0)
