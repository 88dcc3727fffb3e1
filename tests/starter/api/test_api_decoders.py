"""How many decoders a process of the API has at once, whatever they decode."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

from starter.api.intake import DECODINGS_MAX
from tests.starter.api.conftest import Api
from tests.starter.api.products import Product, a_user
from tests.starter.conftest import COFFEE

WISH = {"operation": "image-to-video", "prompt": "a calm sea", "resolution": "480p"}


async def measured(api: Api) -> None:
    """As what comes from a URL is, once it is there."""
    await api.parts.client.inputs.measure(Path(COFFEE), "image")


async def uploaded(product: Product) -> None:
    reply = await product.post("/v1/uploads", a_user(), content=Path(COFFEE).read_bytes())
    assert reply.status_code == 201


async def estimated(product: Product) -> None:
    files = {
        "request": (None, json.dumps(WISH)),
        "image": ("file", Path(COFFEE).read_bytes(), "image/jpeg"),
    }
    reply = await product.post("/v1/estimates", a_user(), files=files)
    assert reply.status_code == 200


async def test_whatever_is_decoded_waits_for_its_turn(api: Api, product: Product) -> None:
    async with AsyncExitStack() as others:
        for _ in range(DECODINGS_MAX):
            await others.enter_async_context(api.parts.intake.decoding())
        asked = [
            asyncio.create_task(each)
            for each in (measured(api), uploaded(product), estimated(product))
        ]
        done, _ = await asyncio.wait(asked, timeout=1)

    assert done == set()
    await asyncio.gather(*asked)
