"""A cancel of a batch: passed on to what runs, whoever started it; what waits is closed."""

import asyncio
import os
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError

from tests.workflows.episodes import Episode, MakeEpisode
from tests.workflows.scripted import Gate, refused
from tests.workflows.theatre import Handle, Theatre, cancelled, history, timers, until
from workflows import timeouts
from workflows.contracts.activities import Reconciled, Verdict, Withdrawn
from workflows.contracts.batch_results import BatchState
from workflows.contracts.batches import CloseBatch, ClosedWaiting, CloseWaiting
from workflows.contracts.failures import FailureKind
from workflows.contracts.ids import callbacks_id_for


async def test_a_cancel_is_passed_on_and_what_waits_is_closed(episode: MakeEpisode) -> None:
    batch = episode(5, max_parallel=2)
    batch.hold_up(range(1, 6))

    run = await batch.start()
    await batch.reaches("active", "active", "waiting", "waiting", "waiting")
    await run.cancel()

    await cancelled(run)
    assert batch.states() == ["cancelled"] * 5
    assert batch.never_started == set(batch.ids[2:])
    assert batch.last("batches.close", CloseBatch).state is BatchState.CANCELLED


async def test_a_video_that_is_finished_by_then_is_kept(episode: MakeEpisode) -> None:
    batch = episode(2, max_parallel=1)
    gates = batch.hold_up((1,))
    batch.item(1).on("provider.withdraw", Withdrawn(state="completed"))

    run = await batch.start()
    await until(gates[1].entered.is_set)
    await run.cancel()

    await cancelled(run)
    assert batch.states() == ["completed", "cancelled"]


async def test_the_batch_ends_after_its_children(episode: MakeEpisode) -> None:
    batch = episode(1)
    gates = batch.hold_up((1,))
    withdrawing = Gate(Withdrawn(state="deleted"))
    batch.item(1).on("provider.withdraw", withdrawing)

    run = await batch.start()
    await until(gates[1].entered.is_set)
    await run.cancel()
    await until(withdrawing.entered.is_set)
    before = batch.count("batches.close")
    withdrawing.opened.set()

    await cancelled(run)
    assert before == 0


async def test_a_cancel_while_the_whole_is_reserved_releases_it(episode: MakeEpisode) -> None:
    batch = episode(3)
    reserving = Gate(batch.terms)
    batch.instead("batches.reserve", reserving)

    run = await batch.start()
    await until(reserving.entered.is_set)
    await run.cancel()
    await asyncio.sleep(0.2)
    reserving.opened.set()

    await cancelled(run)
    assert not reserving.cancelled.is_set()
    assert batch.states() == ["cancelled"] * 3
    assert all(script.calls == [] for script in batch.items.values())


async def test_a_cancel_reaches_the_children_of_an_earlier_run(episode: MakeEpisode) -> None:
    batch = episode(4, max_parallel=2)
    batch.hold_up(range(1, 5))

    first = await batch.start()
    await batch.reaches("active", "active", "waiting", "waiting")
    await first.terminate()
    second = await batch.start()
    await until(lambda: batch.count("batches.look") > 1)
    await second.cancel()

    await cancelled(second)
    assert batch.states() == ["cancelled"] * 4


