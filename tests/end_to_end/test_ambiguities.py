"""Every way to lose sight of the paid POST ends in one prediction, one video, one settlement."""

import asyncio
from typing import Any, NamedTuple

import pytest
from stacks import SMALL, Stack, a_user, at_stage, finished, until
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    ResetWorkflowExecutionRequest,
    UnpauseActivityRequest,
)
from temporalio.client import WorkflowFailureError, WorkflowHistoryEventFilterType
from temporalio.exceptions import ApplicationError

from starter import GenerationHandle
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage, Status

pytestmark = pytest.mark.slow


SLOW_TO_SAY: dict[str, Any] = {
    "submit": {"kind": "slow", "delay_s": 3, "times": 1},
    "job": {"kind": "hang"},
    "output": SMALL,
}
"""The job is taken at once and told of late; it ends when the test mends it."""


class Case(NamedTuple):
    """A reply that tells nothing, and whether the provider took the job all the same."""

    prompt: str
    fault: dict[str, Any]


CASES = (
    Case("the reply is lost", {"kind": "lost_reply"}),
    Case("cut after the job was taken", {"kind": "cut", "accepted": True}),
    Case("cut before the job was taken", {"kind": "cut"}),
    Case("a 502 after the job was taken", {"kind": "status", "code": 502, "accepted": True}),
    Case("a 503 before the job was taken", {"kind": "status", "code": 503}),
    Case("half a JSON document", {"kind": "malformed", "accepted": True}),
    Case("an HTML page", {"kind": "malformed", "body": "<html>", "accepted": True}),
    Case("success without an id", {"kind": "no_id"}),
    Case("an envelope that failed", {"kind": "envelope", "code": 500, "accepted": True}),
)


async def test_a_reply_that_tells_nothing_is_reconciled_not_sent_again(stack: Stack) -> None:
    plan = [{**case.fault, "match": case.prompt, "times": 1} for case in CASES]
    await stack.faults({"submit": plan, "output": SMALL})

    async with stack.worker():
        handles = [await stack.start(case.prompt) for case in CASES]
        generations = await asyncio.gather(*map(finished, handles))

    assert await stack.struck("submit") == len(CASES)
    assert {generation.status for generation in generations} == {Status.COMPLETED}
    for handle in handles:
        await _paid_once(stack, handle)


async def test_an_activity_that_is_paused_while_it_sends_and_then_unpaused_sends_nothing_more(
    stack: Stack,
) -> None:
    await stack.faults({"submit": {"kind": "slow", "delay_s": 30, "times": 1}, "output": SMALL})
    async with stack.worker():
        handle = await stack.start()
        await until(lambda: _taken(stack, handle))
        service = stack.client.temporal.workflow_service
        about: dict[str, Any] = {
            "namespace": stack.client.temporal.namespace,
            "execution": WorkflowExecution(workflow_id=handle.id),
            "type": "provider.submit",
        }

        await service.pause_activity(PauseActivityRequest(**about))
        await until(lambda: _row_state(stack, handle, "unknown", "accepted"))
        await service.unpause_activity(UnpauseActivityRequest(**about))
        generation = await finished(handle)

    assert generation.status is Status.COMPLETED
    await _paid_once(stack, handle)


@pytest.mark.parametrize("stage", [Stage.SUBMITTING, Stage.GENERATING])
async def test_a_workflow_reset_to_its_beginning_adopts_what_it_had_paid(
    stack: Stack, stage: Stage
) -> None:
    await stack.faults(SLOW_TO_SAY)
    async with stack.worker():
        handle = await stack.start()
        await until(lambda: _taken(stack, handle))
        await at_stage(handle, stage)

        await _reset(stack, handle)
        await stack.mend("job")
        generation = await finished(handle)

    assert generation.status is Status.COMPLETED
    await _paid_once(stack, handle)


async def test_a_reset_of_a_completed_generation_changes_nothing(stack: Stack) -> None:
    await stack.faults({"output": SMALL})
    async with stack.worker():
        handle = await stack.start()
        before = await finished(handle)
        workflow = stack.client.temporal.get_workflow_handle(handle.id)
        await workflow.result()

        await _reset(stack, handle)
        with pytest.raises(WorkflowFailureError) as failed:
            await workflow.result()

    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == FailureKind.ALREADY_CLOSED
    assert await handle.read_generation() == before
    await _paid_once(stack, handle)


@pytest.mark.parametrize("stage", [Stage.SUBMITTING, Stage.GENERATING])
async def test_a_second_run_under_the_same_id_adopts_what_the_first_had_paid(
    stack: Stack, stage: Stage
) -> None:
    await stack.faults(SLOW_TO_SAY)
    who, key = a_user(), "the same key"
    async with stack.worker():
        first = await stack.start(user_id=who, idempotency_key=key)
        await until(lambda: _taken(stack, first))
        await at_stage(first, stage)
        await stack.client.temporal.get_workflow_handle(first.id).terminate("an operator's mistake")

        second = await stack.start(user_id=who, idempotency_key=key)
        await stack.mend("job")
        generation = await finished(second)

    assert second.id == first.id
    assert generation.status is Status.COMPLETED
    await _paid_once(stack, second)


async def _paid_once(stack: Stack, handle: GenerationHandle) -> None:
    assert len(await stack.predictions_of(handle.id)) == 1, handle.id
    assert await stack.settlements(handle.id) == 1, handle.id
    assert len(stack.files_of(handle.id)) == 2, "a video and its poster"


async def _taken(stack: Stack, handle: GenerationHandle) -> bool:
    """Whether the provider has the job, whatever we know of it."""
    return bool(await stack.predictions_of(handle.id))


async def _row_state(stack: Stack, handle: GenerationHandle, *states: str) -> bool:
    query = "SELECT state FROM submissions WHERE generation_id = $1"
    return await stack.value(query, handle.id) in states


async def _reset(stack: Stack, handle: GenerationHandle) -> None:
    """Forget everything after the workflow's first task, as an operator can."""
    await stack.client.temporal.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=stack.client.temporal.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id),
            reason="an operator's mistake",
            workflow_task_finish_event_id=await _first_task_of(stack, handle),
            request_id=handle.id,
        )
    )


async def _first_task_of(stack: Stack, handle: GenerationHandle) -> int:
    """The event id of the first workflow task's end: everything after it is forgotten."""
    workflow = stack.client.temporal.get_workflow_handle(handle.id)
    every = WorkflowHistoryEventFilterType.ALL_EVENT
    async for event in workflow.fetch_history_events(event_filter_type=every):
        if event.HasField("workflow_task_completed_event_attributes"):
            return event.event_id
    raise AssertionError("a workflow at a stage has completed a task")
