"""Download, hash and store a large file, against a plain httpx stream of the same file to disk."""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from activities.media.fetching import fetch, output_policy
from activities.media.keys import output_key
from activities.media.store import MediaStore

SIZE_BYTES = 300 * 1000 * 1000
REPEATS = 5
GOAL = 0.7
_BLOCK = hashlib.sha256(b"stillmotion").digest() * 32_768


async def throughput_ratios() -> list[float]:
    """Our throughput over the plain stream's, once per repeat, taken in turn."""
    with tempfile.TemporaryDirectory(prefix="stillmotion-bench-") as folder:
        async with _served() as origin:
            return [await _ratio(origin, Path(folder), number) for number in range(REPEATS)]


async def _ratio(origin: str, folder: Path, number: int) -> float:
    url = f"{origin}/outputs/{number}.mp4"
    started = time.perf_counter()
    await _plain(url, folder / "plain")
    plain_s = time.perf_counter() - started
    started = time.perf_counter()
    await _ours(origin, url, folder)
    return plain_s / (time.perf_counter() - started)


async def _plain(url: str, to: Path) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, client.stream("GET", url) as reply:
        with to.open("wb") as file:
            async for block in reply.aiter_bytes():
                file.write(block)


async def _ours(origin: str, url: str, folder: Path) -> None:
    store = MediaStore.from_url((folder / "store").as_uri())
    path = folder / "fetched"
    policy = output_policy((), origin, size_bytes_max=2 * SIZE_BYTES)
    fetched = await fetch(url, path, policy=policy)
    key = output_key("0" * 32, "0" * 16, fetched.sha256, ".mp4")
    await store.put_file(path, key, mime_type="video/mp4")


@asynccontextmanager
async def _served() -> AsyncGenerator[str]:
    """A loopback server that answers every request with `SIZE_BYTES` bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE_BYTES}\r\nConnection: close\r\n\r\n".encode()
        )
        left = SIZE_BYTES
        while left > 0:
            writer.write(_BLOCK[:left])
            left -= len(_BLOCK)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"http://127.0.0.1:{port}"
