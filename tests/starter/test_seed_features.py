"""The requirement table "Feature-Specific Requirements": a test a cell, named by row and column.

A cell that says no is a refusal which names the field and what is taken instead.
"""

import base64
from pathlib import Path
from typing import Any

import pytest

from starter import VideoClient
from tests.starter.columns import COLUMNS, INFINITE_TALK, KLING, SMALL, WAN, Column, sent
from tests.starter.conftest import EXAMPLES, Stack
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.results import Generation

USER = "features"


@pytest.fixture(scope="module")
async def generations(client: VideoClient, stack: Stack) -> dict[str, Generation]:
    """Each column with every parameter that it takes."""
    async with stack.faults(SMALL):
        handles = [await each.start(client, f"{USER}-{each.operation.value}") for each in COLUMNS]
        return {
            each.title: await handle.result(timeout=90)
            for each, handle in zip(COLUMNS, handles, strict=True)
        }


@pytest.fixture(scope="module")
async def inputs(stack: Stack, generations: dict[str, Generation]) -> dict[str, dict[str, Any]]:
    """What the provider was sent for each column."""
    return {title: await sent(stack, one) for title, one in generations.items()}


async def refusal(client: VideoClient, column: Column, **changes: Any) -> str:
    """What the client says to a column with other fields; nothing is stored or started."""
    with pytest.raises(RequestRefused) as refused:
        await client.request(column.operation, user_id=USER, **{**column.fields, **changes})
    assert refused.value.failure.kind is FailureKind.INVALID_REQUEST
    return refused.value.failure.message


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.title)
async def test_image_input_as_bytes_or_base64(column: Column, client: VideoClient) -> None:
    content = Path(column.fields["image"]).read_bytes()
    forms = (content, base64.b64encode(content).decode())

    requests = [
        await client.request(column.operation, user_id=USER, **{**column.fields, "image": form})
        for form in forms
    ]

    assert requests[0].image == requests[1].image


async def test_text_prompt_of_wan_is_the_callers(
    generations: dict[str, Generation], inputs: dict[str, dict[str, Any]]
) -> None:
    assert generations[WAN.title].prompt_by == "caller"
    assert inputs[WAN.title]["prompt"] == WAN.fields["prompt"]


async def test_text_prompt_of_kling_is_generated_by_the_llm(
    generations: dict[str, Generation], inputs: dict[str, dict[str, Any]]
) -> None:
    generation = generations[KLING.title]

    assert generation.prompt_by == "llm"
    assert generation.prompt
    assert inputs[KLING.title]["prompt"] == generation.prompt


@pytest.mark.parametrize("prompt", ["she speaks with a smile", None])
async def test_text_prompt_of_infinite_talk_is_optional(
    prompt: str | None, client: VideoClient, stack: Stack, user: str
) -> None:
    async with stack.faults(SMALL):
        handle = await INFINITE_TALK.start(client, user, prompt=prompt)
        generation = await handle.result(timeout=90)

    assert generation.prompt == prompt
    assert (await sent(stack, generation)).get("prompt") in ({prompt} if prompt else {None, ""})


async def test_audio_input_of_wan_is_optional(
    client: VideoClient, inputs: dict[str, dict[str, Any]]
) -> None:
    without = await client.request(WAN.operation, user_id=USER, **{**WAN.fields, "audio": None})

    assert inputs[WAN.title]["audio"].startswith("http")
    assert "audio" not in without.media


async def test_audio_input_of_kling_is_refused(client: VideoClient) -> None:
    told = await refusal(client, KLING, audio=EXAMPLES / "speech.wav")

    assert told.startswith("audio: it is not taken; allowed: ")


async def test_audio_input_of_infinite_talk_is_required(client: VideoClient) -> None:
    assert await refusal(client, INFINITE_TALK, audio=None) == "audio: missing."


