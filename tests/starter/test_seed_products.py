"""The "Testing Recommendations": every box of every product, as a test that names both."""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import av
import pytest

from starter import GenerationFailed, VideoClient
from tests.starter.columns import INFINITE_TALK, KLING, SMALL, WAN, Column, nothing_allowed, sent
from tests.starter.conftest import Stack
from workflows.contracts.failures import FailureKind
from workflows.contracts.requests import Source
from workflows.contracts.results import Generation
from workflows.contracts.stages import Status


class Use(NamedTuple):
    """An operation as one product uses it."""

    product: str
    source: Source
    column: Column

    @property
    def title(self) -> str:
        return f"{self.product}: {self.column.title}"

    @property
    def user_id(self) -> str:
        return f"{self.source.value}-{self.column.operation.value}"

    async def start(self, client: VideoClient, user_id: str) -> Any:
        return await self.column.start(client, user_id, source=self.source)


IMAGE_STUDIO = Use("Image Studio", Source.IMAGE_STUDIO, WAN)
VIDEO_STUDIO = Use("Video Studio", Source.VIDEO_STUDIO, WAN)
STORY_KLING = Use("Story Writer", Source.STORY_WRITER, KLING)
STORY_TALK = Use("Story Writer", Source.STORY_WRITER, INFINITE_TALK)
PODCAST = Use("Podcast Maker", Source.PODCAST_MAKER, INFINITE_TALK)
USES = (IMAGE_STUDIO, VIDEO_STUDIO, STORY_KLING, STORY_TALK, PODCAST)
STUDIOS = (IMAGE_STUDIO, VIDEO_STUDIO)


def uses(*chosen: Use) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("use", chosen, ids=lambda use: use.title)


@pytest.fixture(scope="module")
async def made(client: VideoClient) -> dict[str, Generation]:
    """One finished generation of every use."""
    handles = [await use.start(client, use.user_id) for use in USES]
    finished = await asyncio.gather(*(handle.result(timeout=120) for handle in handles))
    return {use.title: one for use, one in zip(USES, finished, strict=True)}


@uses(*USES)
async def test_generation_works(use: Use, made: dict[str, Generation]) -> None:
    generation = made[use.title]

    assert generation.status is Status.COMPLETED
    assert (generation.source, generation.operation) == (use.source, use.column.operation)
    assert generation.duration_s == pytest.approx(use.column.duration_s, abs=0.1)


@uses(*STUDIOS)
async def test_all_parameters_work(use: Use, made: dict[str, Generation], stack: Stack) -> None:
    inputs = await sent(stack, made[use.title])

    given = use.column.fields
    assert inputs["prompt"] == given["prompt"]
    assert inputs["duration"] == given["duration_s"]
    assert inputs["resolution"] == given["resolution"]
    assert inputs["negative_prompt"] == given["negative_prompt"]
    assert inputs["seed"] == given["seed"]
    assert {"image", "audio"} <= inputs.keys()


@uses(*USES)
async def test_file_saving_works(use: Use, made: dict[str, Generation]) -> None:
    generation = made[use.title]
    assert generation.file_path is not None

    with av.open(generation.file_path) as video:
        frames = sum(1 for _ in video.decode(video=0))

    assert frames > 0
    assert Path(generation.file_path).stat().st_size == generation.file_size_bytes


@uses(*USES)
async def test_asset_library_integration_works(
    use: Use, made: dict[str, Generation], client: VideoClient
) -> None:
    (asset,) = await client.assets(user_id=use.user_id, source=use.source)

    assert asset.asset_id == made[use.title].asset_id
    assert use.source in asset.tags
    assert asset.title


@uses(*USES)
async def test_pre_flight_validation_blocks_exceeded_limits(
    use: Use, client: VideoClient, stack: Stack, user: str
) -> None:
    before = await stack.submits()

    async with nothing_allowed(stack, user):
        handle = await use.start(client, user)
        with pytest.raises(GenerationFailed) as refused:
            await handle.result(timeout=60)

    assert refused.value.failure.kind is FailureKind.QUOTA_EXCEEDED
    assert await stack.submits() == before


@uses(*USES)
async def test_usage_tracking_works(
    use: Use, made: dict[str, Generation], client: VideoClient
) -> None:
    usage = await client.usage(use.user_id)

    assert made[use.title].cost_usd_micros == use.column.cost_usd_micros
    assert (usage.videos_settled, usage.settled_usd_micros) == (1, use.column.cost_usd_micros)


async def test_async_polling_works_for_the_podcast_maker(
    client: VideoClient, stack: Stack, user: str
) -> None:
    seen: list[int] = []

    async with stack.faults(SMALL), asyncio.timeout(90):
        handle = await PODCAST.start(client, user)
        while (progress := await handle.progress()).stage.value != "completed":
            seen.append(progress.percent)
            await asyncio.sleep(0.1)

    assert seen == sorted(seen)
    assert (await handle.result(timeout=5)).status is Status.COMPLETED
