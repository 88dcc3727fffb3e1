"""A sandbox's LLM, odd endpoints, and generations that wait for their prompt."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio.testing import ActivityEnvironment

from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.media.inputs import Inputs
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from activities.prompts.activities import PromptActivities
from activities.prompts.llm import Llm
from activities.prompts.settings import LlmSettings
from activities.prompts.writing import Writer
from tests.activities.conftest import (
    MEDIA_ID,
    WAN,
    SandboxControl,
    a_quote,
    a_request,
    some_terms,
    usual_way_to,
)
from workers.sandbox import SandboxSettings, running
from workflows.contracts.activities import ForGeneration, PromptBuilt
from workflows.contracts.requests import (
    GenerationRequest,
    SceneAnimationRequest,
    TalkingAvatarRequest,
)
from workflows.contracts.stages import Stage
from workflows.contracts.stories import Scene, StoryContext

KEY = "sk-very-secret"
SECRET_WORDS = "a duel at dawn"
SCENE = Scene(title="The lighthouse", description="Gulls circle an old lighthouse.")
STORY = StoryContext.model_validate(
    {
        "tone": "wistful",
        "setting": "a stormy coast",
        "style_bible": {
            "visual_style": {
                "style_preset": "watercolour anime",
                "camera_style": "handheld",
                "color_mood": "muted teal",
                "lighting": "golden hour",
                "line_style": "thin ink",
                "extra_tags": ["film grain", "soft focus"],
            },
            "world": {"setting": "an island of wrecks"},
            "main_cast": [{"name": "Mira"}, {"name": "Old Tom"}],
        },
    }
)


def llm_settings(url: str, **given: object) -> LlmSettings:
    return LlmSettings.model_validate({"api_key": SecretStr(KEY), "base_url": url, **given})


def llm_url(sandbox: SandboxControl) -> str:
    return sandbox.url.replace("/api/v3", "/v1")


@dataclass(frozen=True)
class LlmSandbox(SandboxControl):
    """The session's sandbox; it was asked before by other tests."""

    asked_before: int = 0


@pytest.fixture(scope="session")
async def llm_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SandboxControl]:
    settings = SandboxSettings(data_dir=tmp_path_factory.mktemp("llm"))
    async with running(settings) as addresses:
        origin = addresses.provider.removesuffix("/api/v3")
        async with httpx.AsyncClient(base_url=origin, trust_env=False, verify=False) as http:
            yield SandboxControl(addresses.provider, http)


@pytest.fixture
async def sandbox(llm_server: SandboxControl) -> LlmSandbox:
    (await llm_server.http.delete("/sandbox/faults")).raise_for_status()
    asked = len((await llm_server.log())["chats"])
    return LlmSandbox(llm_server.url, llm_server.http, asked)


@pytest.fixture
async def llm(sandbox: LlmSandbox) -> AsyncIterator[Llm]:
    async with Llm(llm_settings(llm_url(sandbox))) as client:
        yield client


@asynccontextmanager
async def an_endpoint(body: str, status: str = "200 OK") -> AsyncGenerator[str]:
    """A server that answers everything with `body`; its base URL."""
    content = body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
    reply = f"{head}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode() + content

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        headers = await reader.readuntil(b"\r\n\r\n")
        length = headers.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        writer.write(reply)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}/v1"


def a_completion(content: object, **choice: object) -> str:
    """A chat completion whose assistant says `content`."""
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"index": 0, "message": message, **choice}]})


async def chats(sandbox: LlmSandbox) -> list[dict[str, Any]]:
    """The bodies of the questions that the sandbox was asked in this test."""
    return (await sandbox.log())["chats"][sandbox.asked_before :]


@pytest.fixture
def inputs(database: Pool, store: MediaStore, media_settings: MediaSettings) -> Inputs:
    return Inputs(database, store, media_settings)


@pytest.fixture
def prompts(database: Pool, inputs: Inputs, llm: Llm) -> PromptActivities:
    return PromptActivities(database, inputs, Writer(llm))


def a_scene(**given: object) -> SceneAnimationRequest:
    asked = {
        "user_id": "ann",
        "image": {"media_id": MEDIA_ID},
        "scene": SCENE,
        "story_context": STORY,
    }
    return SceneAnimationRequest.model_validate({**asked, **given})


def an_avatar(**given: object) -> TalkingAvatarRequest:
    media = {"image": {"media_id": MEDIA_ID}, "audio": {"media_id": MEDIA_ID}}
    return TalkingAvatarRequest.model_validate({"user_id": "ann", **media, **given})


@dataclass(frozen=True)
class Desk:
    """Generations that were reserved, and the step that makes their prompts."""

    pool: Pool
    prompts: PromptActivities

    async def reserved(
        self,
        request: GenerationRequest | None = None,
        *,
        duration_s: float = 10.0,
        characters_max: int = 2500,
    ) -> None:
        """`gen_one`, priced and held, its prompt not made yet."""
        request = request or a_scene()
        terms = some_terms(
            "gen_one",
            operation=request.operation,
            quote=a_quote(duration_s=duration_s),
            prompt_characters_max=characters_max,
        ).model_dump(mode="json")
        stored = {role: one.media_id for role, one in request.documents.items()}
        wanted = {"image": MEDIA_ID, **stored}
        async with self.pool.acquire() as connection, connection.transaction():
            await generations.claim(connection, "gen_one", request)
            await connection.execute(
                generations.SQL["set_terms"], "gen_one", terms, WAN, wanted, {}
            )
            for stage in usual_way_to(Stage.PROMPTING):
                await generations.record(connection, "gen_one", stage)

    async def build(self, *, attempt: int = 1) -> PromptBuilt:
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, attempt=attempt)
        task = ForGeneration(generation_id="gen_one")
        return await environment.run(self.prompts.build_prompt, task)

    async def row(self) -> tuple[str | None, str | None, list[str]]:
        row = await self.pool.fetchrow("SELECT prompt, prompt_by, warnings FROM generations")
        assert row is not None
        return row["prompt"], row["prompt_by"], row["warnings"]

    async def staging_events(self) -> list[dict[str, Any]]:
        rows = await self.pool.fetch("SELECT data FROM events WHERE stage = 'staging'")
        return [row["data"] for row in rows]


@pytest.fixture
def desk(database: Pool, prompts: PromptActivities) -> Desk:
    return Desk(database, prompts)


@pytest.fixture
def an_image_to_video() -> GenerationRequest:
    return a_request(prompt="  A  calm\n sea. \n")
