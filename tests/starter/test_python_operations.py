"""All operations by the Python client: the one entry, stories in every form, `on_progress`."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from activities.generations.repository import UnknownGeneration
from starter import GenerationHandle, NotFinished, VideoClient
from starter.tellings import StorySource
from tests.starter.conftest import (
    CHELSEA,
    COFFEE,
    INFINITETALK,
    KLING,
    NOTHING,
    PORTRAIT,
    SPEECH,
    WAN,
    Stack,
)
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import MediaById
from workflows.contracts.requests import Operation, SceneAnimationRequest
from workflows.contracts.stages import Stage, Status
from workflows.contracts.stories import Scene, StoryContext

SCENE = {"scene_number": 3, "title": "The lighthouse", "description": "Rain beats on the lamp"}
STORY = {"setting": "a northern island", "story_tone": "quiet dread"}
SMALL: dict[str, Any] = {"resolution": "480p"}

ASKED: dict[Operation, dict[str, Any]] = {
    Operation.IMAGE_TO_VIDEO: {"image": COFFEE, "prompt": "steam", **SMALL},
    Operation.SCENE_ANIMATION: {"image": CHELSEA, "scene": SCENE, "story_context": STORY},
    Operation.TALKING_AVATAR: {"image": PORTRAIT, "audio": SPEECH},
}


async def directly(client: VideoClient, operation: Operation, **fields: Any) -> GenerationHandle:
    match operation:
        case Operation.IMAGE_TO_VIDEO:
            return await client.image_to_video(**fields)
        case Operation.SCENE_ANIMATION:
            return await client.animate_scene(**fields)
        case Operation.TALKING_AVATAR:
            return await client.talking_avatar(**fields)


@pytest.mark.parametrize("operation", Operation)
async def test_the_one_entry_asks_for_the_same_as_the_operations_own_method(
    operation: Operation, idle_client: VideoClient, user: str
) -> None:
    fields = {"user_id": user, "idempotency_key": "one", **ASKED[operation]}

    handle = await idle_client.ai_video_generate(operation.value, **fields)
    same = await directly(idle_client, operation, **fields)

    assert handle.id == same.id
    assert (await handle.read_generation()).operation is operation


@pytest.mark.parametrize("name", ["text-to-video", "image_to_video", "", "scene-animation "])
async def test_the_one_entry_refuses_what_it_does_not_know_by_name(
    name: str, idle_client: VideoClient, user: str
) -> None:
    with pytest.raises(RequestRefused) as caught:
        await idle_client.ai_video_generate(name, COFFEE, "steam", user_id=user)

    names = "image-to-video, scene-animation, talking-avatar"
    assert caught.value.failure.message == f"operation_type: {name!r}; allowed: {names}."


class Wrong(NamedTuple):
    """A field of another operation, with one that the refusal names as taken."""

    operation: Operation
    name: str
    value: Any
    taken: str


OF_ANOTHER = (
    Wrong(Operation.IMAGE_TO_VIDEO, "guidance_scale", 0.5, "prompt_expansion"),
    Wrong(Operation.IMAGE_TO_VIDEO, "mask_image", PORTRAIT, "prompt_expansion"),
    Wrong(Operation.IMAGE_TO_VIDEO, "scene", SCENE, "prompt_expansion"),
    Wrong(Operation.SCENE_ANIMATION, "prompt", "rain", "guidance_scale"),
    Wrong(Operation.SCENE_ANIMATION, "audio", SPEECH, "guidance_scale"),
    Wrong(Operation.SCENE_ANIMATION, "seed", 7, "guidance_scale"),
    Wrong(Operation.TALKING_AVATAR, "duration_s", 5, "mask_image"),
    Wrong(Operation.TALKING_AVATAR, "negative_prompt", "x", "mask_image"),
    Wrong(Operation.TALKING_AVATAR, "prompt_expansion", True, "mask_image"),  # noqa: FBT003 - a value
)


@pytest.mark.parametrize("wrong", OF_ANOTHER, ids=lambda wrong: f"{wrong.operation}-{wrong.name}")
async def test_a_parameter_of_another_operation_is_refused_with_those_it_takes(
    wrong: Wrong, idle_client: VideoClient, idle_stack: Stack, user: str
) -> None:
    fields = ASKED[wrong.operation] | {wrong.name: wrong.value}

    with pytest.raises(RequestRefused) as caught:
        await directly(idle_client, wrong.operation, user_id=user, **fields)

    told = caught.value.failure
    assert told.kind is FailureKind.INVALID_REQUEST
    assert told.message.startswith(f"{wrong.name}: it is not taken; allowed: ")
    assert f", {wrong.taken}, " in told.message
    assert await idle_stack.rows_of(user) == NOTHING


@pytest.mark.parametrize("scale", [1.5, -0.01, float("nan")])
async def test_a_guidance_scale_outside_of_its_limits_is_refused_not_clamped(
    scale: float, idle_client: VideoClient, idle_stack: Stack, user: str
) -> None:
    with pytest.raises(RequestRefused, match=f"guidance_scale: {scale}"):
        await idle_client.animate_scene(CHELSEA, SCENE, user_id=user, guidance_scale=scale)

    assert await idle_stack.rows_of(user) == NOTHING


class Quoted(NamedTuple):
    """What an operation costs by default."""

    model: str
    duration_s: float
    cost_usd_micros: int


QUOTES = {
    Operation.IMAGE_TO_VIDEO: Quoted(WAN, 5.0, 250_000),
    Operation.SCENE_ANIMATION: Quoted(KLING, 5.0, 210_000),
    Operation.TALKING_AVATAR: Quoted(INFINITETALK, 4.79, 150_000),
}


@pytest.mark.parametrize("operation", Operation)
async def test_an_estimate_of_each_operation_measures_files_and_stores_none(
    operation: Operation, idle_client: VideoClient, idle_stack: Stack, user: str
) -> None:
    expected = QUOTES[operation]

    estimate = await idle_client.estimate_for(operation, user_id=user, **ASKED[operation])

    quote = estimate.quote
    assert (quote.model, quote.cost_usd_micros) == (expected.model, expected.cost_usd_micros)
    assert quote.duration_s == pytest.approx(expected.duration_s, abs=0.01)
    assert estimate.allowed is True
    assert await idle_stack.rows_of(user) == NOTHING


# Scenes and stories


def in_a_file(folder: Path, name: str, document: dict[str, Any]) -> Path:
    path = folder / name
    path.write_text(json.dumps(document))
    return path


FORMS: dict[str, Callable[[Path], tuple[StorySource, StorySource]]] = {
    "fields": lambda _: (SCENE, STORY),
    "models": lambda _: (Scene.model_validate(SCENE), StoryContext.model_validate(STORY)),
    "files": lambda at: (in_a_file(at, "scene", SCENE), in_a_file(at, "story", STORY)),
    "names of files": lambda at: (
        str(in_a_file(at, "med_scene.json", SCENE)),
        str(in_a_file(at, "story.json", STORY)),
    ),
}


@pytest.mark.parametrize("form", FORMS)
async def test_scene_and_story_in_any_form_are_the_same_request(
    form: str, idle_client: VideoClient, user: str, tmp_path: Path
) -> None:
    scene, story = FORMS[form](tmp_path)

    request = await idle_client.request(
        Operation.SCENE_ANIMATION, image=CHELSEA, scene=scene, story_context=story, user_id=user
    )

    assert isinstance(request, SceneAnimationRequest)
    assert request.scene == Scene.model_validate(SCENE)
    assert request.story_context == StoryContext.model_validate(STORY)


async def test_a_story_too_large_for_a_request_is_stored_and_named_by_its_id(
    idle_client: VideoClient, idle_stack: Stack, user: str
) -> None:
    story = STORY | {"story_content": "The lamp turned. " * 2000}

    request = await idle_client.request(
        Operation.SCENE_ANIMATION, image=CHELSEA, scene=SCENE, story_context=story, user_id=user
    )

    assert isinstance(request, SceneAnimationRequest)
    assert request.scene == Scene.model_validate(SCENE)
    assert isinstance(request.story_context, MediaById)
    assert (await idle_stack.rows_of(user))["media"] == 2
    stored = await idle_client.inputs.document(
        user, request.story_context.media_id, "story_context"
    )
    assert stored["story_content"] == story["story_content"]


async def test_an_uploaded_scene_is_an_input_by_its_id(
    idle_client: VideoClient, user: str, tmp_path: Path
) -> None:
    path = in_a_file(tmp_path, "scene.json", SCENE)
    media_id = await idle_client.upload(path, user_id=user, role="scene")

    request = await idle_client.request(
        Operation.SCENE_ANIMATION, image=CHELSEA, scene=media_id, user_id=user
    )

    assert isinstance(request, SceneAnimationRequest)
    assert request.scene == MediaById(media_id=media_id)


# Progress, as callers of the old callback know it


async def test_on_progress_is_told_of_every_change_up_to_the_end(
    client: VideoClient, user: str
) -> None:
    seen: list[tuple[int, str]] = []
    handle = await client.image_to_video(COFFEE, "steam", user_id=user, **SMALL)

    video = await handle.result(
        timeout=60, on_progress=lambda percent, message: seen.append((percent, message))
    )

    percents = [percent for percent, _ in seen]
    assert video.status is Status.COMPLETED
    assert percents == sorted(percents)
    assert seen[-1] == (100, "Done")
    assert len(seen) == len(set(seen)) > 1


async def test_on_progress_may_be_async_and_is_awaited(client: VideoClient, user: str) -> None:
    seen: list[int] = []

    async def tell(percent: int, message: str) -> None:
        assert message
        await asyncio.sleep(0)
        seen.append(percent)

    handle = await client.image_to_video(COFFEE, "steam", user_id=user, **SMALL)
    await handle.result(timeout=60, on_progress=tell)

    assert seen[-1] == 100


@pytest.mark.parametrize("error", [ValueError("full"), TimeoutError("slow")])
async def test_what_on_progress_raises_reaches_the_caller_and_the_generation_goes_on(
    error: Exception, client: VideoClient, user: str
) -> None:
    def tell(_percent: int, _message: str) -> None:
        raise error

    handle = await client.image_to_video(COFFEE, "steam", user_id=user, **SMALL)
    with pytest.raises(type(error)) as caught:
        await handle.result(timeout=60, on_progress=tell)

    assert caught.value is error
    assert (await handle.result(timeout=60)).status is Status.COMPLETED


async def test_on_progress_that_takes_too_long_ends_with_the_timeout(
    idle_client: VideoClient, user: str
) -> None:
    async def tell(_percent: int, _message: str) -> None:
        await asyncio.Event().wait()

    handle = await idle_client.image_to_video(COFFEE, "steam", user_id=user, **SMALL)
    with pytest.raises(NotFinished) as caught:
        await handle.result(timeout=0.2, on_progress=tell)

    assert caught.value.progress.stage is Stage.ACCEPTED


# Resume


async def test_a_parked_generation_is_found_by_its_prediction_resumed_and_waited_for(
    client: VideoClient, stack: Stack, user: str
) -> None:
    submits = await stack.submits()
    async with stack.faults({"poll": {"kind": "status", "code": 401}}):
        started = await client.talking_avatar(PORTRAIT, SPEECH, user_id=user)
        with pytest.raises(NotFinished) as parked:
            await started.result(timeout=60)
    prediction_id = (await started.read_generation()).prediction_id
    assert prediction_id is not None

    with pytest.raises(UnknownGeneration):
        await client.get(prediction_id, user_id=f"{user}-other")
    handle = await client.get(prediction_id, user_id=user)
    resumed = await handle.resume()
    video = await handle.result(timeout=60)

    assert parked.value.progress.stage is Stage.TIMED_OUT
    assert (handle.id, resumed) == (started.id, True)
    assert (video.status, video.prediction_id) == (Status.COMPLETED, prediction_id)
    assert await stack.submits() == submits + 1
