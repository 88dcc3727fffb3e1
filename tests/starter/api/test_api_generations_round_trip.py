"""A video from a form to its finished document, over HTTP and with real workers."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from starter.api.parts import connected
from starter.places import find_place
from tests.starter.api.conftest import a_caller, api_of
from tests.starter.api.holders import a_holder, owners_pool
from tests.starter.api.products import Product, a_user, problem_in
from tests.starter.conftest import CHELSEA, COFFEE, Stack
from tests.starter.small_videos import SMALL

ENDS = {"completed", "failed", "cancelled"}


@pytest.fixture(scope="module")
async def product(stack: Stack) -> AsyncIterator[Product]:
    """A product at an API whose stack has workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("STILLMOTION_DATABASE_URL", raising=False)
        place = find_place(stack.data_dir)
    async with owners_pool(stack) as pool:
        holder = await a_holder(pool)
    async with connected(place) as parts, api_of(parts) as origin, a_caller() as http:
        yield Product(origin, http, holder, stack)


async def ended(product: Product, user: str, path: str) -> tuple[dict[str, Any], list[int]]:
    """What is at `path` once it has ended, and the percents that were told until then."""
    percents: list[int] = []
    async with asyncio.timeout(120):
        while True:
            seen = (await product.get(path, user)).json()
            percents.append((seen.get("progress") or seen)["percent"])
            if seen["status"] in ENDS:
                return seen, percents
            await asyncio.sleep(0.1)


async def test_a_form_becomes_a_video(product: Product) -> None:
    user = a_user()
    wish = {"operation": "image-to-video", "prompt": "steam rises", "resolution": "480p"}
    files = [
        ("image", ("coffee.jpg", Path(COFFEE).read_bytes(), "image/jpeg")),
        ("request", (None, json.dumps(wish))),
    ]

    async with product.stack.faults(SMALL):
        started = await product.post("/v1/generations", user, files=files)
        made, percents = await ended(product, user, started.headers["location"])

    assert (started.status_code, made["status"], made["error"]) == (202, "completed", None)
    assert made["cost_usd_micros"] == made["quoted_usd_micros"] == 250_000
    assert made["links"]["content"] == f"/v1/assets/{made['asset_id']}/content"
    assert percents == sorted(percents)
    assert made["progress"]["percent"] == 100
    listed = (await product.get("/v1/generations?status=completed", user)).json()
    assert [each["generation_id"] for each in listed["items"]] == [made["generation_id"]]
    assert str(product.stack.data_dir) not in json.dumps([made, listed])


async def test_a_failed_generation_says_why_in_the_words_of_this_api(product: Product) -> None:
    user = a_user()
    wish = await product.wish(user)

    async with product.stack.faults({"job": {"kind": "moderated"}}):
        started = await product.post("/v1/generations", user, json=wish)
        made, _ = await ended(product, user, started.headers["location"])

    assert made["status"] == "failed"
    assert made["error"]["kind"] == "prompt_rejected"
    assert "stillmotion " not in made["error"]["hint"]


async def test_a_batch_becomes_videos(product: Product) -> None:
    user = a_user()
    image = await product.uploaded(user, CHELSEA)
    items = [
        {"operation": "scene-animation", "image": image, "scene": {"title": title}}
        for title in ("A cat looks up", "It looks away")
    ]

    async with product.stack.faults(SMALL):
        started = await product.post("/v1/batches", user, json={"items": items})
        made, percents = await ended(product, user, started.headers["location"])

    assert (made["status"], made["completed"]) == ("completed", 2)
    assert percents == sorted(percents)
    assert [item["status"] for item in made["items"]] == ["completed", "completed"]
    first = made["items"][0]
    assert first["links"]["content"] == f"/v1/assets/{first['asset_id']}/content"
    read = await product.get(first["links"]["self"], user)
    assert read.json()["asset_id"] == first["asset_id"]


async def test_a_third_video_of_a_free_plan_is_refused_at_once(product: Product) -> None:
    user = a_user()
    image = await product.uploaded(user, CHELSEA)
    items = [
        {"operation": "scene-animation", "image": image, "scene": {"title": str(number)}}
        for number in range(2)
    ]
    async with product.stack.faults(SMALL):
        started = await product.post("/v1/batches", user, json={"items": items})
        await ended(product, user, started.headers["location"])

    third = {**items[0], "scene": {"title": "3"}}
    refused = await product.post("/v1/generations", user, json=third)

    assert (refused.status_code, problem_in(refused)["kind"]) == (403, "quota_exceeded")
