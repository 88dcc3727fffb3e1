"""A prompt without spending: what a worker would make, and nothing stored."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from activities.callbacks.settings import CallbackSettings
from activities.database.pool import Pool
from activities.ledger.settings import LedgerSettings
from activities.media.inputs import Inputs
from activities.media.settings import MediaSettings
from activities.prompts.writing import NO_LLM, Prompt
from starter.client import VideoClient
from starter.places import Place
from tests.activities.conftest import (
    EXAMPLES,
    settings_for_database,
)
from tests.activities.prompts.conftest import (
    SCENE,
    STORY,
    Desk,
    LlmSandbox,
    a_scene,
    chats,
    llm_url,
)
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.requests import Operation
from workflows.contracts.stack import StackAddress

COFFEE = EXAMPLES / "coffee.jpg"


@pytest.fixture
def place(
    sandbox: LlmSandbox,
    database_url: str,
    media_settings: MediaSettings,
    ledger_settings: LedgerSettings,
) -> Place:
    stack = StackAddress(
        temporal="127.0.0.1:1",
        temporal_ui="http://127.0.0.1:2",
        task_queue="stillmotion",
        database=database_url,
        media=media_settings.media_url,
        provider=sandbox.url,
        llm=llm_url(sandbox),
    )
    return Place(
        database=settings_for_database(database_url),
        media=media_settings,
        ledger=ledger_settings,
        callbacks=CallbackSettings(),
        temporal=stack.temporal,
        stack=stack,
        provider_url=sandbox.url,
    )


async def a_client(place: Place, pool: Pool) -> VideoClient:
    """A client that talks to everything but Temporal, which a preview doesn't ask."""
    temporal = await Client.connect("127.0.0.1:1", lazy=True)
    return VideoClient(temporal, pool, place, AsyncExitStack())


@pytest.fixture
async def client(place: Place, starter_database: Pool) -> AsyncIterator[VideoClient]:
    async with await a_client(place, starter_database) as made:
        yield made


async def preview(client: VideoClient, **given: Any) -> Prompt:
    fields = {"image": COFFEE, "scene": SCENE, "story_context": STORY, "user_id": "ann"}
    return await client.prompt_for(Operation.SCENE_ANIMATION, **{**fields, **given})


async def rows(pool: Pool) -> list[int]:
    tables = ("generations", "media", "events", "reservations")
    return [await pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables]