@pytest.mark.skipif(
    os.environ.get("STILLMOTION_EVIDENCE") != "1",
    reason="skipped time stands still where a cancel meets a running task: part of `make evidence`",
)
async def test_what_an_earlier_run_started_holds_a_cancel_up_for_a_day_at_most(
    in_no_time: Theatre,
) -> None:
    batch = Episode(in_no_time, 2, max_parallel=1)
    # Nobody knows what became of the paid POST, so a cancel waits until somebody does.
    batch.item(1).on("provider.submit", refused(FailureKind.SUBMISSION_AMBIGUOUS))
    unproven = Reconciled(verdict=Verdict.UNPROVEN, evidence="The list lags.")
    batch.item(1).on("provider.reconcile", unproven)

    first = await batch.start()
    await until(lambda: batch.item(1).count("provider.reconcile"))
    await until(lambda: _is_at_rest(first, "CHILD_WORKFLOW_EXECUTION_STARTED"))
    await first.terminate()
    second = await batch.start()
    await until(lambda: _is_at_rest(second, "TIMER_STARTED"))
    await second.cancel()

    with pytest.raises(WorkflowFailureError):
        await second.result()
    waited = [each for each in timers(await history(second)) if each >= timeouts.STRAY_LOOK_MIN]
    assert batch.states() == ["active", "cancelled"]
    assert batch.last("batches.close", CloseBatch).state is BatchState.CANCELLED
    assert timeouts.STRAY_PATIENCE <= sum(waited, timedelta()) < timeouts.STRAY_PATIENCE * 2


async def _is_at_rest(batch: Handle, event: str) -> bool:
    """Whether it waits, after this event.

    A message that comes in the middle of a workflow task keeps this server from skipping time.
    """
    names = [EventType.Name(each.event_type) for each in await history(batch)]
    tasks = [name for name in names if name.startswith("EVENT_TYPE_WORKFLOW_TASK_")]
    return f"EVENT_TYPE_{event}" in names and tasks[-1] == "EVENT_TYPE_WORKFLOW_TASK_COMPLETED"


async def test_a_terminated_child_of_an_earlier_run_can_be_asked_to_end(
    episode: MakeEpisode,
) -> None:
    batch = episode(2, max_parallel=1)
    gates = batch.hold_up((1,))

    first = await batch.start()
    await until(gates[1].entered.is_set)
    await first.terminate()
    await batch.theatre.client.get_workflow_handle(batch.ids[0]).terminate()
    second = await batch.start()
    await second.cancel()
    await until(lambda: batch.count("batches.list_started") > 1)
    batch.never_started.add(batch.ids[0])

    await cancelled(second)


async def test_a_terminated_child_that_is_started_again_is_cancelled_and_waited_for(
    episode: MakeEpisode,
) -> None:
    batch = episode(2, max_parallel=1)
    gates = batch.hold_up((1, 2))
    withdrawing = Gate(Withdrawn(state="deleted"))
    batch.item(1).on("provider.withdraw", withdrawing)

    run = await batch.start()
    await until(gates[1].entered.is_set)
    await batch.theatre.client.get_workflow_handle(batch.ids[0]).terminate()
    await until(gates[2].entered.is_set)
    gates[1].entered.clear()
    await batch.theatre.client.start_workflow(
        "ImageToVideo", {"claimed": True}, id=batch.ids[0], task_queue="stillmotion"
    )
    await until(gates[1].entered.is_set)
    await run.cancel()
    await until(withdrawing.entered.is_set)
    await until(lambda: batch.count("batches.list_started") > 1)
    before = batch.count("batches.close")
    withdrawing.opened.set()

    await cancelled(run)
    assert before == 0
    assert batch.last("batches.close", CloseBatch).lost == ()
    assert batch.states() == ["cancelled", "cancelled"]


async def test_receivers_are_told_of_what_was_cancelled_before_its_start(
    episode: MakeEpisode,
) -> None:
    batch = episode(3, max_parallel=1)
    batch.hold_up((1,))
    pages = [
        ClosedWaiting(closed=1, to_tell=(batch.ids[1],), told_to=2, is_all=False),
        ClosedWaiting(closed=1, to_tell=(batch.ids[2],)),
    ]
    batch.instead("batches.close_waiting", *pages)

    run = await batch.start()
    await batch.reaches("active", "waiting", "waiting")
    await run.cancel()

    await cancelled(run)
    assert batch.last("batches.close_waiting", CloseWaiting).told_to == 2
    for generation_id in batch.ids[1:]:
        told = batch.theatre.client.get_workflow_handle(callbacks_id_for(generation_id))
        assert (await told.describe()).workflow_type == "Callbacks"