@pytest.mark.parametrize("column", [WAN, KLING], ids=lambda column: column.title)
@pytest.mark.parametrize("duration_s", [5, 10])
async def test_duration_control_is_5_or_10_s(
    column: Column, duration_s: int, client: VideoClient
) -> None:
    fields = {**column.fields, "duration_s": duration_s}

    estimate = await client.estimate_for(column.operation, user_id=USER, **fields)

    assert estimate.quote.duration_s == duration_s
    told = await refusal(client, column, duration_s=7)
    assert told == "duration_s: 7; allowed: one of 5, 10."


async def test_duration_control_of_infinite_talk_is_driven_by_the_audio(
    client: VideoClient, generations: dict[str, Generation]
) -> None:
    assert generations[INFINITE_TALK.title].duration_s == pytest.approx(4.79, abs=0.1)
    told = await refusal(client, INFINITE_TALK, duration_s=5)
    assert told.startswith("duration_s: it is not taken")


@pytest.mark.parametrize("resolution", ["480p", "720p", "1080p"])
async def test_resolution_options_of_wan(resolution: str, client: VideoClient) -> None:
    fields = {**WAN.fields, "resolution": resolution}

    estimate = await client.estimate_for(WAN.operation, user_id=USER, **fields)

    assert f"{min(estimate.quote.width, estimate.quote.height)}p" == resolution


async def test_resolution_options_of_kling_are_the_models_own(
    client: VideoClient, generations: dict[str, Generation]
) -> None:
    assert generations[KLING.title].resolution == "720p"
    told = await refusal(client, KLING, resolution="1080p")
    assert told.startswith("resolution: it is not taken")


@pytest.mark.parametrize("resolution", ["480p", "720p"])
async def test_resolution_options_of_infinite_talk(resolution: str, client: VideoClient) -> None:
    fields = {**INFINITE_TALK.fields, "resolution": resolution}

    estimate = await client.estimate_for(INFINITE_TALK.operation, user_id=USER, **fields)

    assert estimate.quote.resolution == resolution
    told = await refusal(client, INFINITE_TALK, resolution="1080p")
    assert told == "resolution: '1080p'; allowed: one of 480p, 720p."


TAKEN = [
    (WAN, "negative_prompt", "negative_prompt"),
    (KLING, "negative_prompt", "negative_prompt"),
    (WAN, "seed", "seed"),
    (INFINITE_TALK, "seed", "seed"),
    (KLING, "guidance_scale", "guidance_scale"),
    (WAN, "prompt_expansion", "enable_prompt_expansion"),
]
REFUSED = [
    (INFINITE_TALK, "negative_prompt", "people"),
    (KLING, "seed", 7),
    (WAN, "guidance_scale", 0.3),
    (INFINITE_TALK, "guidance_scale", 0.3),
    (WAN, "mask_image", EXAMPLES / "portrait.jpg"),
    (KLING, "mask_image", EXAMPLES / "portrait.jpg"),
    (KLING, "prompt_expansion", True),
    (INFINITE_TALK, "prompt_expansion", True),
]


@pytest.mark.parametrize(
    ("column", "field", "sent_as"), TAKEN, ids=[f"{one[1]}-{one[0].title}" for one in TAKEN]
)
async def test_a_feature_that_a_column_has_reaches_the_provider(
    column: Column, field: str, sent_as: str, inputs: dict[str, dict[str, Any]]
) -> None:
    assert inputs[column.title][sent_as] == column.fields[field]


async def test_mask_image_of_infinite_talk_reaches_the_provider(
    inputs: dict[str, dict[str, Any]],
) -> None:
    assert inputs[INFINITE_TALK.title]["mask_image"].startswith("http")


@pytest.mark.parametrize(
    ("column", "field", "value"), REFUSED, ids=[f"{one[1]}-{one[0].title}" for one in REFUSED]
)
async def test_a_feature_that_a_column_lacks_is_refused_by_name(
    column: Column, field: str, value: object, client: VideoClient
) -> None:
    told = await refusal(client, column, **{field: value})

    assert told.startswith(f"{field}: it is not taken; allowed: ")
