"""The three operations live the same life; each has its own prompt, and none needs its request."""

from typing import Any

import pytest
from temporalio.api.history.v1 import HistoryEvent

from tests.workflows.scripted import PROMPT, VIDEO, Gate, Script, a_request, refused, terms_of
from tests.workflows.theatre import (
    PAYLOAD_BYTES_MAX,
    STEPS,
    Theatre,
    cancelled,
    failed,
    history,
    payloads,
    reaches,
    saw_the_cancel,
)
from workflows.contracts.activities import PredictionEnd, PromptBuilt, Reserve
from workflows.contracts.failures import FailureKind
from workflows.contracts.queues import OPERATION, STATUS
from workflows.contracts.requests import REQUESTS, Operation
from workflows.contracts.stages import Stage

CLAIMED = {"claimed": True}
EVERY = pytest.mark.parametrize("operation", Operation)
STORY_BYTES_MAX = 20_000
"""A scene and a story of at most 16 kB, and what stands around them."""

WHO_WRITES = {
    Operation.IMAGE_TO_VIDEO: "the caller's prompt",
    Operation.SCENE_ANIMATION: "an LLM writes the prompt from scene and story",
    Operation.TALKING_AVATAR: "the caller's prompt, or one by rule",
}


@EVERY
async def test_the_steps_run_once_and_in_order(theatre: Theatre, operation: Operation) -> None:
    script = Script()

    handle = await theatre.start(script, operation=operation)
    result = await handle.result()

    request = script.last("ledger.reserve", Reserve).request
    assert script.calls == STEPS
    assert isinstance(request, REQUESTS[operation])
    assert (
        request.model_dump(mode="json", exclude_defaults=True).items()
        >= {name: value for name, value in a_request(operation).items() if name != "scene"}.items()
    )
    assert result.generation_id == handle.id


@EVERY
async def test_the_web_ui_is_told_who_writes_the_prompt(
    theatre: Theatre, operation: Operation
) -> None:
    handle = await theatre.start(Script(), operation=operation)
    await handle.result()

    told = [_summary_of(event) for event in await history(handle)]
    assert told.count(f'"{WHO_WRITES[operation]}"') == 1
    assert (await handle.describe()).typed_search_attributes[OPERATION] == operation


@EVERY
async def test_a_generation_that_was_claimed_before_needs_no_request(
    theatre: Theatre, operation: Operation
) -> None:
    script = Script()

    handle = await theatre.start(script, CLAIMED, operation=operation)
    result = await handle.result()

    assert script.last("ledger.reserve", Reserve).request is None
    assert script.calls == STEPS
    assert result.generation_id == handle.id


@EVERY
async def test_a_claimed_generation_that_is_refused_is_closed_by_the_ledger(
    theatre: Theatre, operation: Operation
) -> None:
    script = Script().on("ledger.reserve", refused(FailureKind.INVALID_MEDIA))

    handle = await theatre.start(script, CLAIMED, operation=operation)
    told = await failed(handle)

    assert told.kind is FailureKind.INVALID_MEDIA
    assert script.closed() == (FailureKind.INVALID_MEDIA, "release")


@EVERY
async def test_a_refusal_at_the_quota_check_ends_failed_and_closed(
    theatre: Theatre, operation: Operation
) -> None:
    script = Script().on("ledger.reserve", refused(FailureKind.QUOTA_EXCEEDED))

    handle = await theatre.start(script, operation=operation)
    told = await failed(handle)

    assert told.kind is FailureKind.QUOTA_EXCEEDED
    assert script.calls == ["ledger.reserve", "ledger.close"]


@EVERY
async def test_a_cancel_while_the_provider_works_withdraws_the_job(
    theatre: Theatre, operation: Operation
) -> None:
    script = Script().on("provider.poll", Gate(PredictionEnd(state="running")))
    handle = await theatre.start(script, operation=operation)
    await reaches(handle, Stage.GENERATING)

    await handle.cancel()
    await cancelled(handle)

    assert script.closed() == (FailureKind.CANCELLED, "provisional")
    assert (await handle.describe()).typed_search_attributes[STATUS] == "cancelled"


@EVERY
async def test_a_parked_generation_goes_on_at_once_when_it_is_resumed(
    theatre: Theatre, operation: Operation
) -> None:
    script = Script().on("provider.poll", refused(FailureKind.PROVIDER_REFUSED_KEY))
    script.on("provider.check", PredictionEnd(state="completed"))
    handle = await theatre.start(script, operation=operation)
    await reaches(handle, Stage.TIMED_OUT)

    await handle.signal("resume")
    await handle.result()

    assert script.count("provider.submit") == 1


async def test_the_result_says_who_made_the_prompt_and_what_there_is_to_say_of_it(
    theatre: Theatre,
) -> None:
    built = PromptBuilt(prompt_by="rule", warnings=("The LLM refused; a rule made the prompt.",))
    script = Script().on("prompts.build_prompt", built)

    handle = await theatre.start(script, operation=Operation.SCENE_ANIMATION)
    result = await handle.result()

    assert result.prompt_by == "rule"
    assert result.warnings == (*built.warnings, *VIDEO.warnings)


@EVERY
async def test_the_history_is_small(theatre: Theatre, operation: Operation) -> None:
    handle = await theatre.start(Script(), operation=operation)
    await handle.result()

    sizes = [len(each.data) for event in await history(handle) for each in payloads(event)]
    assert len(sizes) > len(STEPS)
    assert max(sizes) <= PAYLOAD_BYTES_MAX


async def test_only_the_input_and_its_reservation_hold_scene_and_story(theatre: Theatre) -> None:
    story = {"outline": "x" * 15_000, "premise": PROMPT}
    request = a_request(Operation.SCENE_ANIMATION, story_context=story)

    handle = await theatre.start(Script(), request, operation=Operation.SCENE_ANIMATION)
    await handle.result()

    large: list[Any] = [
        len(each.data)
        for event in await history(handle)
        for each in payloads(event)
        if len(each.data) > PAYLOAD_BYTES_MAX
    ]
    assert len(large) == 2
    assert max(large) <= STORY_BYTES_MAX


async def test_a_claimed_generation_has_nothing_of_its_request_in_its_history(
    theatre: Theatre,
) -> None:
    handle = await theatre.start(Script(), CLAIMED, operation=Operation.SCENE_ANIMATION)
    await handle.result()

    sizes = [len(each.data) for event in await history(handle) for each in payloads(event)]
    assert max(sizes) <= PAYLOAD_BYTES_MAX


@EVERY
async def test_a_cancel_at_the_quota_check_waits_for_it_and_gives_the_hold_back(
    theatre: Theatre, operation: Operation
) -> None:
    generation_id = f"gen_cancelled-{operation}"
    reserve = Gate(terms_of(generation_id, operation=operation))
    script = Script().on("ledger.reserve", reserve)
    handle = await theatre.start_as(generation_id, script, operation=operation)
    await reserve.entered.wait()

    await handle.cancel()
    await saw_the_cancel(handle)
    reserve.opened.set()
    await cancelled(handle)

    assert script.calls == ["ledger.reserve", "ledger.close"]
    assert script.closed() == (FailureKind.CANCELLED, "release")


def _summary_of(event: HistoryEvent) -> str:
    return event.user_metadata.summary.data.decode()
