"""The batch's workflow: a window of items, each end its own, parents that come and go."""

import asyncio
from typing import Any

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from tests.workflows.episodes import BatchRun, Episode, MakeEpisode
from tests.workflows.scripted import refused
from tests.workflows.theatre import PATIENCE_S, Theatre, failed, history, payloads, raw, until
from workers.pools import RUNNER, WORKFLOWS
from workflows.contracts.activities import PredictionEnd
from workflows.contracts.batch_results import BatchState
from workflows.contracts.batches import BatchResult, CloseBatch, ClosedWaiting
from workflows.contracts.failures import FailureKind
from workflows.contracts.progress import ProgressFacts

EVENTS_AN_ITEM_MAX = 11.5
EVENTS_BESIDES_MAX = 50
"""So 500 items stay below 6,000 events."""


async def ends(run: BatchRun) -> BatchResult:
    async with asyncio.timeout(PATIENCE_S):
        return await run.result()


async def test_items_are_started_as_there_is_room_and_in_their_order(episode: MakeEpisode) -> None:
    batch = episode(5, max_parallel=2)
    gates = batch.hold_up(range(1, 6))

    run = await batch.start()
    await batch.reaches("active", "active", "waiting", "waiting", "waiting")
    gates[2].opened.set()
    await batch.reaches("active", "completed", "active", "waiting", "waiting")
    for gate in gates.values():
        gate.opened.set()

    assert await ends(run) == BatchResult(completed=5, failed=0, cancelled=0)
    assert batch.at_once == 2
    assert batch.last("batches.close", CloseBatch).state is BatchState.COMPLETED


async def test_an_item_that_fails_leaves_the_others(episode: MakeEpisode) -> None:
    batch = episode(3, max_parallel=1)
    batch.item(2).on("provider.submit", refused(FailureKind.PROMPT_REJECTED))

    run = await batch.start()

    assert await ends(run) == BatchResult(completed=2, failed=1, cancelled=0)
    assert batch.states() == ["completed", "failed", "completed"]


async def test_a_refused_batch_fails_with_its_reason_and_starts_nothing(
    episode: MakeEpisode,
) -> None:
    batch = episode(3)
    told = "items: 3 videos for $1.50; plan free has 2 videos left."
    batch.instead("batches.reserve", refused(FailureKind.QUOTA_EXCEEDED, told))
    batch.instead("batches.close_waiting", ClosedWaiting(closed=0))

    failure = await failed(await batch.start())

    closed = batch.last("batches.close", CloseBatch)
    assert (failure.kind, failure.message) == (FailureKind.QUOTA_EXCEEDED, told)
    assert (closed.state, closed.failure) == (BatchState.FAILED, failure)
    assert batch.calls == ["batches.reserve", "batches.close_waiting", "batches.close"]
    assert batch.states() == ["waiting"] * 3


async def test_a_batch_that_has_ended_before_is_left_as_it_is(episode: MakeEpisode) -> None:
    batch = episode(1).instead("batches.reserve", refused(FailureKind.ALREADY_CLOSED))

    failure = await failed(await batch.start())

    assert failure.kind is FailureKind.ALREADY_CLOSED
    assert batch.calls == ["batches.reserve"]


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.INTERNAL,
        # An earlier attempt that timed out may have held by the time that this one is told so.
        FailureKind.NO_PLAN,
        FailureKind.KEY_REUSED,
    ],
)
async def test_a_reservation_that_may_have_held_is_released_whatever_it_says(
    episode: MakeEpisode, kind: FailureKind
) -> None:
    batch = episode(2).instead("batches.reserve", refused(kind))

    failure = await failed(await batch.start())

    assert failure.kind is kind
    assert batch.states() == ["cancelled", "cancelled"]
    assert batch.last("batches.close", CloseBatch).state is BatchState.FAILED


async def test_children_outlive_a_terminated_parent_and_its_next_run_goes_on(
    episode: MakeEpisode,
) -> None:
    batch = episode(4, max_parallel=2)
    gates = batch.hold_up((1, 2))

    first = await batch.start()
    await batch.reaches("active", "active", "waiting", "waiting")
    await first.terminate()
    gates[1].opened.set()
    await batch.reaches("completed", "active", "waiting", "waiting")
    second = await batch.start()
    await batch.reaches("completed", "active", "completed", "completed")
    gates[2].opened.set()

    assert await ends(second) == BatchResult(completed=4, failed=0, cancelled=0)
    assert [script.count("ledger.reserve") for script in batch.items.values()] == [1, 1, 1, 1]
    assert batch.at_once == 2


