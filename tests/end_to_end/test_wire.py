"""Callers in any language: plain JSON through Temporal's own command line."""

import asyncio
import json
import sysconfig
import uuid
from pathlib import Path

import pytest
from stacks import COFFEE, Stack, at_stage, finished, until
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from workflows.contracts.stages import Stage, Status

TEMPORAL = str(Path(sysconfig.get_path("scripts")) / "temporal")


async def temporal_start(stack: Stack, *inputs: str) -> str:
    """`temporal workflow start`; the workflow id."""
    workflow_id = f"mine-{uuid.uuid4().hex[:12]}"
    process = await asyncio.create_subprocess_exec(
        TEMPORAL,
        *("workflow", "start", "--address", stack.address.temporal, "--type", "ImageToVideo"),
        *("--task-queue", "stillmotion", "--workflow-id", workflow_id),
        *(flag for given in inputs for flag in ("--input", given)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    return workflow_id


async def test_plain_json_makes_a_video_under_the_callers_own_id(stack: Stack) -> None:
    media_id = await stack.client.upload(COFFEE, user_id="wire-user")
    request = {
        "user_id": "wire-user",
        "source": "image_studio",
        "image": {"media_id": media_id},
        "prompt": "steam rises",
        "resolution": "480p",
    }

    async with stack.worker():
        workflow_id = await temporal_start(stack, json.dumps(request))
        handle = await until(lambda: _known(stack, workflow_id))
        generation = await finished(handle)

    assert generation.generation_id == workflow_id
    assert generation.status is Status.COMPLETED
    assert generation.source == "image_studio"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((), "input"),
        (('{"user_id": "u", "prompt": "p"}',), "image"),
        (('{"user_id": "u", "prompt": "p", "image": {"path": "/etc/passwd"}}',), "image"),
        (('{"user_id": "u", "prompt": 5, "image": {"url": "https://a.example/b.jpg"}}',), "prompt"),
        (('{"user_id":"u","prompt":"p","image":{"url":"https://a.example/b.jpg"},"x":1}',), "x"),
        (("[1, 2]",), "input"),
        (("null",), "input"),
    ],
    ids=["none", "incomplete", "a path", "wrong type", "unknown field", "a list", "null"],
)
async def test_bad_input_ends_as_a_failed_workflow_that_names_the_field(
    stack: Stack, inputs: tuple[str, ...], said: str
) -> None:
    async with stack.worker():
        handle = stack.client.temporal.get_workflow_handle(await temporal_start(stack, *inputs))
        with pytest.raises(WorkflowFailureError) as raised:
            await asyncio.wait_for(handle.result(), 30)

    assert isinstance(raised.value.cause, ApplicationError)
    assert raised.value.cause.type == "invalid_request"
    assert said in raised.value.cause.message
    assert (await handle.describe()).status is WorkflowExecutionStatus.FAILED
    query = "SELECT count(*) FROM reservations WHERE generation_id = $1"
    held = await stack.value(query, handle.id)
    assert held == 0


async def test_without_workers_a_cancel_is_taken_and_carried_out_later(stack: Stack) -> None:
    handle = await stack.start()
    assert (await handle.facts()).stage is Stage.ACCEPTED

    assert await handle.cancel()
    assert (await handle.facts()).stage is Stage.ACCEPTED
    async with stack.worker():
        await at_stage(handle, Stage.CANCELLED)

    generation = await handle.read_generation()
    assert generation.error is not None
    assert generation.error.kind == "cancelled"
    assert await stack.predictions_of(handle.id) == []


async def _known(stack: Stack, workflow_id: str):  # noqa: ANN202 - a handle or None
    try:
        return await stack.client.get(workflow_id)
    except LookupError:
        return None
