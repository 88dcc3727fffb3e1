"""The API over a real stack without workers, asked over real HTTP, told as a provider tells."""

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
import pytest
from temporalio.api.enums.v1 import EventType

from activities.database.pool import Pool
from activities.provider.webhooks import webhook_url
from starter.api.app import create_app
from starter.api.parts import Parts, connected
from starter.api.serving import listener_at, served
from starter.client import VideoClient
from starter.places import find_place
from tests.starter.api.holders import owners_pool
from tests.starter.api.products import Product, a_product
from tests.starter.conftest import COFFEE, Stack
from workers.sandbox.webhooks import sign

PREDICTION = "0123456789abcdef0123456789abcdef"


def a_body(prediction_id: str = PREDICTION, **given: object) -> bytes:
    """What the provider tells of a job that is done."""
    return json.dumps({"id": prediction_id, "status": "completed", **given}).encode()


@dataclass(frozen=True)
class Api:
    """The API, and what stands behind it."""

    origin: str
    parts: Parts
    stack: Stack
    client: VideoClient
    http: httpx.AsyncClient
    secret: str
    hash_key: str

    async def accepted(self) -> str:
        """A generation whose workflow waits for a worker, with nothing submitted; its id."""
        user = f"user-{uuid.uuid4().hex[:8]}"
        handle = await self.client.image_to_video(COFFEE, "a calm sea", user_id=user)
        return handle.id

    async def submitted(self, generation_id: str, prediction_id: str | None = PREDICTION) -> str:
        """Let a submission stand in the books; None = its outcome is not known."""
        await self.stack.database.execute(
            "INSERT INTO submissions (generation_id, state, provider_path, base_url, staged_url,"
            " prediction_id, sending_at, send_by)"
            " VALUES ($1, $2, 'a/model', 'http://127.0.0.1:1', $1, $3, now(), now())",
            generation_id,
            "unknown" if prediction_id is None else "accepted",
            prediction_id,
        )
        return generation_id

    def address(self, generation_id: str) -> str:
        return webhook_url(self.origin, self.hash_key, generation_id)

    def signed(
        self,
        body: bytes,
        *,
        age_s: int = 0,
        secret: str | None = None,
        webhook_id: str | None = None,
    ) -> dict[str, str]:
        """The headers of a message that was signed so long ago, by the sandbox's own signer."""
        webhook_id = webhook_id or uuid.uuid4().hex
        timestamp = int(time.time()) - age_s
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret or self.secret, webhook_id, timestamp, body),
        }

    async def tell(
        self, generation_id: str, body: bytes | None = None, **given: Any
    ) -> httpx.Response:
        """Deliver a message as the provider would."""
        body = a_body() if body is None else body
        headers = self.signed(body, **given)
        return await self.http.post(self.address(generation_id), content=body, headers=headers)

    async def hints(self, generation_id: str) -> list[Any]:
        """What the workflow was signalled, in order."""
        workflow = self.client.temporal.get_workflow_handle(generation_id)
        return [
            json.loads(event.workflow_execution_signaled_event_attributes.input.payloads[0].data)
            async for event in workflow.fetch_history_events()
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
        ]


@asynccontextmanager
async def api_of(parts: Parts) -> AsyncGenerator[str]:
    """The API of these parts on a free port; its origin."""
    with listener_at("127.0.0.1", 0) as listener:
        async with served(create_app(parts), listener) as origin:
            yield origin


@asynccontextmanager
async def a_caller() -> AsyncGenerator[httpx.AsyncClient]:
    # It keeps no cookie: who signed in for one test is nobody in the next. Loopback only: loading
    # the certificates would be the slowest part of it.
    jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    given: Any = {"trust_env": False, "verify": False, "timeout": 20, "cookies": jar}
    async with httpx.AsyncClient(**given) as http:
        yield http


@pytest.fixture(scope="session")
async def api(idle_stack: Stack, idle_client: VideoClient) -> AsyncIterator[Api]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("STILLMOTION_DATABASE_URL", raising=False)
        place = find_place(idle_stack.data_dir)
    hash_key = await idle_stack.database.fetchval(
        "SELECT value FROM deployment WHERE name = 'hash_key'"
    )
    key = {"Authorization": "Bearer any"}
    reply = await idle_stack.sandbox.get("/api/v3/webhook/secret", headers=key)
    secret = reply.json()["data"]["secret"]
    async with connected(place) as parts, api_of(parts) as origin, a_caller() as http:
        yield Api(origin, parts, idle_stack, idle_client, http, secret, hash_key)


@pytest.fixture(scope="module")
async def product(api: Api) -> AsyncIterator[Product]:
    """A product with a key of its own; a file with a stack of its own has its own."""
    async with a_product(api) as one:
        yield one


@pytest.fixture(scope="module")
async def owners(api: Api) -> AsyncIterator[Pool]:
    """The database, as operators have it."""
    async with owners_pool(api.stack) as pool:
        yield pool