async def test_the_llm_of_the_stack_writes_a_scenes_prompt(
    client: VideoClient, sandbox: LlmSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A real key is for another endpoint: the sandbox would refuse this one.
    monkeypatch.setenv("OPENAI_API_KEY", "refused")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")

    prompt = await preview(client, duration_s=10)

    (chat,) = await chats(sandbox)
    assert prompt.prompt_by == "llm"
    assert prompt.warnings == ()
    assert "steady cinematic pace" in (prompt.prompt or "")
    assert "exactly 10 seconds" in chat["messages"][1]["content"]
    assert "at most 2500 characters" in chat["messages"][1]["content"]


async def test_a_preview_is_what_a_worker_makes(client: VideoClient, desk: Desk) -> None:
    await desk.reserved(a_scene(), duration_s=5)
    await desk.build()

    prompt = await preview(client)

    assert prompt.prompt == (await desk.row())[0]


async def test_a_preview_leaves_nothing_behind(client: VideoClient, database: Pool) -> None:
    await preview(client, scene={**SCENE.model_dump(), "narration": "word " * 5_000})

    assert await rows(database) == [0, 0, 0, 0]
    assert client.place.media.media_url.startswith("file://")
    folder = Path(client.place.media.media_url.removeprefix("file://"))
    assert [each for each in folder.rglob("*") if each.is_file()] == []


async def test_the_llm_of_the_environment_is_asked_where_there_is_no_stack(
    place: Place,
    starter_database: Pool,
    sandbox: LlmSandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", llm_url(sandbox))
    monkeypatch.setenv("STILLMOTION_LLM_MODEL", "my-own")

    async with await a_client(place._replace(stack=None), starter_database) as client:
        prompt = await preview(client)

    assert prompt.prompt_by == "llm"
    assert (await chats(sandbox))[0]["model"] == "my-own"


async def test_a_live_stacks_llm_is_asked_where_the_environment_names_none(
    place: Place,
    starter_database: Pool,
    sandbox: LlmSandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert place.stack is not None
    live = place._replace(stack=place.stack.model_copy(update={"live": True}))

    async with await a_client(live, starter_database) as client:
        prompt = await preview(client)

    assert prompt.prompt_by == "llm"
    assert len(await chats(sandbox)) == 1


async def test_without_an_llm_the_preview_is_by_rule_and_says_so(
    place: Place, starter_database: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    async with await a_client(place._replace(stack=None), starter_database) as client:
        prompt = await preview(client, scene={"title": "Dawn", "x": 1, "y": 2})

    assert prompt.prompt_by == "rule"
    assert prompt.warnings == ("scene: 2 unknown keys were dropped.", NO_LLM)
    assert (prompt.prompt or "").startswith("Dawn: ")


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"kind": "status", "code": 429, "retry_after": 60}, "The LLM is busy"),
        ({"kind": "cut"}, "The LLM is not available"),
        ({"kind": "refusal"}, "The LLM refused"),
    ],
    ids=str,
)
async def test_an_llm_that_gives_no_prompt_is_asked_once(
    client: VideoClient, sandbox: LlmSandbox, fault: dict[str, Any], why: str
) -> None:
    await sandbox.faults(chat=fault)

    prompt = await preview(client)

    assert (prompt.prompt_by, prompt.warnings) == ("rule", (f"{why}; a rule made the prompt.",))
    assert len(await chats(sandbox)) == 1


async def test_a_preview_reads_scene_and_story_from_files_and_the_store(
    client: VideoClient, inputs: Inputs, sandbox: LlmSandbox, tmp_path: Path
) -> None:
    scene, story = tmp_path / "scene.json", tmp_path / "story.json"
    scene.write_text(json.dumps({"title": "From a file"}))
    story.write_text(json.dumps({"tone": "from the store"}))
    media_id = (await inputs.add("ann", story, "story_context")).media_id

    prompt = await preview(client, scene=scene, story_context=media_id)

    (chat,) = await chats(sandbox)
    assert prompt.prompt_by == "llm"
    assert "From a file" in chat["messages"][1]["content"]
    assert "from the store" in chat["messages"][1]["content"]


@pytest.mark.parametrize(
    ("operation", "given", "expected"),
    [
        (Operation.IMAGE_TO_VIDEO, {"prompt": " a  zoom "}, ("a  zoom", "caller")),
        (Operation.TALKING_AVATAR, {"audio": "speech.wav"}, (None, None)),
        (
            Operation.TALKING_AVATAR,
            {"audio": "speech.wav", "prompt": "she nods"},
            ("she nods", "caller"),
        ),
    ],
)
async def test_the_other_operations_have_a_preview_and_ask_no_llm(
    client: VideoClient,
    sandbox: LlmSandbox,
    operation: Operation,
    given: dict[str, Any],
    expected: tuple[str | None, str | None],
) -> None:
    prompt = await client.prompt_for(operation, image=COFFEE, user_id="ann", **given)

    assert (prompt.prompt, prompt.prompt_by) == expected
    assert await chats(sandbox) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"duration_s": 7}, "duration_s: 7"),
        ({"guidance_scale": 1.5}, "guidance_scale"),
        ({"prompt": "x"}, "prompt: it is not taken"),
        ({"scene": {"title": " "}}, "a title, a description or an image_prompt is needed"),
    ],
)
async def test_a_preview_refuses_what_a_start_would_refuse(
    client: VideoClient, sandbox: LlmSandbox, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(RequestRefused) as refused:
        await preview(client, **given)

    assert told in refused.value.failure.message
    assert refused.value.failure.kind is FailureKind.INVALID_REQUEST
    assert await chats(sandbox) == []
