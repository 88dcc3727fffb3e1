"""The columns of the requirement tables that this project was created from, as requests."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from starter import GenerationHandle, VideoClient
from tests.starter.conftest import EXAMPLES, Stack
from workflows.contracts.requests import Operation, Source
from workflows.contracts.results import Generation
from workflows.contracts.stages import Status

PLAN_OF_NOTHING = "nothing"
SCENE = {
    "scene_number": 3,
    "title": "The cat and the lighthouse",
    "description": "A cat looks up at the light that sweeps over the bay",
    "image_prompt": "A cat in front of a lighthouse at dusk",
}
STORY = {"story_setting": "A harbour in the north", "story_tone": "calm and warm"}


class Column(NamedTuple):
    """One operation, with a request that uses every parameter which it takes."""

    title: str
    operation: Operation
    source: Source
    fields: dict[str, Any]
    model: str
    duration_s: float
    cost_usd_micros: int

    async def start(self, client: VideoClient, user_id: str, **changes: Any) -> GenerationHandle:
        """Start it through the one entry; a change to None leaves the field out."""
        given = {"source": self.source, **self.fields, **changes}
        return await client.ai_video_generate(self.operation.value, user_id=user_id, **given)


WAN = Column(
    title="Standard (WAN 2.5)",
    operation=Operation.IMAGE_TO_VIDEO,
    source=Source.IMAGE_STUDIO,
    fields={
        "image": EXAMPLES / "coffee.jpg",
        "prompt": "steam rises slowly",
        "audio": EXAMPLES / "speech.wav",
        "negative_prompt": "people",
        "seed": 7,
        "prompt_expansion": False,
        "duration_s": 5,
        "resolution": "480p",
    },
    model="alibaba/wan-2.5/image-to-video",
    duration_s=5.0,
    cost_usd_micros=250_000,
)
KLING = Column(
    title="Kling Animation",
    operation=Operation.SCENE_ANIMATION,
    source=Source.STORY_WRITER,
    fields={
        "image": EXAMPLES / "chelsea.jpg",
        "scene": SCENE,
        "story_context": STORY,
        "negative_prompt": "people",
        "guidance_scale": 0.3,
        "duration_s": 10,
    },
    model="kwaivgi/kling-v2.5-turbo-std/image-to-video",
    duration_s=10.0,
    cost_usd_micros=420_000,
)
INFINITE_TALK = Column(
    title="InfiniteTalk",
    operation=Operation.TALKING_AVATAR,
    source=Source.PODCAST_MAKER,
    fields={
        "image": EXAMPLES / "portrait.jpg",
        "audio": EXAMPLES / "speech.wav",
        "prompt": "she speaks with a smile",
        "mask_image": EXAMPLES / "portrait.jpg",
        "seed": 7,
        "resolution": "480p",
    },
    model="wavespeed-ai/infinitetalk",
    duration_s=4.79,
    cost_usd_micros=150_000,
)
COLUMNS = (WAN, KLING, INFINITE_TALK)

SMALL = {"output": [{"kind": "other_size", "width": 96, "height": 64}]}
"""A provider whose pictures are quick to make and to verify, where their size doesn't matter."""


@asynccontextmanager
async def nothing_allowed(stack: Stack, user_id: str) -> AsyncGenerator[None]:
    """For the time of the block a user is on a plan that allows no video at all."""
    await stack.database.execute(
        "INSERT INTO plans (plan, title, videos_limit, cost_limit_usd_micros)"
        " VALUES ($1, 'Nothing', 0, 0)",
        PLAN_OF_NOTHING,
    )
    await stack.database.execute(
        "INSERT INTO subscriptions (user_id, plan) VALUES ($1, $2)", user_id, PLAN_OF_NOTHING
    )
    try:
        yield
    finally:
        await stack.database.execute("DELETE FROM subscriptions WHERE user_id = $1", user_id)
        await stack.database.execute("DELETE FROM plans WHERE plan = $1", PLAN_OF_NOTHING)


async def sent(stack: Stack, generation: Generation) -> dict[str, Any]:
    """What the provider was sent for a generation: the inputs of its prediction."""
    log = (await stack.sandbox.get("/sandbox/log")).raise_for_status().json()
    (found,) = (each for each in log["predictions"] if each["id"] == generation.prediction_id)
    return found["input"]


async def parks(handle: GenerationHandle) -> None:
    """Wait until a generation is parked."""
    async for _ in handle.updates(interval_s=0.05):
        if (await handle.read_generation()).status is Status.TIMED_OUT:
            return
    raise AssertionError("it ended instead")
