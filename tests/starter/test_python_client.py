"""The Python client: media in every form, results, updates, limits."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from activities.generations.repository import UnknownGeneration
from starter import GenerationFailed, NotFinished, VideoClient
from starter.handles import NothingToResolve
from starter.sources import MediaSource
from tests.starter.conftest import COFFEE, NOTHING, WAN, Stack
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.requests import Operation
from workflows.contracts.stages import Stage, Status

SMALL: dict[str, Any] = {"resolution": "480p"}


def as_data_uri(path: str) -> str:
    return "data:image/jpeg;base64," + as_base64(path)


def as_base64(path: str) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode()


FORMS: dict[str, Callable[[str], MediaSource]] = {
    "a path": Path,
    "a path as text": str,
    "bytes": lambda path: Path(path).read_bytes(),
    "base64": as_base64,
    "a data URI": as_data_uri,
}


@pytest.mark.parametrize("form", FORMS)
async def test_a_picture_in_any_form_is_the_same_input(
    form: str, client: VideoClient, stack: Stack, user: str
) -> None:
    known = await client.upload(COFFEE, user_id=user)

    request = await client.request(
        Operation.IMAGE_TO_VIDEO, image=FORMS[form](COFFEE), prompt="steam", user_id=user
    )

    assert request.image.model_dump() == {"media_id": known}
    assert (await stack.rows_of(user))["media"] == 1


async def test_an_address_is_kept_for_the_workers_to_fetch(client: VideoClient, user: str) -> None:
    url = "https://example.com/photo.jpg"

    request = await client.request(
        Operation.IMAGE_TO_VIDEO, image=url, prompt="steam", user_id=user
    )

    assert request.image.model_dump() == {"url": url}


@pytest.mark.parametrize("source", ["x" * 5000, "a/" * 2000 + "b.jpg", "nul\0.jpg", "!" * 300])
async def test_text_that_is_no_picture_is_refused(
    source: str, client: VideoClient, stack: Stack, user: str
) -> None:
    with pytest.raises(RequestRefused) as caught:
        await client.image_to_video(source, "steam", user_id=user)

    assert caught.value.failure.kind is FailureKind.INVALID_MEDIA
    assert await stack.rows_of(user) == NOTHING


async def test_a_video_is_waited_for_and_read(client: VideoClient, user: str) -> None:
    handle = await client.image_to_video(COFFEE, "steam rises", user_id=user, **SMALL)

    video = await handle.result(timeout=60)
    content = await handle.read()

    assert (video.status, video.model) == (Status.COMPLETED, WAN)
    assert (video.width, video.height, video.duration_s) == (720, 480, 5.0)
    assert len(content) == video.file_size_bytes
    assert content[4:8] == b"ftyp"


async def test_updates_go_forward_only_and_end_with_the_end(client: VideoClient, user: str) -> None:
    handle = await client.image_to_video(COFFEE, "steam rises", user_id=user, **SMALL)

    seen = [update async for update in handle.updates(interval_s=0.05)]

    percents = [update.percent for update in seen]
    assert percents == sorted(percents)
    assert (seen[-1].stage, seen[-1].percent, seen[-1].is_estimate) == (
        Stage.COMPLETED,
        100,
        False,
    )
    assert all(update.is_estimate for update in seen[:-1])


async def test_the_one_entry_starts_the_operation_that_it_names(
    idle_client: VideoClient, user: str
) -> None:
    handle = await idle_client.ai_video_generate(
        "image-to-video", COFFEE, "steam", user_id=user, idempotency_key="one", **SMALL
    )
    same = await idle_client.image_to_video(
        COFFEE, "steam", user_id=user, idempotency_key="one", **SMALL
    )

    assert handle.id == same.id


async def test_the_one_entry_refuses_text_to_video_by_name(client: VideoClient, user: str) -> None:
    with pytest.raises(RequestRefused, match="'text-to-video'; allowed: image-to-video, "):
        await client.ai_video_generate("text-to-video", COFFEE, "steam", user_id=user)


async def test_the_one_entry_refuses_text_to_video_without_a_picture_too(
    client: VideoClient, user: str
) -> None:
    with pytest.raises(RequestRefused, match="'text-to-video'; allowed: image-to-video, "):
        await client.ai_video_generate("text-to-video", prompt="steam", user_id=user)
    with pytest.raises(RequestRefused, match="image: missing"):
        await client.ai_video_generate("image-to-video", prompt="steam", user_id=user)


@pytest.mark.parametrize("source", [5, ["a"], {"media_id": "nope"}, {"path": "/etc/passwd"}])
async def test_what_is_no_media_is_refused_by_its_field(
    source: Any, client: VideoClient, stack: Stack, user: str
) -> None:
    with pytest.raises(RequestRefused, match=r"^image: .*; allowed: ") as caught:
        await client.image_to_video(source, "steam", user_id=user)

    assert caught.value.failure.kind is FailureKind.INVALID_MEDIA
    assert await stack.rows_of(user) == NOTHING


async def test_media_may_be_named_as_on_the_wire(client: VideoClient, user: str) -> None:
    known = await client.upload(COFFEE, user_id=user)

    request = await client.request(
        Operation.IMAGE_TO_VIDEO, image={"media_id": known}, prompt="steam", user_id=user
    )

    assert request.image.model_dump() == {"media_id": known}


async def test_a_result_that_is_not_there_in_time_says_where_it_is(
    client: VideoClient, stack: Stack, user: str
) -> None:
    async with stack.faults({"job": {"kind": "hang"}}):
        handle = await client.image_to_video(COFFEE, "steam", user_id=user, **SMALL)
        with pytest.raises(NotFinished) as caught:
            await handle.result(timeout=0.2)
        with pytest.raises(NotFinished):
            await handle.read()

    assert caught.value.progress.stage not in {Stage.COMPLETED, Stage.FAILED}
    assert (await handle.result(timeout=60)).status is Status.COMPLETED


async def test_a_failure_is_raised_with_its_kind_and_the_money(
    client: VideoClient, stack: Stack, user: str
) -> None:
    async with stack.faults({"job": {"kind": "failed"}}):
        handle = await client.image_to_video(COFFEE, "steam", user_id=user, **SMALL)
        with pytest.raises(GenerationFailed) as caught:
            await handle.result(timeout=60)

    assert caught.value.exit_code == 1
    assert caught.value.failure.money != ""
    assert (await client.usage(user)).settled_usd_micros == 0


async def test_a_cancel_is_answered_once(client: VideoClient, stack: Stack, user: str) -> None:
    async with stack.faults({"job": {"kind": "hang"}}):
        handle = await client.image_to_video(COFFEE, "steam", user_id=user, **SMALL)

        assert await handle.cancel() is True
        with pytest.raises(GenerationFailed) as caught:
            await handle.result(timeout=60)
        assert await handle.cancel() is False
        assert await handle.resume() is False

    assert caught.value.failure.kind is FailureKind.CANCELLED


async def test_an_estimate_measures_files_and_stores_none(
    client: VideoClient, stack: Stack, user: str
) -> None:
    estimate = await client.estimate_for(
        Operation.IMAGE_TO_VIDEO, image=COFFEE, prompt="steam", user_id=user
    )

    assert (estimate.quote.cost_usd_micros, estimate.allowed) == (500_000, True)
    assert await stack.rows_of(user) == NOTHING


async def test_an_estimate_and_the_reservation_are_the_same_quote(
    client: VideoClient, user: str
) -> None:
    request = await client.request(
        Operation.IMAGE_TO_VIDEO, image=COFFEE, prompt="steam", user_id=user, **SMALL
    )
    by_request = await client.estimate(request)
    by_files = await client.estimate_for(
        Operation.IMAGE_TO_VIDEO, image=COFFEE, prompt="steam", user_id=user, **SMALL
    )

    video = await (await client.start(request)).result(timeout=60)

    assert by_request.quote == by_files.quote
    assert video.quoted_usd_micros == by_files.quote.cost_usd_micros


async def test_the_callers_own_limit_is_told_by_the_estimate(
    client: VideoClient, user: str
) -> None:
    estimate = await client.estimate_for(
        Operation.IMAGE_TO_VIDEO,
        image=COFFEE,
        prompt="steam",
        user_id=user,
        max_cost_usd_micros=1,
    )

    assert estimate.allowed is False
    assert estimate.refusal is not None
    assert estimate.refusal.kind is FailureKind.MAX_COST_EXCEEDED


async def test_a_handle_of_another_user_is_none(idle_client: VideoClient, user: str) -> None:
    handle = await idle_client.image_to_video(COFFEE, "steam", user_id=user, **SMALL)

    with pytest.raises(UnknownGeneration):
        await idle_client.get(handle.id, user_id=f"{user}-other")
    with pytest.raises(UnknownGeneration):
        await idle_client.events(handle.id, user_id=f"{user}-other")


async def test_what_is_not_unresolved_is_not_resolved(idle_client: VideoClient, user: str) -> None:
    handle = await idle_client.image_to_video(COFFEE, "steam", user_id=user, **SMALL)

    with pytest.raises(NothingToResolve, match="not unresolved"):
        await handle.resolve("give_up")
