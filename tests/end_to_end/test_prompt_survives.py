"""A scene's prompt is made once: by the LLM, or by a rule where that one gives none.

Every scene is animated through the loss of its worker, side by side; each test looks at one.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from stacks import SMALL, Stack, at_stage, finished

from starter import GenerationHandle
from workflows.contracts.results import Generation
from workflows.contracts.stages import Stage, Status

pytestmark = pytest.mark.slow

ASKED_WHEN_BUSY = 3
WRITTEN = "The harbour wakes up"
# What the LLM does → the scene's title, by which its question is known.
TITLES = {
    "is down": "A lamp goes out",
    "is cut off": "A rope is cut",
    "is busy": "A market at noon",
    "answers nonsense": "A parrot speaks",
    "refuses": "A closed door",
}
CHAT_FAULTS = [
    {"kind": "status", "code": 500, "match": TITLES["is down"]},
    {"kind": "cut", "match": TITLES["is cut off"]},
    {"kind": "status", "code": 429, "match": TITLES["is busy"]},
    {"kind": "nonsense", "match": TITLES["answers nonsense"]},
    {"kind": "refusal", "match": TITLES["refuses"]},
]


@dataclass(frozen=True)
class Scene:
    """What became of a scene."""

    prompt_before: str | None
    """While the first worker was alive."""
    generation: Generation
    asked: int
    """How often the LLM was asked."""
    sent: list[object]
    """The prompt of every job at the provider."""


@pytest.fixture(scope="module")
async def scenes(whole_stack: Stack) -> AsyncIterator[dict[str, Scene]]:
    """Every scene, completed by a second worker, by its title."""
    stack = whole_stack
    await stack.faults({"chat": CHAT_FAULTS, "job": {"kind": "hang"}, "output": SMALL})
    titles = (WRITTEN, *TITLES.values())
    async with stack.worker() as worker:
        handles = await asyncio.gather(*(stack.animate(title) for title in titles))
        await asyncio.gather(*(at_stage(handle, Stage.GENERATING) for handle in handles))
        before = [(await handle.read_generation()).prompt for handle in handles]
        await worker.signal(signal.SIGKILL)
    async with stack.worker():
        await stack.mend("job")
        generations = await asyncio.gather(*(finished(handle) for handle in handles))
    found = zip(titles, handles, before, generations, strict=True)
    yield {
        title: await _scene(stack, title, handle, prompt, generation)
        for title, handle, prompt, generation in found
    }
    await stack.faults({})


async def _scene(
    stack: Stack, title: str, handle: GenerationHandle, before: str | None, generation: Generation
) -> Scene:
    log = await stack.log()
    jobs = await stack.predictions_of(handle.id)
    return Scene(
        prompt_before=before,
        generation=generation,
        asked=sum(title in json.dumps(chat) for chat in log["chats"]),
        sent=[job["input"]["prompt"] for job in log["predictions"] if job["id"] in jobs],
    )


async def test_the_prompt_outlives_its_worker_and_the_llm_is_asked_once(
    scenes: dict[str, Scene],
) -> None:
    scene = scenes[WRITTEN]

    assert scene.asked == 1
    assert scene.generation.prompt_by == "llm"
    assert scene.generation.prompt
    assert scene.generation.prompt == scene.prompt_before
    assert scene.sent == [scene.generation.prompt]
    assert not [warning for warning in scene.generation.warnings if "prompt" in warning]


@pytest.mark.parametrize(
    ("llm", "warning", "asked"),
    [
        ("is down", "The LLM is not available; a rule made the prompt.", ASKED_WHEN_BUSY),
        ("is cut off", "The LLM is not available; a rule made the prompt.", ASKED_WHEN_BUSY),
        ("is busy", "The LLM is busy; a rule made the prompt.", ASKED_WHEN_BUSY),
        ("answers nonsense", "The LLM's answer was of no use; a rule made the prompt.", 1),
        ("refuses", "The LLM refused; a rule made the prompt.", 1),
    ],
)
async def test_where_the_llm_gives_none_a_rule_does_and_the_result_says_so(
    scenes: dict[str, Scene], llm: str, warning: str, asked: int
) -> None:
    scene = scenes[TITLES[llm]]

    generation = scene.generation
    assert generation.status is Status.COMPLETED
    assert generation.prompt_by == "rule"
    assert warning in generation.warnings
    assert generation.prompt
    assert TITLES[llm] in generation.prompt
    assert generation.prompt == scene.prompt_before
    assert scene.sent == [generation.prompt]
    assert scene.asked == asked
