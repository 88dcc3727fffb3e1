"""The prompt step: made once, stored with who made it, by rule where the LLM gives none."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.database.pool import connect
from activities.erasing.rows import belongings_of, erase_rows
from activities.generations import repository as generations
from activities.generations.reading import Reader
from activities.media.inputs import Inputs
from activities.media.store import MediaStore
from activities.prompts.activities import TRIES_MAX, PromptActivities
from activities.prompts.writing import NO_LLM, Writer
from tests.activities.conftest import settings_for_database, stage_of
from tests.activities.prompts.conftest import (
    KEY,
    SCENE,
    STORY,
    Desk,
    LlmSandbox,
    a_scene,
    an_avatar,
    chats,
)
from tests.workflows.theatre import until
from workflows.contracts.activities import ForGeneration, PromptBuilt
from workflows.contracts.failures import FailureKind
from workflows.contracts.media import Role
from workflows.contracts.requests import GenerationRequest
from workflows.contracts.stages import Stage

BUSY = {"kind": "status", "code": 429, "retry_after": 3}


async def stored(
    inputs: Inputs, folder: Path, document: object, user_id: str = "ann", role: Role = "scene"
) -> str:
    """The media id of a JSON document."""
    path = folder / "document.json"
    path.write_text(json.dumps(document))
    return (await inputs.add(user_id, path, "story_context")).media_id


async def test_the_llm_is_told_duration_style_limit_and_schema(
    desk: Desk, sandbox: LlmSandbox
) -> None:
    await desk.reserved(duration_s=10, characters_max=1234)

    await desk.build()

    (chat,) = await chats(sandbox)
    question = chat["messages"][1]["content"]
    styles = ["watercolour anime", "handheld", "muted teal", "golden hour", "thin ink"]
    told = ["exactly 10 seconds", "at most 1234 characters", "soft focus", *styles]
    assert [each for each in told if each not in question] == []
    assert chat["response_format"]["json_schema"]["schema"]["required"] == ["animation_prompt"]


async def test_the_llms_prompt_is_stored_with_who_made_it(desk: Desk) -> None:
    await desk.reserved()

    built = await desk.build()

    prompt, prompt_by, warnings = await desk.row()
    assert built == PromptBuilt(prompt_by="llm")
    assert (prompt_by, warnings) == ("llm", [])
    assert prompt is not None
    assert "steady cinematic pace" in prompt
    assert await desk.staging_events() == [{"prompt_by": "llm"}]
    assert await stage_of(desk.pool, "gen_one") is Stage.STAGING


async def test_a_repeat_finds_the_prompt_and_asks_nobody(desk: Desk, sandbox: LlmSandbox) -> None:
    await desk.reserved(a_scene(scene={"title": "Dawn", "x": 1}))
    first = await desk.build()
    before = await desk.row()
    await sandbox.faults(chat={"kind": "nonsense"})

    second = await desk.build(attempt=2)

    assert second == first
    assert second.warnings == ("scene: 1 unknown key was dropped.",)
    assert await desk.row() == before
    assert len(await chats(sandbox)) == 1
    assert len(await desk.staging_events()) == 1


async def test_two_attempts_at_once_store_one_prompt_and_both_return_it(
    desk: Desk, sandbox: LlmSandbox
) -> None:
    await desk.reserved(a_scene(scene={"title": "The twin lighthouses"}))
    # One of them gets an answer that is of no use: their prompts differ.
    await sandbox.faults(
        chat=[{"kind": "slow", "delay_s": 0.3}, {"kind": "nonsense", "times": 1, "match": "twin"}]
    )

    first, second = await asyncio.gather(desk.build(), desk.build())

    prompt, prompt_by, warnings = await desk.row()
    assert len(await chats(sandbox)) == 2
    assert (
        first
        == second
        == PromptBuilt.model_validate({"prompt_by": prompt_by, "warnings": warnings})
    )
    assert prompt is not None
    assert ("steady cinematic pace" in prompt) == (prompt_by == "llm")
    assert await desk.staging_events() == [{"prompt_by": prompt_by}]


async def test_a_prompt_that_comes_after_its_user_was_erased_is_not_written_down(
    desk: Desk, sandbox: LlmSandbox
) -> None:
    await desk.reserved()
    await sandbox.faults(chat={"kind": "slow", "delay_s": 1.0})
    late = asyncio.create_task(desk.build())
    await until(lambda: chats(sandbox))
    async with desk.pool.acquire() as connection, connection.transaction():
        assert await generations.record(connection, "gen_one", Stage.CANCELLED)
    covered = await belongings_of(desk.pool, "ann")
    assert await erase_rows(desk.pool, "ann", covered, {}) is not None

    await late

    assert await desk.row() == (None, None, [])
    assert await stage_of(desk.pool, "gen_one") is Stage.CANCELLED


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"kind": "refusal"}, "The LLM refused"),
        ({"kind": "nonsense"}, "The LLM's answer was of no use"),
        ({"kind": "malformed"}, "The LLM's answer was of no use"),
        ({"kind": "status", "code": 401}, "The LLM refuses our key"),
        ({"kind": "status", "code": 402}, "The LLM account has no credit left"),
        ({"kind": "status", "code": 400}, "The LLM does not take our question"),
    ],
    ids=str,
)
async def test_what_no_further_try_mends_is_made_by_rule_at_once(
    desk: Desk, sandbox: LlmSandbox, fault: dict[str, Any], why: str
) -> None:
    await desk.reserved()
    await sandbox.faults(chat=fault)

    built = await desk.build()

    prompt, prompt_by, warnings = await desk.row()
    assert built.warnings == tuple(warnings) == (f"{why}; a rule made the prompt.",)
    assert prompt_by == "rule"
    assert prompt is not None
    assert prompt.startswith("The lighthouse: the picture comes alive")
    assert len(await chats(sandbox)) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "delay", "why"),
    [
        (BUSY, "llm_busy", timedelta(seconds=3), "The LLM is busy"),
        ({"kind": "status", "code": 503}, "llm_unavailable", None, "The LLM is not available"),
        ({"kind": "cut"}, "llm_unavailable", None, "The LLM is not available"),
    ],
    ids=["busy", "down", "cut"],
)
async def test_a_busy_or_absent_llm_is_asked_a_few_times_before_a_rule_answers(
    desk: Desk,
    sandbox: LlmSandbox,
    fault: dict[str, Any],
    kind: str,
    delay: timedelta | None,
    why: str,
) -> None:
    await desk.reserved()
    await sandbox.faults(chat=fault)

    for attempt in range(1, TRIES_MAX):
        with pytest.raises(ApplicationError) as passing:
            await desk.build(attempt=attempt)
        assert (passing.value.type, passing.value.non_retryable) == (kind, False)
        assert passing.value.next_retry_delay == delay
        assert await desk.row() == (None, None, [])
    built = await desk.build(attempt=TRIES_MAX)

    assert built == PromptBuilt(prompt_by="rule", warnings=(f"{why}; a rule made the prompt.",))
    assert len(await chats(sandbox)) == TRIES_MAX == 3


async def test_an_llm_that_recovers_in_time_makes_the_prompt(
    desk: Desk, sandbox: LlmSandbox
) -> None:
    await desk.reserved()
    await sandbox.faults(chat={**BUSY, "times": 1})
    with pytest.raises(ApplicationError):
        await desk.build()

    assert (await desk.build(attempt=2)).prompt_by == "llm"


async def test_a_busy_llm_is_nobodys_quota_and_gives_no_secret_away(
    desk: Desk, sandbox: LlmSandbox
) -> None:
    await desk.reserved()
    await sandbox.faults(chat={**BUSY, "message": f"{KEY} is over its quota"})

    with pytest.raises(ApplicationError) as passing:
        await desk.build()

    error = passing.value
    assert error.type not in set(FailureKind)
    assert str(error) == "llm_busy: The LLM is busy."
    assert error.details == ()
    assert error.__cause__ is None


async def test_without_an_llm_a_rule_makes_the_prompt(
    desk: Desk, inputs: Inputs, sandbox: LlmSandbox
) -> None:
    await desk.reserved()
    without = Desk(desk.pool, PromptActivities(desk.pool, inputs, Writer(None)))

    built = await without.build()

    assert built == PromptBuilt(prompt_by="rule", warnings=(NO_LLM,))
    assert await chats(sandbox) == []


async def test_a_prompt_that_is_too_long_is_cut_and_says_so(desk: Desk) -> None:
    await desk.reserved(characters_max=60)

    built = await desk.build()

    prompt, _, _ = await desk.row()
    assert prompt is not None
    assert 20 < len(prompt) <= 60
    assert built.prompt_by == "llm"
    assert built.warnings == ("The LLM's prompt was cut to the model's 60 characters.",)


async def test_the_callers_prompt_is_only_trimmed(
    desk: Desk, sandbox: LlmSandbox, an_image_to_video: GenerationRequest
) -> None:
    await desk.reserved(an_image_to_video)

    first, second = await desk.build(), await desk.build()

    assert first == second == PromptBuilt(prompt_by="caller")
    assert await desk.row() == ("A  calm\n sea.", "caller", [])
    assert await desk.staging_events() == [{"prompt_by": "caller"}]
    assert await chats(sandbox) == []


@pytest.mark.parametrize(
    ("given", "prompt_by", "prompt"),
    [
        ({"prompt": " She  nods. "}, "caller", "She  nods."),
        ({"scene": {"title": "A long goodbye"}, "prompt": " "}, None, None),
        ({"scene": {"title": "A very long goodbye"}}, "rule", "A very long goodbye. Natural small"),
        ({}, None, None),
    ],
    ids=["caller", "too little", "rule", "nothing"],
)
async def test_an_avatars_prompt_is_the_callers_or_by_rule_or_none(
    desk: Desk,
    sandbox: LlmSandbox,
    given: dict[str, Any],
    prompt_by: str | None,
    prompt: str | None,
) -> None:
    await desk.reserved(an_avatar(**given))

    first, second = await desk.build(), await desk.build()

    text, by, warnings = await desk.row()
    assert first == second == PromptBuilt.model_validate({"prompt_by": prompt_by})
    assert (by, warnings) == (prompt_by, [])
    assert text == prompt or (text or "").startswith(prompt or "-")
    assert await desk.staging_events() == [{"prompt_by": prompt_by}]
    assert await chats(sandbox) == []


async def test_dropped_keys_are_counted_by_where_they_stood(desk: Desk, store: MediaStore) -> None:
    scene = {"title": "Dawn", "mood": 1, "lines": [{"text": "Hi", "volume": 3}]}
    story = {"tone": "calm", "genre": "x", "anime_bible": {"visual_style": {"fps": 24}}}
    await desk.reserved(a_scene(scene=scene, story_context=story))

    built = await desk.build()

    expected = (
        "scene: 2 unknown keys were dropped.",
        "story_context: 2 unknown keys were dropped.",
    )
    read = await Reader(desk.pool, store).read("gen_one")
    assert built.warnings == expected
    assert tuple(read.warnings) == expected


async def test_scene_and_story_are_read_from_the_store(
    desk: Desk, inputs: Inputs, sandbox: LlmSandbox, tmp_path: Path
) -> None:
    scene = {**SCENE.model_dump(), "audio_narration": "The lamp went out.", "extra": 1}
    story = {"anime_bible": STORY.style_bible.model_dump(), "story_content": "long ago " * 9_000}
    await desk.reserved(
        a_scene(
            scene={"media_id": await stored(inputs, tmp_path, scene)},
            story_context={"media_id": await stored(inputs, tmp_path, story)},
        )
    )

    built = await desk.build()

    (chat,) = await chats(sandbox)
    question = chat["messages"][1]["content"]
    told = ["The lighthouse", "The lamp went out.", "golden hour", "long ago"]
    assert [each for each in told if each not in question] == []
    assert built == PromptBuilt(prompt_by="llm", warnings=("scene: 1 unknown key was dropped.",))


@pytest.mark.parametrize(
    ("role", "document", "owner", "told"),
    [
        ("scene", {"title": ""}, "ann", "scene: a title, a description or an image_prompt is"),
        ("story_context", {"lines": 7}, "ann", "scene.lines: Input should be a valid tuple"),
        ("scene", {"title": "Dawn"}, "bob", "is not a media id of this user"),
    ],
    ids=["nothing told", "a story's", "another's"],
)
async def test_a_stored_scene_that_is_none_ends_it_with_what_is_wrong(  # noqa: PLR0913, PLR0917 - columns of the table
    desk: Desk,
    inputs: Inputs,
    tmp_path: Path,
    role: Role,
    document: object,
    owner: str,
    told: str,
) -> None:
    media_id = await stored(inputs, tmp_path, document, owner, role)
    await desk.reserved(a_scene(scene={"media_id": media_id}))

    with pytest.raises(ApplicationError) as refused:
        await desk.build()

    assert (refused.value.type, refused.value.non_retryable) == (FailureKind.INVALID_MEDIA, True)
    assert told in refused.value.message


async def test_a_stored_scene_whose_file_is_gone_ends_it(
    desk: Desk, inputs: Inputs, store: MediaStore, tmp_path: Path
) -> None:
    media_id = await stored(inputs, tmp_path, {"title": "Dawn"})
    await store.delete(await desk.pool.fetchval("SELECT key FROM media"))
    await desk.reserved(a_scene(scene={"media_id": media_id}))

    with pytest.raises(ApplicationError, match=r"^invalid_media: scene: ") as refused:
        await desk.build()

    assert refused.value.non_retryable


async def test_no_connection_is_held_and_heartbeats_go_out_while_the_llm_thinks(
    desk: Desk, inputs: Inputs, sandbox: LlmSandbox, database_url: str
) -> None:
    await desk.reserved()
    await sandbox.faults(chat={"kind": "slow", "delay_s": 20})
    async with connect(settings_for_database(database_url, connections_max=1)) as narrow:
        environment, beaten = ActivityEnvironment(), asyncio.Event()
        environment.info = replace(environment.info, heartbeat_timeout=timedelta(seconds=0.4))
        environment.on_heartbeat = lambda *_: beaten.set()
        prompts = PromptActivities(narrow, inputs, desk.prompts.writer)
        building = asyncio.create_task(
            environment.run(prompts.build_prompt, ForGeneration(generation_id="gen_one"))
        )
        while not await chats(sandbox):
            await asyncio.sleep(0.01)

        row = await narrow.fetchval("SELECT stage FROM generations")

        assert (row, building.done()) == ("prompting", False)
        await asyncio.wait_for(beaten.wait(), 10)
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building


async def test_a_prompt_after_the_end_brings_nothing_back(desk: Desk) -> None:
    await desk.reserved()
    await desk.pool.execute("UPDATE generations SET stage = 'cancelled'")

    await desk.build()

    assert await stage_of(desk.pool, "gen_one") is Stage.CANCELLED
    assert await desk.staging_events() == []
