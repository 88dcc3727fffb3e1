"""A callback_url has its own workflow: started once, as soon as there is something to tell."""

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import ParentClosePolicy
from temporalio.api.history.v1 import (
    HistoryEvent,
    StartChildWorkflowExecutionInitiatedEventAttributes,
)

from tests.workflows.scripted import TO_BE_TOLD, Gate, Script, a_request, refused, terms_of
from tests.workflows.theatre import Theatre, callbacks_of, cancelled, facts, failed, history
from workflows.contracts.activities import ForGeneration, PredictionEnd
from workflows.contracts.failures import OF_ANOTHER, REFUSALS, FailureKind
from workflows.contracts.ids import callbacks_id_for
from workflows.contracts.requests import Operation
from workflows.contracts.stages import Stage

URL = "https://example.com/hook"


def steps(script: Script) -> list[str]:
    """The generation's own activities: its callbacks play the same script."""
    return [name for name in script.calls if not name.startswith("callbacks.")]


def initiated(
    events: list[HistoryEvent],
) -> list[StartChildWorkflowExecutionInitiatedEventAttributes]:
    return [
        event.start_child_workflow_execution_initiated_event_attributes
        for event in events
        if event.HasField("start_child_workflow_execution_initiated_event_attributes")
    ]


@pytest.mark.parametrize("operation", Operation)
async def test_it_is_told_by_one_workflow_that_is_started_after_the_reservation(
    theatre: Theatre, operation: Operation
) -> None:
    script = Script()

    handle = await theatre.start(
        script, a_request(operation, callback_url=URL), operation=operation
    )
    await handle.result()

    events = await history(handle)
    (child,) = initiated(events)
    before = [event for event in events if _ended(event) and event.event_id < _id_of(events)]
    payload: Payload = child.input.payloads[0]
    assert (child.workflow_type.name, child.workflow_id) == (
        "Callbacks",
        callbacks_id_for(handle.id),
    )
    assert child.parent_close_policy == ParentClosePolicy.PARENT_CLOSE_POLICY_ABANDON
    assert ForGeneration.model_validate_json(payload.data).generation_id == handle.id
    assert len(before) == 1
    assert URL.encode() not in payload.data


async def test_the_workflow_of_a_callback_outlives_the_generation(theatre: Theatre) -> None:
    telling = Gate(RuntimeError("never answered"))
    script = Script().on("callbacks.deliver", telling)
    handle = await theatre.start(script, a_request(callback_url=URL))

    await telling.entered.wait()
    await handle.result()

    child = theatre.client.get_workflow_handle(callbacks_id_for(handle.id))
    described = await child.describe()
    assert described.close_time is None
    assert not telling.cancelled.is_set()


@pytest.mark.parametrize("operation", Operation)
async def test_without_a_callback_url_none_is_started(
    theatre: Theatre, operation: Operation
) -> None:
    handle = await theatre.start(Script(), operation=operation)
    await handle.result()

    assert initiated(await history(handle)) == []


@pytest.mark.parametrize("kind", sorted(REFUSALS))
async def test_a_refusal_is_told_too(theatre: Theatre, kind: FailureKind) -> None:
    script = Script().on("ledger.reserve", refused(kind)).on("ledger.close", TO_BE_TOLD)

    handle = await theatre.start(script, a_request(callback_url=URL))
    await failed(handle)

    assert callbacks_of(await history(handle)) == [callbacks_id_for(handle.id)]
    assert steps(script) == ["ledger.reserve", "ledger.close"]


@pytest.mark.parametrize("kind", sorted(OF_ANOTHER))
async def test_what_belongs_to_another_request_is_not_told(
    theatre: Theatre, kind: FailureKind
) -> None:
    script = Script().on("ledger.reserve", refused(kind))

    handle = await theatre.start(script, a_request(callback_url=URL))
    await failed(handle)

    assert callbacks_of(await history(handle)) == []


async def test_a_request_that_can_not_be_read_is_not_told(theatre: Theatre) -> None:
    handle = await theatre.start(Script(), a_request(callback_url=URL, colour="blue"))
    await failed(handle)

    assert callbacks_of(await history(handle)) == []


async def test_a_failure_after_the_reservation_is_told_by_the_same_workflow(
    theatre: Theatre,
) -> None:
    script = Script().on("provider.submit", refused(FailureKind.PROMPT_REJECTED))
    script.on("ledger.close", TO_BE_TOLD)

    handle = await theatre.start(script, a_request(callback_url=URL))
    await failed(handle)

    assert len(initiated(await history(handle))) == 1


async def test_a_claimed_generation_that_is_refused_is_told_as_the_ledger_says(
    theatre: Theatre,
) -> None:
    script = Script().on("ledger.reserve", refused(FailureKind.QUOTA_EXCEEDED))
    script.on("ledger.close", TO_BE_TOLD)

    handle = await theatre.start(script, {"claimed": True})
    await failed(handle)

    assert callbacks_of(await history(handle)) == [callbacks_id_for(handle.id)]


async def test_a_cancel_is_told_by_the_same_workflow(theatre: Theatre) -> None:
    poll = Gate(PredictionEnd(state="running"))
    script = Script().on("provider.poll", poll)
    handle = await theatre.start(script, a_request(callback_url=URL))
    await poll.entered.wait()

    await handle.cancel()
    await cancelled(handle)

    assert len(initiated(await history(handle))) == 1


@pytest.mark.parametrize("callback", [True, False])
async def test_of_a_claimed_generation_the_terms_say_whether_it_is_told(
    theatre: Theatre,
    callback: bool,  # noqa: FBT001 - a column of the table
) -> None:
    script = Script()
    generation_id = f"gen_claimed_{callback}"
    script.on("ledger.reserve", terms_of(generation_id, callback=callback))

    handle = await theatre.start_as(generation_id, script, {"claimed": True})
    await handle.result()

    assert len(initiated(await history(handle))) == int(callback)


async def test_one_that_was_started_by_an_earlier_run_is_no_failure(theatre: Theatre) -> None:
    telling = Gate(RuntimeError("never answered"))
    first = Script().on("callbacks.deliver", telling)
    first.on("ledger.reserve", refused(FailureKind.QUOTA_EXCEEDED))
    first.on("ledger.close", TO_BE_TOLD)
    refused_once = await theatre.start(first, a_request(callback_url=URL))
    await failed(refused_once)
    await telling.entered.wait()

    again = Script().on("callbacks.deliver", telling)
    handle = await theatre.start_as(refused_once.id, again, a_request(callback_url=URL))
    result = await handle.result()

    assert result.generation_id == handle.id
    assert (await facts(handle)).stage is Stage.COMPLETED


def _ended(event: HistoryEvent) -> bool:
    return event.HasField("activity_task_completed_event_attributes")


def _id_of(events: list[HistoryEvent]) -> int:
    (initiation,) = (
        event
        for event in events
        if event.HasField("start_child_workflow_execution_initiated_event_attributes")
    )
    return initiation.event_id
