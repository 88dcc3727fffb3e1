"""A real S3 API over HTTP as a process of the tests: moto's server, which ends with its parent."""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from workers.embedded.children import start_child

BUCKET = "bucket"
MEDIA_URL = f"s3://{BUCKET}/prefix"
START_S = 30.0


class S3(NamedTuple):
    """A server with one empty bucket."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in order to use it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    async def objects(self) -> list[str]:
        """The keys of everything that is stored."""
        return re.findall("<Key>([^<]*)</Key>", await self._asked("list-type=2"))

    async def unfinished_uploads(self) -> list[str]:
        """The keys of uploads whose parts are kept, and paid for, without an object."""
        return re.findall("<Key>([^<]*)</Key>", await self._asked("uploads"))

    async def empty(self) -> None:
        """Forget everything but the bucket."""
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.post(f"{self.url}/moto-api/reset")).raise_for_status()
            (await http.put(f"{self.url}/{BUCKET}")).raise_for_status()

    async def ask_for_keys(self, *, after_requests: int) -> None:
        """Refuse whoever has no key that was made there, from so many requests on."""
        async with httpx.AsyncClient(trust_env=False) as http:
            reply = await http.post(f"{self.url}/moto-api/reset-auth", content=str(after_requests))
            reply.raise_for_status()

    async def _asked(self, query: str) -> str:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"{self.url}/{BUCKET}?{query}")).raise_for_status().text


@asynccontextmanager
async def running_s3(folder: Path) -> AsyncGenerator[S3]:
    """A server on a free port of the loopback address; its log stands in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    s3 = S3(f"http://127.0.0.1:{port}")
    child = await start_child(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={},
        log_path=folder / "s3.log",
        stop_signal=signal.SIGKILL,
        cwd=folder,
    )
    try:
        async with asyncio.timeout(START_S):
            while True:
                try:
                    await s3.empty()
                except httpx.TransportError:
                    assert child.exit_code is None, child.log_tail()
                    await asyncio.sleep(0.05)
                else:
                    break
        yield s3
    finally:
        await child.stop()
