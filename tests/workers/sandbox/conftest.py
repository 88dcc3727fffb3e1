"""A sandbox for each test, in the test's own event loop, and a client that knows its contract."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from workers.sandbox import SandboxSettings, running

SAMPLES = Path(__file__).parents[3] / "examples"
WAN = "alibaba/wan-2.5/image-to-video"
TALKING = "wavespeed-ai/infinitetalk"
FINAL = {"completed", "failed", "cancelled", "timeout", "deleted"}
SMALL: list[dict[str, object]] = [
    {"kind": "other_size", "width": 64, "height": 36},
    {"kind": "other_duration", "duration_s": 0.5},
]
"""Faults that make a job quick where its picture doesn't matter."""


def a_picture(width: int = 400, height: int = 400) -> bytes:
    """A JPEG with enough detail that a camera move shows."""
    picture = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    file = io.BytesIO()
    Image.composite(picture, Image.new("RGB", picture.size, "navy"), picture.convert("L")).save(
        file, "JPEG"
    )
    return file.getvalue()


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 30) -> None:
    """Waits for something that only can be asked for again and again."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Provider:
    """What a caller of the provider does, without any patience of its own."""

    url: str
    llm: str
    http: httpx.AsyncClient
    data_dir: Path

    @property
    def origin(self) -> str:
        return self.url.removesuffix("/api/v3")

    async def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        return await self.http.request(method, f"{self.url}/{path}", json=body)

    async def data(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        reply = await self.call(method, path, body)
        assert reply.status_code == 200, reply.text
        envelope = reply.json()
        assert envelope["code"] == 200
        return dict(envelope["data"])

    async def upload(self, content: bytes, filename: str = "picture.jpg") -> str:
        files = {"file": (filename, content)}
        reply = await self.http.post(f"{self.url}/media/upload/binary", files=files)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["data"]["download_url"])

    async def submit(self, model: str = WAN, **inputs: object) -> str:
        if model == WAN:
            inputs = {"prompt": "a calm sea", **inputs}
        if "image" not in inputs:
            inputs["image"] = await self.upload(a_picture())
        return str((await self.data("POST", model, inputs))["id"])

    async def ended(self, prediction_id: str) -> dict[str, Any]:
        async def finished() -> bool:
            found = await self.data("GET", f"predictions/{prediction_id}/result")
            return found["status"] in FINAL

        await until(finished)
        return await self.data("GET", f"predictions/{prediction_id}/result")

    async def run(self, model: str = WAN, **inputs: object) -> dict[str, Any]:
        return await self.ended(await self.submit(model, **inputs))

    async def download(self, url: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, verify=False) as anonymous:
            return await anonymous.get(url, headers=headers)

    async def faults(self, **plan: object) -> None:
        reply = await self.http.post(f"{self.origin}/sandbox/faults", json=plan)
        assert reply.status_code == 200, reply.text

    async def bills(self, prediction_id: str) -> list[Any]:
        body = {"prediction_uuids": [prediction_id], "sort": "created_at ASC"}
        return list((await self.data("POST", "billings/search", body))["items"])

    async def log(self) -> dict[str, Any]:
        return dict((await self.http.get(f"{self.origin}/sandbox/log")).json())


@pytest.fixture
def settings(tmp_path: Path) -> SandboxSettings:
    return SandboxSettings(data_dir=tmp_path / "sandbox", work_s=0.0, webhook_retry_s=0.01)


@pytest.fixture
async def sandbox(settings: SandboxSettings) -> AsyncIterator[Provider]:
    async with running(settings) as addresses, a_client() as http:
        yield Provider(addresses.provider, addresses.llm, http, settings.data_dir)


@pytest.fixture
async def quick(sandbox: Provider) -> Provider:
    """A sandbox whose videos are tiny."""
    await sandbox.faults(output=SMALL)
    return sandbox


def a_client(key: str = "a-key") -> httpx.AsyncClient:
    return httpx.AsyncClient(
        headers={"Authorization": f"Bearer {key}"}, trust_env=False, verify=False, timeout=20
    )
