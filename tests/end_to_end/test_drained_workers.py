"""A worker that is told to stop (SIGTERM) lets go of what can wait and finishes what can't."""

import asyncio
import signal
from typing import Any

import httpx
import pytest
from stacks import SMALL, Process, Stack, at_stage, finished, until

from starter import GenerationHandle
from workflows.contracts.stages import Stage, Status

pytestmark = pytest.mark.slow

MARGIN_S = 30.0
"""Beyond the time to drain: two cores are shared with the rest of the suite."""


async def _drained(worker: Process, drain_s: int) -> int:
    """The exit code of a worker that is told to stop."""
    worker.process.send_signal(signal.SIGTERM)
    return await asyncio.wait_for(worker.process.wait(), drain_s + MARGIN_S)


async def test_polls_are_handed_over_while_a_submit_and_an_upload_run_to_their_outcome(
    stack: Stack,
) -> None:
    drain_s = 60
    settings = {"STILLMOTION_DRAIN_S": f"{drain_s}"}
    await stack.faults({"job": {"kind": "hang"}, "output": SMALL})
    async with stack.worker(settings=settings) as worker:
        polled = await stack.start("polled")
        await at_stage(polled, Stage.GENERATING)
        await until(lambda: _pending(stack, polled, "provider.poll"))
        await _slow_from_now_on(stack, "submit")
        submitting = await stack.start("submitting")
        await until(lambda: _state(stack, submitting, "sending"))
        await _slow_from_now_on(stack, "upload")
        uploading = await stack.start("uploading")
        await until(lambda: _pending(stack, uploading, "provider.stage_inputs"))

        code = await _drained(worker, drain_s)

    poll = await _pending(stack, polled, "provider.poll")
    assert code == 0
    assert poll.last_failure.application_failure_info.type == "WorkerStops"
    assert await _state(stack, submitting, "accepted")
    assert await _state(stack, uploading, "prepared")

    await stack.faults({"output": SMALL})
    async with stack.worker():
        for handle in (polled, submitting, uploading):
            assert (await finished(handle)).status is Status.COMPLETED
            assert len(await stack.predictions_of(handle.id)) == 1
            assert await stack.settlements(handle.id) == 1


async def test_a_submit_that_outlasts_the_drain_leaves_a_doubt_that_is_settled(
    stack: Stack,
) -> None:
    drain_s = 1
    settings = {"STILLMOTION_DRAIN_S": f"{drain_s}"}
    await stack.faults({"submit": {"kind": "slow", "delay_s": 50}, "output": SMALL})
    async with stack.worker(settings=settings) as worker:
        handle = await stack.start()
        await until(lambda: _state(stack, handle, "sending"))
        await until(lambda: stack.predictions_of(handle.id))

        code = await _drained(worker, drain_s)

    assert code == 0
    assert await _state(stack, handle, "unknown")

    await stack.faults({"output": SMALL})
    async with stack.worker():
        assert (await finished(handle)).status is Status.COMPLETED
    assert len(await stack.predictions_of(handle.id)) == 1
    assert await stack.settlements(handle.id) == 1


async def _slow_from_now_on(stack: Stack, area: str) -> None:
    """Replies of this area take four seconds; the other faults stay."""
    controls = f"{stack.address.provider.removesuffix('/api/v3')}/sandbox/faults"
    async with httpx.AsyncClient(trust_env=False) as http:
        reply = await http.post(controls, json={area: {"kind": "slow", "delay_s": 4}})
        reply.raise_for_status()


async def _pending(stack: Stack, handle: GenerationHandle, name: str) -> Any:
    """The generation's pending activity of this name; None where it waits for another one."""
    described = await stack.client.temporal.get_workflow_handle(handle.id).describe()
    pending = described.raw_description.pending_activities
    return next((each for each in pending if each.activity_type.name == name), None)


async def _state(stack: Stack, handle: GenerationHandle, state: str) -> bool:
    query = "SELECT state FROM submissions WHERE generation_id = $1"
    return await stack.value(query, handle.id) == state
