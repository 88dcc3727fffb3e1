"""scratch"""
import asyncio, json, os, sys, time
from dataclasses import replace
from pathlib import Path
from starter.api.rates import Rates
from starter.api.links import Grant, token_of
from activities.provider.webhooks import webhook_url
from tests.starter.api.conftest import Api, api_of
from tests.starter.api.products import Product, a_product, a_user
from tests.starter.api.shelves import filed
from tests.starter.conftest import ROOT, SPEECH, clean_environment

SCRATCH = Path(os.environ["SCRATCH"])

async def test_scratch(api: Api) -> None:
    parts = replace(api.parts, rates=Rates())
    async with api_of(parts) as origin, a_product(api, origin=origin) as product:
        user = a_user()
        await api.stack.database.execute("INSERT INTO subscriptions (user_id, plan) VALUES ($1, 'enterprise')", user)
        running = [(await product.started(user))["generation_id"] for _ in range(3)]
        films = [await filed(api, user) for _ in range(6)]
        image = (await product.uploaded(user))["media_id"]
        audio = (await product.uploaded(user, SPEECH, "audio"))["media_id"]
        b = await product.post("/v1/batches", user, json={"items": [await product.wish(user)]})
        batch = b.json()["batch_id"]
        first = films[0]
        token = token_of(api.hash_key, Grant(first.asset_id, "content", int(time.time()) + 3600))
        hook = webhook_url(origin, api.hash_key, running[0]).rsplit("/", 1)[1]
        Path(SCRATCH / "facts.json").write_text(json.dumps(dict(origin=origin, headers=product.holder.headers(user), running=running, ended=[f.generation_id for f in films], assets=[f.asset_id for f in films], image=image, audio=audio, batch=batch, token=token, hook=hook)))
        while not (SCRATCH / "stop").exists():
            await asyncio.sleep(0.5)
