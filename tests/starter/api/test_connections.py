"""Clients that keep us waiting, come in crowds, or speak no HTTP: none of them holds others up."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from starter.api import connections, serving
from starter.api.replies import Replies
from starter.api.serving import listener_at, served

HELLO = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
EVENTS = b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n"
MUCH = b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n"

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def an_app() -> tuple[FastAPI, asyncio.Event]:
    """Greets, tells of events without an end, and sends much; and what is set when one gave up."""
    app = FastAPI()
    gave_up = asyncio.Event()

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    async def ticks() -> AsyncIterator[str]:
        yield ": begun\n\n"
        await asyncio.Event().wait()

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(ticks(), media_type="text/event-stream")

    async def blocks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(65_536)
                # As a file would: nobody else had a turn where a reply goes nowhere.
                await asyncio.sleep(0)
        finally:
            gave_up.set()

    @app.get("/much")
    async def much() -> StreamingResponse:
        return StreamingResponse(blocks(), media_type="video/mp4")

    return app, gave_up


@asynccontextmanager
async def serving_of(app: FastAPI) -> AsyncGenerator[str]:
    with listener_at("127.0.0.1", 0) as listener:
        # `served` wants the type, the server any application.
        async with served(Replies(app), listener) as origin:  # pyright: ignore[reportArgumentType]
            yield origin


@asynccontextmanager
async def dialled(origin: str) -> AsyncGenerator[Pair]:
    at = urlsplit(origin)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def asked(pair: Pair, request: bytes) -> bytes:
    """The head of the reply, and what came with it."""
    reader, writer = pair
    writer.write(request)
    return await reader.readuntil(b"\r\n\r\n")


async def whole(pair: Pair) -> bytes:
    """All that comes until the other side closes."""
    try:
        return await pair[0].read()
    except ConnectionError:
        return b""


@pytest.fixture(scope="module")
async def origin() -> AsyncIterator[str]:
    async with serving_of(an_app()[0]) as address:
        yield address


async def test_who_connects_and_says_nothing_is_not_waited_for(
    origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.WITHIN_S, "head", 0.1)

    async with dialled(origin) as pair:
        assert await whole(pair) == b""


async def test_half_a_head_is_told_that_it_is_late_and_not_waited_for(
    origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.WITHIN_S, "head", 0.2)

    async with dialled(origin) as pair:
        trickling = asyncio.create_task(_trickle(pair[1], HELLO[:-2] + b"A: b\r\n" * 100))
        reply = await whole(pair)
        trickling.cancel()

    assert reply.startswith(b"HTTP/1.1 408 ")
    assert json.loads(reply.partition(b"\r\n\r\n")[2])["status"] == 408


async def _trickle(writer: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(ConnectionError):
        for number in range(len(data)):
            writer.write(data[number : number + 1])
            await asyncio.sleep(0.01)


async def test_a_kept_connection_is_closed_after_a_while(
    origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.WITHIN_S, "head", 0.2)

    async with dialled(origin) as pair:
        first = await asked(pair, HELLO)
        rest = await whole(pair)

    assert first.startswith(b"HTTP/1.1 200 ")
    assert rest == b'"hello"'


async def test_the_rest_of_a_body_that_nobody_wants_is_not_waited_for(
    origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.WITHIN_S, "rest", 0.1)

    async with dialled(origin) as pair:
        head = await asked(pair, b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab")
        await whole(pair)

    assert head.startswith(b"HTTP/1.1 405 ")


async def test_a_stream_of_events_lasts_though_its_reader_says_nothing(
    origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.WITHIN_S, "head", 0.05)

    async with dialled(origin) as pair:
        await asked(pair, EVENTS)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await pair[0].readuntil(b"\r\n0\r\n\r\n")
        is_open = not pair[0].at_eof()

    assert is_open


async def test_who_takes_nothing_of_a_reply_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "TAKEN_WITHIN_S", 0.2)
    app, gave_up = an_app()

    async with serving_of(app) as origin, dialled(origin) as (_, writer):
        # The reader's own buffer fills, then those of the sockets.
        writer.write(MUCH)
        async with asyncio.timeout(30):
            await gave_up.wait()

    assert gave_up.is_set()


async def test_what_is_no_http_is_told_so(origin: str) -> None:
    async with dialled(origin) as pair:
        pair[1].write(b"\x16\x03\x01 hello?\r\n\r\n")
        reply = await whole(pair)

    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in reply


async def test_one_connection_too_many_is_told_so_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "CONNECTIONS_MAX", 5)
    async with AsyncExitStack() as opened:
        origin = await opened.enter_async_context(serving_of(an_app()[0]))
        streams = [await opened.enter_async_context(dialled(origin)) for _ in range(4)]
        heads = [await asked(pair, EVENTS) for pair in streams]
        fifth = await opened.enter_async_context(dialled(origin))
        while_there_is_room = await asked(fifth, HELLO)

        async with dialled(origin) as sixth:
            refused = await asked(sixth, HELLO) + await whole(sixth)
        afterwards = await asked(fifth, HELLO.replace(b"hello", b"hello?again"))

    assert all(head.startswith(b"HTTP/1.1 200 ") for head in heads)
    assert while_there_is_room.startswith(b"HTTP/1.1 200 ")
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"application/problem+json" in refused
    assert b"HTTP/1.1 200 OK" in afterwards


async def test_a_thousand_streams_lock_nobody_out() -> None:
    async with AsyncExitStack() as opened:
        origin = await opened.enter_async_context(serving_of(an_app()[0]))
        for _ in range(20):
            pairs = await asyncio.gather(
                *(opened.enter_async_context(dialled(origin)) for _ in range(50))
            )
            heads = await asyncio.gather(*(asked(pair, EVENTS) for pair in pairs))
            assert all(head.startswith(b"HTTP/1.1 200 ") for head in heads)

        one_more = await opened.enter_async_context(dialled(origin))
        reply = await asked(one_more, HELLO)

    assert reply.startswith(b"HTTP/1.1 200 ")


async def test_a_server_that_stops_ends_streams_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with AsyncExitStack() as opened:
        async with asyncio.timeout(serving.DRAIN_S), serving_of(an_app()[0]) as origin:
            pairs = [await opened.enter_async_context(dialled(origin)) for _ in range(3)]
            for pair in pairs:
                await asked(pair, EVENTS)
        ends = [await whole(pair) for pair in pairs]

    assert all(b": begun" in end for end in ends)
    # Nothing had to be cancelled, which uvicorn tells as an error.
    assert "Cancel" not in caplog.text
    assert "Traceback" not in caplog.text