async def test_a_child_that_waits_for_a_worker_is_not_started_twice(episode: MakeEpisode) -> None:
    batch = episode(2, max_parallel=2)
    gates = batch.hold_up((1,))
    child = await batch.theatre.client.start_workflow(
        "ImageToVideo", {"claimed": True}, id=batch.ids[0], task_queue="stillmotion"
    )
    await until(gates[1].entered.is_set)
    # The database does not know yet that it has begun.
    asked = batch.item(1).asked.copy()
    batch.item(1).asked.clear()

    run = await batch.start()
    await batch.reaches("waiting", "completed")
    batch.item(1).asked += asked
    gates[1].opened.set()

    assert await ends(run) == BatchResult(completed=2, failed=0, cancelled=0)
    assert (await child.describe()).run_id == child.first_execution_run_id


async def test_a_terminated_child_costs_its_own_video_only(episode: MakeEpisode) -> None:
    batch = episode(3, max_parallel=1)
    batch.hold_up((1,))

    run = await batch.start()
    await batch.reaches("active", "waiting", "waiting")
    await batch.theatre.client.get_workflow_handle(batch.ids[0]).terminate()

    assert await ends(run) == BatchResult(completed=2, failed=1, cancelled=0)


async def test_a_terminated_child_that_is_started_again_ends_as_it_ends(
    episode: MakeEpisode,
) -> None:
    batch = episode(2, max_parallel=1)
    gates = batch.hold_up((1, 2))

    run = await batch.start()
    await batch.reaches("active", "waiting")
    await batch.theatre.client.get_workflow_handle(batch.ids[0]).terminate()
    await batch.reaches("active", "active")
    await batch.theatre.client.start_workflow(
        "ImageToVideo", {"claimed": True}, id=batch.ids[0], task_queue="stillmotion"
    )
    gates[1].opened.set()
    await batch.reaches("completed", "active")
    gates[2].opened.set()

    assert await ends(run) == BatchResult(completed=2, failed=0, cancelled=0)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ((raw(b"null"),), "input"),
        (({},), "batch_id"),
        (({"claimed": True},), "batch_id"),
        (({"batch_id": "gen_one"},), "batch_id"),
        (({"batch_id": "bat_" + "b" * 26},), "the workflow's own id"),
        ((raw(b"[1]"),), "input"),
    ],
    ids=["null", "empty", "a claim", "no batch id", "another id", "a list"],
)
async def test_bad_input_ends_as_a_failed_workflow_that_asks_nobody(
    episode: MakeEpisode, inputs: tuple[Any, ...], told: str
) -> None:
    batch = episode(1)

    failure = await failed(await batch.start(*inputs))

    assert failure.kind is FailureKind.INVALID_REQUEST
    assert told in failure.message
    assert batch.calls == []


async def test_history_is_small_in_events_and_payloads_and_replays(episode: MakeEpisode) -> None:
    size = 40
    batch = episode(size, max_parallel=1)

    run = await batch.start()
    async with asyncio.timeout(3 * PATIENCE_S):
        await run.result()
    events = await history(run)
    replayed = await Replayer(
        workflows=WORKFLOWS, workflow_runner=RUNNER, data_converter=pydantic_data_converter
    ).replay_workflow(await run.fetch_history())

    assert len(events) <= EVENTS_AN_ITEM_MAX * size + EVENTS_BESIDES_MAX
    assert all(len(each.data) <= 2000 for event in events for each in payloads(event))
    assert replayed.replay_failure is None


async def test_an_item_says_whose_it_is_and_where_it_is(episode: MakeEpisode) -> None:
    batch = episode(1)
    gates = batch.hold_up((1,))

    await batch.start()
    await batch.reaches("active")
    child = batch.theatre.client.get_workflow_handle(batch.ids[0])
    facts = await child.query("progress", result_type=ProgressFacts)
    described = await child.describe()
    gates[1].opened.set()

    assert facts.generation_id == batch.ids[0]
    assert described.parent_id == batch.batch_id
    assert described.workflow_type == "ImageToVideo"
    priority = described.raw_description.workflow_execution_info.priority
    assert (priority.fairness_key, priority.fairness_weight) == (batch.terms.user_hash, 2.0)
    assert await described.static_summary() == f"item 1 of {batch.batch_id}"


async def test_a_job_past_its_deadline_frees_its_place(in_no_time: Theatre) -> None:
    batch = Episode(in_no_time, 2, max_parallel=1)
    batch.item(1).on("provider.poll", PredictionEnd(state="running"))

    async def finished_when_the_second_is(_: object) -> PredictionEnd:
        done = batch.states()[1] == "completed"
        return PredictionEnd(state="completed" if done else "running")

    batch.item(1).on("provider.check", finished_when_the_second_is)

    run = await batch.start()

    assert await run.result() == BatchResult(completed=2, failed=0, cancelled=0)
    assert batch.item(1).count("ledger.park") >= 1
    assert batch.at_once == 1
    await until(lambda: batch.states() == ["completed", "completed"])
