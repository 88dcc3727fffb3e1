"""Download, hash and store a gigabyte, against a plain httpx stream to disk; and decoding, apart.

Both transfers run in turn, each in a process of its own, from a server in this one. The plain one
hashes nothing, has no limits and syncs nothing; ours is durable in the store when it ends.
"""

import asyncio
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from activities.media.decoding import inspect
from activities.media.settings import MediaSettings
from benchmarks.figures import Figure, Scale, at_least, at_most, tell
from benchmarks.media_film import make_film

SIZE_BYTES = 1000 * 1000 * 1000
TIMES = 5
FILM_S = 60
DECODED_AT_ONCE = 2

_MB = 1000 * 1000
_BLOCK = hashlib.sha256(b"stillmotion").digest() * 32_768


class Transfer(NamedTuple):
    """What one download took, in a process of its own."""

    took_s: float
    grown_bytes: int


async def measure(scale: Scale) -> list[Figure]:
    """Throughput and memory of the transfer, then the speed of decoding."""
    times = scale.times(TIMES)
    size_bytes = scale.of(SIZE_BYTES)
    with tempfile.TemporaryDirectory(prefix="stillmotion-bench-") as name:
        folder = Path(name)
        async with _served(size_bytes) as url:
            await _pair(url, folder)  # Warm: the files of Python and the disk's cache.
            pairs = [await _pair(url, folder) for _ in range(times)]
        speeds = await _decoding_speeds(folder, scale.of(FILM_S, least=5), times)
    size = f"{size_bytes / _MB:,.0f} MB"
    return [
        Figure(
            key="media.throughput",
            what=f"fetch, hash and store {size} / plain stream to disk",
            samples=tuple(plain.took_s / ours.took_s for plain, ours in pairs),
            goal=at_least(0.7),
            notes=("The plain stream hashes and syncs nothing; ours is durable when it ends.",),
        ),
        Figure(
            key="media.memory",
            what=f"memory that a worker grows by while it fetches and stores {size}",
            unit="MB",
            samples=tuple(ours.grown_bytes / _MB for _, ours in pairs),
            goal=at_most(64),
            notes=("The peak of resident memory less what was resident before.",),
        ),
        Figure(
            key="media.decoding",
            what=f"decoding 1080p to its end, {DECODED_AT_ONCE} at once: film time / real time",
            samples=tuple(speeds),
            goal=at_least(3),
            notes=("In child processes, as a worker does; starting these is part of it.",),
        ),
    ]


async def _pair(url: str, folder: Path) -> tuple[Transfer, Transfer]:
    """One plain transfer and one of ours."""
    plain, ours = await _transfer("plain", url, folder), await _transfer("product", url, folder)
    tell(f"media: plain {plain.took_s:.2f} s, ours {ours.took_s:.2f} s")
    return plain, ours


async def _transfer(kind: str, url: str, folder: Path) -> Transfer:
    place = folder / kind
    place.mkdir()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.media_transfers", kind, url, str(place)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
        shutil.rmtree(place)
    return Transfer(**json.loads(said))


async def _decoding_speeds(folder: Path, film_s: int, times: int) -> list[float]:
    """Seconds of film per second, with as many at once as stated."""
    film = folder / "film.mp4"
    await asyncio.to_thread(make_film, film, film_s)
    settings = MediaSettings(media_url=folder.as_uri())
    speeds = list[float]()
    for _ in range(times):
        started = time.perf_counter()
        await asyncio.gather(*(inspect("video", film, settings) for _ in range(DECODED_AT_ONCE)))
        speeds.append(film_s / (time.perf_counter() - started))
        tell(f"media: decoding at {speeds[-1]:.1f} times real time")
    return speeds


@asynccontextmanager
async def _served(size_bytes: int) -> AsyncGenerator[str]:
    """A loopback server that answers every request with `size_bytes` bytes; the address of one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Length: {size_bytes}\r\nConnection: close\r\n\r\n".encode()
        )
        left = size_bytes
        while left > 0:
            writer.write(_BLOCK[:left])
            left -= len(_BLOCK)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"http://127.0.0.1:{port}/outputs/film.mp4"
