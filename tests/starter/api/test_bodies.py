"""Bodies that are too large, too slow, or that nobody reads: over real sockets, byte by byte."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Request

from starter.api.bodies import (
    BATCH_SIZE_BYTES_MAX,
    BODY_SIZE_BYTES_MAX,
    Bodies,
    limit_of,
    tell_bodies,
)
from starter.api.problems import Problem, tell_problems
from starter.api.serving import listener_at, served

PROBLEM = b"application/problem+json"
GRACE_S = 0.4


@pytest.fixture(scope="module")
async def origin() -> AsyncIterator[str]:
    """An application that reads bodies in each way there is, or not at all."""
    app = FastAPI()
    tell_problems(app)
    tell_bodies(app)
    app.add_middleware(Bodies, grace_s=GRACE_S)

    @app.post("/json")
    async def json(body: dict[str, Any]) -> int:
        return len(body)

    @app.post("/stream")
    @app.post("/v1/uploads")
    @app.post("/v1/generations")
    async def stream(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    @app.post("/unread")
    async def unread() -> None:
        raise Problem(HTTPStatus.FORBIDDEN, "Not you.")

    @app.get("/unread")
    async def nothing_to_read() -> str:
        return "read"

    with listener_at("127.0.0.1", 0) as listener:
        async with served(app, listener) as address:
            yield address


class Line:
    """A connection on which a test says every byte itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self._writer.write(part)
        await self._writer.drain()

    async def heard(self) -> bytes:
        """The head and the body of the next reply."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        return head + await self._reader.readexactly(length)

    async def is_closed(self) -> bool:
        """Whether the other side closes it, sooner or later."""
        try:
            return await self._reader.read() == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def dialled(origin: str) -> AsyncGenerator[Line]:
    at = urlsplit(origin)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


def head(path: str, *fields: str, method: str = "POST") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", *fields, "", "")).encode()


JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@pytest.mark.parametrize("path", ["/json", "/stream"])
async def test_what_announces_too_much_is_refused_before_it_is_sent(origin: str, path: str) -> None:
    async with dialled(origin) as line:
        await line.say(head(path, JSON, f"Content-Length: {BODY_SIZE_BYTES_MAX + 1}"))
        reply = await line.heard()

    assert reply.startswith(b"HTTP/1.1 413 ")
    assert PROBLEM in reply
    assert b"larger than 1048576 bytes" in reply


@pytest.mark.parametrize("path", ["/json", "/stream"])
async def test_what_announces_nothing_is_refused_at_the_first_byte_over(
    origin: str, path: str
) -> None:
    async with dialled(origin) as line:
        await line.say(head(path, JSON, CHUNKED), chunk(b" " * BODY_SIZE_BYTES_MAX))
        await line.say(chunk(b" "))
        reply = await line.heard()
        is_closed = await line.is_closed()

    assert reply.startswith(b"HTTP/1.1 413 ")
    assert PROBLEM in reply
    # What follows is no next request.
    assert b"connection: close" in reply.lower()
    assert is_closed


@pytest.mark.parametrize("length", [0, 5])
async def test_a_length_beside_chunks_is_not_believed(origin: str, length: int) -> None:
    async with dialled(origin) as line:
        await line.say(head("/json", JSON, CHUNKED, f"Content-Length: {length}"))
        await line.say(chunk(b" " * BODY_SIZE_BYTES_MAX), chunk(b" "))
        reply = await line.heard()
        is_closed = await line.is_closed()

    assert reply.startswith(b"HTTP/1.1 413 ")
    assert is_closed


async def test_a_body_of_just_the_limit_is_taken_and_the_connection_kept(origin: str) -> None:
    length = f"Content-Length: {BODY_SIZE_BYTES_MAX}"
    async with dialled(origin) as line:
        await line.say(head("/json", JSON, length), b'{"a":1}'.ljust(BODY_SIZE_BYTES_MAX))
        first = await line.heard()
        await line.say(head("/stream", "Content-Length: 2"), b"ab")
        second = await line.heard()

    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.endswith(b"\r\n\r\n2")


@pytest.mark.parametrize(
    ("path", "content_type", "limit"),
    [
        ("/v1/generations", "application/json", BODY_SIZE_BYTES_MAX),
        ("/v1/generations", "", BODY_SIZE_BYTES_MAX),
        ("/v1/generations", "Multipart/Form-Data; boundary=x", None),
        ("/v1/generations/x/cancel", "multipart/form-data; boundary=x", BODY_SIZE_BYTES_MAX),
        ("/v1/estimates", "multipart/form-data; boundary=x", None),
        ("/v1/uploads", "application/json", None),
        ("/v1/batches", "application/json", BATCH_SIZE_BYTES_MAX),
        ("/v1/provider/webhooks/gen_x/token", "application/json", None),
        ("/sign-in", "application/x-www-form-urlencoded", BODY_SIZE_BYTES_MAX),
    ],
)
def test_routes_that_take_files_limit_them_themselves(
    path: str, content_type: str, limit: int | None
) -> None:
    assert limit_of(path, content_type) == limit


async def test_a_file_may_be_larger_than_any_json(origin: str) -> None:
    size_bytes = 3 * BODY_SIZE_BYTES_MAX
    async with dialled(origin) as line:
        await line.say(head("/v1/uploads", f"Content-Length: {size_bytes}"), bytes(size_bytes))
        reply = await line.heard()

    assert reply.endswith(f"\r\n\r\n{size_bytes}".encode())


@pytest.mark.parametrize("path", ["/json", "/stream", "/v1/uploads"])
async def test_a_body_that_does_not_come_is_not_waited_for(origin: str, path: str) -> None:
    async with dialled(origin) as line:
        await line.say(head(path, JSON, "Content-Length: 100"), b"{")
        reply = await line.heard()

    assert reply.startswith(b"HTTP/1.1 408 ")
    assert PROBLEM in reply


async def test_a_body_that_trickles_is_not_waited_for(origin: str) -> None:
    async with dialled(origin) as line:
        await line.say(head("/v1/uploads", "Content-Length: 1000000"))
        saying = asyncio.create_task(_trickle(line))
        reply = await line.heard()
        saying.cancel()

    assert reply.startswith(b"HTTP/1.1 408 ")


async def _trickle(line: Line) -> None:
    with suppress(ConnectionError):
        for _ in range(1000):
            await line.say(b"x")
            await asyncio.sleep(0.02)


async def test_a_short_body_that_nobody_read_costs_no_connection(origin: str) -> None:
    async with dialled(origin) as line:
        await line.say(head("/unread", "Content-Length: 5"), b"12345")
        refused = await line.heard()
        await line.say(head("/unread", method="GET"))
        next_one = await line.heard()

    assert refused.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close" not in refused.lower()
    assert next_one.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "fields",
    [
        (f"Content-Length: {2 * BODY_SIZE_BYTES_MAX}",),
        (CHUNKED,),
        ("Content-Length: 5", "Expect: 100-continue"),
    ],
    ids=str,
)
async def test_a_body_that_nobody_read_and_may_be_long_ends_its_connection(
    origin: str, fields: tuple[str, ...]
) -> None:
    async with dialled(origin) as line:
        await line.say(head("/unread", *fields))
        refused = await line.heard()
        is_closed = await line.is_closed()

    assert refused.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close" in refused.lower()
    assert is_closed


async def test_a_sender_who_hangs_up_harms_nobody(
    origin: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with dialled(origin) as line:
        await line.say(head("/stream", "Content-Length: 9"), b"ab")
    async with dialled(origin) as line:
        await line.say(head("/unread", method="GET"))
        reply = await line.heard()

    assert reply.startswith(b"HTTP/1.1 200 ")
    assert "Traceback" not in caplog.text
