"""The products' examples, each run as a process against a real stack, as a newcomer runs them."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import BaseModel
from stacks import REPOSITORY, SMALL, Stack, a_user, impatient

from activities.library.repository import Asset
from workflows.contracts.stages import Status
from workflows.contracts.stories import Scene, StoryContext

EXAMPLES = REPOSITORY / "examples"
SIZE = {"duration": 1.0, "width": 320, "height": 180}
"""What the sandbox was told to make, whatever was asked for."""


class Expected(NamedTuple):
    """One video of an example."""

    tags: str
    title: str
    metadata: dict[str, object]
    cost: str
    key: str


TOLD = {"duration": 1.0, "status": "completed"}
EXPECTED = {
    "image_studio": (
        Expected(
            "image_studio transform video image-to-video 720p",
            "Image-to-video (720p): Steam rises slowly from the cup",
            {"operation": "image-to-video", "resolution": "720p", **SIZE},
            "$0.50",
            "image-studio-transform-1",
        ),
        Expected(
            "image_studio transform video talking-avatar 480p",
            "Talking avatar (480p): She speaks calmly",
            {"operation": "talking-avatar", "resolution": "480p", **SIZE},
            "$0.15",
            "image-studio-avatar-1",
        ),
    ),
    "video_studio": (
        Expected(
            "video_studio transform video image-to-video 512p",
            "Image-to-video (512p): The camera moves slowly",
            {"operation": "image-to-video", "resolution": "512p", **SIZE},
            "$0.20",
            "video-studio-transform-1",
        ),
        Expected(
            "video_studio transform video talking-avatar 720p",
            "Talking avatar (720p)",
            {"operation": "talking-avatar", "resolution": "720p", **SIZE},
            "$0.30",
            "video-studio-avatar-1",
        ),
    ),
    "story_writer": (
        Expected(
            "story_writer video animation scene_3",
            "Scene 3: The cat at the window",
            {"scene_number": 3, **TOLD},
            "$0.21",
            "story-7-scene-3-preview",
        ),
        Expected(
            "story_writer video animation voiceover scene_3",
            "Scene 3: The cat at the window",
            {"scene_number": 3, **TOLD},
            "$0.30",
            "story-7-scene-3-voiceover",
        ),
    ),
    "podcast_maker": (
        Expected(
            "podcast_maker video animation voiceover scene_1",
            "Scene 1: Waiting for a rocket",
            {"scene_number": 1, **TOLD},
            "$0.15",
            "episode-12-scene-1",
        ),
    ),
}
every_product = pytest.mark.parametrize("product", EXPECTED)


class Played(NamedTuple):
    """What an example did."""

    user_id: str
    code: int | None
    out: str
    err: str

    def printed(self, name: str) -> list[str]:
        """The values of the lines that begin with `name`."""
        return re.findall(rf"^  {name} (.+)$", self.out, re.MULTILINE)


async def play(stack: Stack, product: str, user_id: str, *options: str) -> Played:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, f"examples/{product}.py", "--data-dir", str(stack.data_dir)),
        *("--user", user_id, *options),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return Played(user_id, process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="module")
async def played(whole_stack: Stack) -> dict[str, Played]:
    """Every example, once, each for a user of its own on the free plan."""
    await whole_stack.faults({"output": SMALL})
    async with whole_stack.worker():
        runs = [play(whole_stack, product, a_user()) for product in EXPECTED]
        done = await asyncio.gather(*runs)
    await whole_stack.faults({})
    return dict(zip(EXPECTED, done, strict=True))


async def assets_of(stack: Stack, user_id: str) -> list[Asset]:
    """The oldest first, as the examples make them."""
    return (await stack.client.assets(user_id=user_id))[::-1]


@every_product
async def test_an_example_ends_well_and_prints_file_cost_and_tags(
    played: dict[str, Played], product: str
) -> None:
    ran, expected = played[product], EXPECTED[product]

    assert (ran.code, ran.err) == (0, "")
    assert ran.printed("tags") == [one.tags for one in expected]
    assert ran.printed("cost") == [one.cost for one in expected]
    files = [Path(file) for file in ran.printed("file")]
    assert len(files) == len(expected)
    assert all(file.stat().st_size > 1_000 for file in files)


@every_product
async def test_an_examples_videos_are_filed_as_their_product_filed_them(
    stack: Stack, played: dict[str, Played], product: str
) -> None:
    assets = await assets_of(stack, played[product].user_id)

    for asset, expected in zip(assets, EXPECTED[product], strict=True):
        assert asset.source == product
        assert asset.tags == tuple(expected.tags.split())
        assert asset.metadata == expected.metadata
        assert asset.title.startswith(expected.title)


@every_product
async def test_an_examples_generations_carry_source_and_key_and_are_paid_once(
    stack: Stack, played: dict[str, Played], product: str
) -> None:
    user_id = played[product].user_id
    generations = (await stack.client.generations(user_id=user_id))[::-1]

    assert [one.source for one in generations] == [product] * len(EXPECTED[product])
    assert {one.status for one in generations} == {Status.COMPLETED}
    for one, expected in zip(generations, EXPECTED[product], strict=True):
        query = "SELECT idempotency_key FROM generations WHERE generation_id = $1"
        assert await stack.value(query, one.generation_id) == expected.key
        assert await stack.settlements(one.generation_id) == 1


@every_product
async def test_an_example_that_is_run_again_finds_its_videos_without_a_worker(
    stack: Stack, played: dict[str, Played], product: str
) -> None:
    first = played[product]

    second = await play(stack, product, first.user_id)

    assert second.code == 0
    assert second.printed("file") == first.printed("file")
    assert len(await assets_of(stack, first.user_id)) == len(EXPECTED[product])


def test_the_studios_show_every_step_of_the_progress(played: dict[str, Played]) -> None:
    for product in ("image_studio", "video_studio"):
        found = re.findall(r"^ *(\d+) %", played[product].out, re.MULTILINE)
        percents = [int(percent) for percent in found]
        first = percents[: percents.index(100) + 1]
        assert first == sorted(first)
        assert percents.count(100) == 2


def test_the_podcast_is_polled_until_it_ends(played: dict[str, Played]) -> None:
    assert re.search(r"^\w+  \d+ %  \w+", played["podcast_maker"].out)


async def test_a_story_that_is_late_is_resumed_by_the_providers_id_and_paid_once(
    stack: Stack, tmp_path: Path
) -> None:
    user_id = a_user()
    await stack.faults({"job": {"kind": "hang"}, "output": SMALL})

    async with stack.worker(settings=impatient(tmp_path, scene_animation=1)):
        late = await play(stack, "story_writer", user_id)
        (prediction_id,) = re.findall(r"--resume (\w+)", late.out)
        await stack.faults({})
        strangers = await play(stack, "story_writer", a_user(), "--resume", prediction_id)
        resumed = await play(stack, "story_writer", user_id, "--resume", prediction_id)

    assert late.code == 6
    assert strangers.code == 2
    assert resumed.code == 0, resumed
    assert resumed.printed("tags") == ["story_writer video animation scene_3"]
    (generation,) = await stack.client.generations(user_id=user_id)
    assert generation.prediction_id == prediction_id
    assert await stack.predictions_of(generation.generation_id) == [prediction_id]
    assert await stack.settlements(generation.generation_id) == 1


async def test_an_example_without_a_stack_says_what_to_start(stack: Stack, tmp_path: Path) -> None:
    nowhere = Stack(tmp_path, stack.address, stack.client)

    ran = await play(nowhere, "podcast_maker", "local")

    assert ran.code == 3
    assert f"stillmotion dev --data-dir {tmp_path}" in ran.err


def test_the_sample_story_tells_every_field() -> None:
    scene = Scene.model_validate(json.loads((EXAMPLES / "scene.json").read_text("utf-8")))
    story = StoryContext.model_validate(json.loads((EXAMPLES / "story.json").read_text("utf-8")))

    assert untold(scene) == []
    assert untold(story) == []
    assert scene.dropped_keys() + story.dropped_keys() == 0


def untold(part: BaseModel) -> list[str]:
    """Fields of a part, and of its parts, that say nothing."""
    missing: list[str] = []
    for name, value in part:
        parts = value if isinstance(value, tuple) else (value,)
        told = [untold(each) for each in parts if isinstance(each, BaseModel)]
        missing += [f"{name}.{field}" for fields in told for field in fields]
        if name != "unknown_keys" and value in ("", None, ()):
            missing.append(name)
    return missing
