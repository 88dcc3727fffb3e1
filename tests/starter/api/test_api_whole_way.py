"""From the start to the file over HTTP alone, and a crowd that watches: on a stack with workers."""

import asyncio
import hashlib
import json
import resource
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from starter.client import VideoClient
from tests.activities.conftest import SMALL
from tests.starter.api.conftest import a_caller
from tests.starter.api.followers import listening
from tests.starter.api.holders import a_holder, owners_pool
from tests.starter.api.products import Product, a_user
from tests.starter.conftest import COFFEE, Stack, start_cli
from workflows.contracts.stages import Stage

GENERATIONS = 100
STREAMS = 1000


@asynccontextmanager
async def an_api(stack: Stack) -> AsyncGenerator[str]:
    """The process of `stillmotion api`; its origin."""
    where = ("--data-dir", str(stack.data_dir))
    process = await start_cli("api", "--port", "0", "-o", "json", *where)
    try:
        assert process.stdout is not None
        yield json.loads(await process.stdout.readline())["api"]
    finally:
        process.kill()
        await process.communicate()


@pytest.fixture(scope="module")
async def product(stack: Stack) -> AsyncIterator[Product]:
    async with owners_pool(stack) as pool:
        holder = await a_holder(pool)
    async with an_api(stack) as origin, a_caller() as http:
        yield Product(origin, http, holder, stack)


async def test_a_video_is_started_followed_read_found_and_deleted(product: Product) -> None:
    user = a_user()
    started = await product.started(user, prompt="a lighthouse at dusk")

    async with listening(product, started["links"]["events"], user) as stream:
        heard = await stream.rest()
    done = (await product.get(started["links"]["self"], user)).json()
    video = await product.get(done["links"]["content"], user)
    still = await product.get(done["links"]["poster"], user)
    found = (await product.get("/v1/assets?q=lighthouse", user)).json()["items"]
    usage = (await product.get("/v1/usage", user)).json()
    (day,) = (await product.get("/v1/usage/daily", user)).json()["days"]
    deleted = await product.ask("DELETE", f"/v1/assets/{done['asset_id']}", user)
    gone = await product.get(done["links"]["content"], user)

    assert [each.id for each in heard] == [*range(1, len(heard) + 1)]
    assert [heard[0].event, heard[-1].event] == ["accepted", "completed"]
    assert done["status"] == "completed"
    assert hashlib.sha256(video.content).hexdigest() == done["sha256"]
    assert still.content[:3] == b"\xff\xd8\xff"
    assert [each["asset_id"] for each in found] == [done["asset_id"]]
    assert usage["settled_usd_micros"] == day["settled_usd_micros"] == done["cost_usd_micros"] > 0
    assert (deleted.status_code, gone.status_code) == (204, 404)


async def _watched(address: httpx.URL, head: str, path: str) -> list[str]:
    """The events of one stream to its end, read from the bare connection."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        status = await reader.readline()
        assert b" 200 " in status, status
        return [
            line.removeprefix(b"event: ").decode().strip()
            async for line in reader
            if line.startswith(b"event: ") and line != b"event: progress\n"
        ]
    finally:
        writer.close()


def _allow_so_many_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        top = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (top, hard))


@pytest.mark.tools
@pytest.mark.timeout(1200)
async def test_a_thousand_streams_beside_a_hundred_generations_see_every_stage(
    stack: Stack, client: VideoClient, product: Product
) -> None:
    user = a_user()
    _allow_so_many_files(4096)
    await stack.database.execute(
        "INSERT INTO subscriptions (user_id, plan) VALUES ($1, 'enterprise')", user
    )
    headers = {"Host": "x", "Connection": "close", **product.holder.headers(user)}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    address = httpx.URL(product.origin)

    async with stack.faults({"output": SMALL}):
        started = [
            (await client.image_to_video(COFFEE, f"number {n}", user_id=user, resolution="480p")).id
            for n in range(GENERATIONS)
        ]
        watching = [
            asyncio.create_task(_watched(address, head, f"/v1/generations/{each}/events"))
            for each in started
            for _ in range(STREAMS // GENERATIONS)
        ]
        # Others are answered beside them.
        while not all(task.done() for task in watching):
            reply = await product.get(f"/v1/generations/{started[0]}", user)
            assert reply.status_code == 200
            await asyncio.sleep(0.5)
        seen = await asyncio.gather(*watching)

    rows = await stack.database.fetch(
        "SELECT generation_id, array_agg(stage ORDER BY seq) AS stages FROM events"
        " WHERE generation_id = ANY ($1) GROUP BY generation_id",
        started,
    )
    happened = {row["generation_id"]: row["stages"] for row in rows}
    followed = [each for each in started for _ in range(STREAMS // GENERATIONS)]
    wrong = [name for name, stages in zip(followed, seen, strict=True) if stages != happened[name]]
    assert wrong == []
    assert Counter(stages[-1] for stages in seen) == {Stage.COMPLETED.value: STREAMS}
