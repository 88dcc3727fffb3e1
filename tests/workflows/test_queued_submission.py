"""A cancel while the submission waits in its queue: nothing is sent. One that has begun goes on."""

from tests.workflows.scripted import PREDICTION, Gate, Script
from tests.workflows.stagehand import Stagehand
from tests.workflows.theatre import Handle, cancelled, history, playing, until, with_namespace
from workflows.contracts.activities import Submitted
from workflows.contracts.failures import FailureKind
from workflows.contracts.queues import TaskQueue

NOT_THE_SUBMITTER = [queue for queue in TaskQueue if queue is not TaskQueue.SUBMIT]
NOT_THE_DECIDER = [queue for queue in TaskQueue if queue is not TaskQueue.GENERATIONS]


async def test_a_submission_that_no_worker_has_begun_is_dropped_at_once(
    temporal_server: str,
) -> None:
    client = await with_namespace(temporal_server, "queued-dropped")
    stagehand, script, another = Stagehand(), Script(), Script()
    async with playing(client, stagehand, NOT_THE_SUBMITTER) as theatre:
        handle = await theatre.start(script)
        await until(lambda: _waits_to_be_sent(handle))

        await handle.cancel()
        await cancelled(handle)

        await theatre.start(another)
        async with playing(client, stagehand, [TaskQueue.SUBMIT]):
            await until(lambda: another.count("provider.submit") == 1)
    assert script.count("provider.submit") == 0
    assert script.closed() == (FailureKind.CANCELLED, "release")


async def test_an_outcome_that_comes_together_with_the_cancel_is_heard(
    temporal_server: str,
) -> None:
    client = await with_namespace(temporal_server, "queued-heard")
    stagehand, sending = Stagehand(), Gate(Submitted(prediction_id=PREDICTION))
    script = Script().on("provider.submit", sending)
    async with playing(client, stagehand, NOT_THE_DECIDER) as theatre:
        async with playing(client, stagehand, [TaskQueue.GENERATIONS]):
            handle = await theatre.start(script)
            await sending.entered.wait()

        # Nobody decides now, so that both reach the next decider as one.
        await handle.cancel()
        sending.opened.set()
        await until(lambda: _was_sent(handle))
        async with playing(client, stagehand, [TaskQueue.GENERATIONS]):
            await cancelled(handle)

    assert script.calls[-2:] == ["provider.withdraw", "ledger.close"]
    assert script.closed() == (FailureKind.CANCELLED, "provisional")


async def _waits_to_be_sent(handle: Handle) -> bool:
    return await _submission(handle) is not None


async def _was_sent(handle: Handle) -> bool:
    scheduled = await _submission(handle)
    return any(
        event.activity_task_completed_event_attributes.scheduled_event_id == scheduled
        for event in await history(handle)
        if event.HasField("activity_task_completed_event_attributes")
    )


async def _submission(handle: Handle) -> int | None:
    """The event that scheduled the submission; None before it."""
    scheduled = [
        event.event_id
        for event in await history(handle)
        if event.HasField("activity_task_scheduled_event_attributes")
        and event.activity_task_scheduled_event_attributes.activity_type.name == "provider.submit"
    ]
    return scheduled[0] if scheduled else None
