"""The trace of one generation is one tree, whoever starts it and whoever is killed meanwhile."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from stacks import COFFEE, SMALL, Stack, at_stage, finished, impatient, until

from starter import GenerationHandle
from tests.observability.collector import Collector, Seen
from workflows.contracts.stages import Stage

pytestmark = [pytest.mark.slow, pytest.mark.tools()]  # Python only, and a minute of it.

PROMPT = "a prompt that stands in no span"


def is_one_tree(spans: list[Seen]) -> bool:
    """One trace, one root, and every parent is there."""
    ids = {span.span_id for span in spans}
    roots = [span for span in spans if not span.parent_id]
    parents = {span.parent_id for span in spans} - {""}
    return len({span.trace_id for span in spans}) == 1 and len(roots) == 1 and parents <= ids


async def told_whole(collector: Collector, workflow_id: str) -> list[Seen]:
    """The spans of a generation, once its end is told."""

    async def ended() -> bool:
        names = [span.name for span in collector.trace_of(workflow_id)]
        return any(name.startswith("CompleteWorkflow:Image") for name in names)

    await until(ended)
    # A second more, for what other processes send of the same moment.
    await asyncio.sleep(1.5)
    return collector.trace_of(workflow_id)


async def cli(stack: Stack, traced: dict[str, str], *words: str) -> str:
    """`stillmotion words…` as a process of its own, traced; its stdout."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "starter.cli", *words, f"--data-dir={stack.data_dir}"),
        env=dict(os.environ) | traced,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def by_command_line(
    stack: Stack, collector: Collector, traced: dict[str, str]
) -> tuple[dict[str, Any], list[Seen]]:
    """A video of Ann's, and what was told of it."""
    await stack.faults({"output": SMALL})
    words = ("image-to-video", str(COFFEE), "--prompt", PROMPT, "--resolution", "480p")
    async with stack.worker(settings=traced):
        out = await cli(stack, traced, *words, "--wait", "--user", "ann", "-o", "json")
        made = json.loads(out)
        return made, await told_whole(collector, made["generation_id"])


async def by_wire(stack: Stack, workflow_id: str, **headers: Any) -> GenerationHandle:
    """A start by somebody who has only Temporal, and sends no place of a trace."""
    media_id = await stack.client.upload(COFFEE, user_id="wire")
    request = {
        "user_id": "wire",
        "image": {"media_id": media_id},
        "prompt": PROMPT,
        "resolution": "480p",
    }
    await stack.client.temporal.start_workflow(
        "ImageToVideo", request, id=workflow_id, task_queue=stack.address.task_queue
    )

    async def found() -> GenerationHandle | None:
        try:
            return await stack.client.get(workflow_id)
        except LookupError:
            return None

    return await until(found)


async def test_a_generation_of_the_command_line_is_one_tree_from_its_start_to_the_providers_calls(
    traced_stack: Stack, collector: Collector, traced: dict[str, str]
) -> None:
    made, spans = await by_command_line(traced_stack, collector, traced)

    assert is_one_tree(spans)
    by_name = {span.name: span for span in spans}
    assert by_name["StartWorkflow:ImageToVideo"].service == "stillmotion-cli"
    assert not by_name["StartWorkflow:ImageToVideo"].parent_id
    submit, look = by_name["POST /{model}"], by_name["GET /predictions/{id}/result"]
    assert submit.service == "stillmotion-worker"
    assert submit.attributes["http.response.status_code"] == 200
    assert submit.attributes["stillmotion.attempt"] == 1
    assert submit.attributes["stillmotion.prediction_id"] == made["prediction_id"]
    assert look.attributes["stillmotion.prediction_id"] == made["prediction_id"]
    assert submit.parent_id == by_name["RunActivity:provider.submit"].span_id
    assert by_name["CompleteWorkflow:ImageToVideo"].length_s > 0.5
    assert {"decode", "store", "GET /{output}"} <= by_name.keys()


async def test_no_span_holds_a_prompt_a_user_a_key_a_file_name_or_an_address_of_a_file(
    traced_stack: Stack, collector: Collector, traced: dict[str, str]
) -> None:
    await by_command_line(traced_stack, collector, traced)

    said = "\n".join(span.raw for span in collector.spans)

    assert len(collector.spans) > 20
    for secret in (PROMPT, "ann", "coffee", "signature", "Bearer", "/outputs/", "/media/store"):
        assert f'"{secret}' not in said
        assert secret == "ann" or secret not in said


async def test_a_wire_callers_generation_is_one_tree_though_its_worker_was_killed_in_mid_poll(
    traced_stack: Stack, collector: Collector, traced: dict[str, str]
) -> None:
    await traced_stack.faults({"job": {"kind": "hang"}, "output": SMALL})
    async with traced_stack.worker(settings=traced) as worker:
        handle = await by_wire(traced_stack, "a-callers-own-id")
        await at_stage(handle, Stage.GENERATING)

        async def polled() -> bool:
            spans = collector.trace_of(handle.id)
            return any(
                span.attributes.get("temporalActivityType") == "provider.poll"
                and span.name.startswith("GET")
                for span in spans
            )

        await until(polled)
        await worker.signal(signal.SIGKILL)

    await traced_stack.mend("job")
    async with traced_stack.worker(settings=traced):
        await finished(handle)
        spans = await told_whole(collector, handle.id)

    assert is_one_tree(spans)
    (root,) = [span for span in spans if not span.parent_id]
    assert root.name == "RunWorkflow:ImageToVideo"
    attempts = {
        span.attributes["stillmotion.attempt"]
        for span in spans
        if span.name == "GET /predictions/{id}/result"
    }
    assert {1, 2} <= attempts


async def test_a_parked_generation_that_was_resumed_is_one_tree(
    traced_stack: Stack, collector: Collector, traced: dict[str, str]
) -> None:
    await traced_stack.faults({"job": {"kind": "hang"}, "output": SMALL})
    with tempfile.TemporaryDirectory() as folder:
        settings = impatient(Path(folder), image_to_video=1) | traced
        async with traced_stack.worker(settings=settings):
            handle = await by_wire(traced_stack, "a-parked-one")
            await at_stage(handle, Stage.TIMED_OUT)
            await traced_stack.mend("job")
            await cli(traced_stack, traced, "resume", handle.id, "--wait")
            spans = await told_whole(collector, handle.id)

    assert is_one_tree(spans)
    assert "HandleSignal:resume" in {span.name for span in spans}
