"""A provider that says on the wire exactly what a test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue, SecretStr

from activities.provider.settings import ProviderSettings
from activities.provider.wavespeed import WaveSpeed

KEY = "wsk-test-0123456789abcdef"
ID = "0123456789abcdef0123456789abcdef"
MODEL = "alibaba/wan-2.5/image-to-video"
SINCE = datetime(2026, 11, 20, 8, 0, 0, 500_000, tzinfo=UTC)
UNTIL = SINCE + timedelta(hours=1)

CUT = b""
CUT_BODY = b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"code":200,"data":{"id":"abcd1234"'

Answer = bytes | None
"""Bytes are written as they are; None leaves the other side waiting."""


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, JsonValue]:
        return json.loads(self.body)


def http(body: bytes | str, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Odd", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def envelope(
    data: JsonValue,
    code: int = 200,
    status: int = 200,
    message: str = "success",
    headers: Mapping[str, str] | None = None,
    **extra: JsonValue,
) -> bytes:
    body = {"code": code, "message": message, "data": data, **extra}
    return http(json.dumps(body), status, headers)


@dataclass
class OddServer:
    """Answers by script, in order, and remembers what it was asked."""

    port: int = 0
    script: list[Answer] = field(default_factory=list[Answer])
    keep_alive: bool = False
    received: list[Received] = field(default_factory=list[Received])
    connections: int = 0
    bytes_received: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v3"

    def will(self, *answers: Answer) -> None:
        self.script.extend(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._answer(reader, writer) and self.keep_alive:
                pass
        finally:
            writer.close()
            self.left.set()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            self.bytes_received += len(error.partial)
            return False
        self.bytes_received += len(head)
        first, *rest = head.decode().rstrip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
        body = await self._body(reader, headers)
        method, target, _ = first.split(" ")
        self.received.append(Received(method, target, headers, body))
        answer = self.script.pop(0)
        if answer is None:
            await reader.read()
            return False
        writer.write(answer)
        await writer.drain()
        return True

    async def _body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await reader.readexactly(int(headers.get("content-length", 0)))
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body


@pytest.fixture
async def odd() -> AsyncIterator[OddServer]:
    server = OddServer()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
        server.port = listener.sockets[0].getsockname()[1]
        yield server


def settings_for(base_url: str, **given: float) -> ProviderSettings:
    return ProviderSettings.model_validate(
        {"api_key": SecretStr(KEY), "base_url": base_url, "connect_timeout_s": 5, **given}
    )


@pytest.fixture
async def provider(odd: OddServer) -> AsyncIterator[WaveSpeed]:
    async with WaveSpeed(settings_for(odd.base_url, read_timeout_s=5)) as client:
        yield client
