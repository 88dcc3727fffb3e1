"""Whoever stands between us and a bucket: passes requests on, or does what a test tells it to."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

Fate = Literal["pass", "busy", "cut", "hang", "half"]
"""Passed on; answered with 503; cut while it is sent; never answered; answered by half."""


class Request(NamedTuple):
    """One request of ours to the bucket."""

    method: str
    target: str
    number: int
    """How many of the same method and target came before."""

    @property
    def is_part(self) -> bool:
        """Whether it brings a part of a large file."""
        return self.method == "PUT" and "partNumber=" in self.target


class Between:
    """A relay of HTTP requests to `upstream`; `fate` says what becomes of each."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._seen: dict[tuple[str, str], int] = {}
        self.fate: Callable[[Request], Fate] = lambda _: "pass"
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator["Between"]:
        """Serve for the time of the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._answer(reader, writer)
        except asyncio.CancelledError:
            pass  # The test is over while somebody hangs here.
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and hang up, so that the next one comes on a connection of its own."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        key = (method, target)
        request = Request(method, target, self._seen.get(key, 0))
        self._seen[key] = request.number + 1
        size_bytes = _content_length(head)
        fate = self.fate(request)
        match fate:
            case "cut":
                await reader.readexactly(size_bytes // 2)
            case "hang":
                await asyncio.sleep(60)
            case "busy":
                await reader.readexactly(size_bytes)
                writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n")
                writer.write(b"Connection: close\r\n\r\n")
            case "pass" | "half":
                answer = await self._asked(head, await reader.readexactly(size_bytes))
                writer.write(answer if fate == "pass" else answer[: len(answer) // 2])
        await writer.drain()

    async def _asked(self, head: bytes, body: bytes) -> bytes:
        assert self._upstream.port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream.port)
        try:
            first, rest = head.split(b"\r\n", 1)
            writer.write(first + b"\r\nConnection: close\r\n" + rest + body)
            return await reader.read()
        finally:
            writer.close()


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
