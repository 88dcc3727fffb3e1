"""A submission in doubt: reconciled, never sent again blindly; a person may decide."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from tests.workflows.scripted import HELD, PREDICTION, Gate, Script, refused
from tests.workflows.stagehand import Stagehand
from tests.workflows.theatre import (
    Handle,
    Theatre,
    facts,
    failed,
    history,
    playing,
    timers,
    until,
    workers,
)
from workflows.contracts.activities import (
    Booked,
    Park,
    Reconciled,
    Resolve,
    Submitted,
    Verdict,
    Watch,
)
from workflows.contracts.failures import FailureKind
from workflows.contracts.queues import STATUS, TaskQueue
from workflows.contracts.stages import Stage
from workflows.timeouts import RECONCILES_BEFORE_PARKING

OTHER = "fedcba9876543210fedcba9876543210"
AMBIGUOUS = refused(FailureKind.SUBMISSION_AMBIGUOUS, "The reply was lost.")
TAKEN = Submitted(prediction_id=PREDICTION)
ADOPTED = Reconciled(
    verdict=Verdict.ADOPTED, prediction_id=OTHER, evidence="Found by its staged URL."
)
ABSENT = Reconciled(verdict=Verdict.ABSENT, evidence="Not in 3 complete listings.")
UNPROVEN = Reconciled(verdict=Verdict.UNPROVEN, evidence="The listing is not complete.")
IN_FLIGHT = Reconciled(verdict=Verdict.IN_FLIGHT, evidence="Another process is sending.")

LOST = {
    "the reply was lost": AMBIGUOUS,
    "the worker stopped": ApplicationError("Stopped", type="WorkerShutdown"),
    "nobody knows why": ValueError("a malformed reply"),
}


@pytest.mark.parametrize("why", LOST)
async def test_a_submission_in_doubt_is_reconciled_and_not_sent_again(
    theatre: Theatre, why: str
) -> None:
    script = Script().on("provider.submit", LOST[why]).on("provider.reconcile", ADOPTED)

    handle = await theatre.start(script)
    result = await handle.result()

    assert result.prediction_id == OTHER
    assert script.count("provider.submit") == 1
    assert script.last("provider.poll", Watch).prediction_id == OTHER


async def test_a_submission_that_is_proven_absent_is_sent_again(theatre: Theatre) -> None:
    script = Script().on("provider.submit", AMBIGUOUS, TAKEN).on("provider.reconcile", ABSENT)

    handle = await theatre.start(script)
    result = await handle.result()

    assert result.prediction_id == PREDICTION
    assert script.count("provider.submit") == 2
    assert script.count("provider.reconcile") == 1


async def test_a_look_that_says_when_another_one_tells_more_is_not_kept_waiting(
    in_no_time: Theatre,
) -> None:
    soon = UNPROVEN.model_copy(update={"look_again_s": 7.0})
    script = (
        Script()
        .on("provider.submit", AMBIGUOUS)
        .on("provider.reconcile", *[UNPROVEN] * 6, soon, ADOPTED)
    )

    handle = await in_no_time.start(script)
    await handle.result()

    *_, before, last = [each.total_seconds() for each in timers(await history(handle))]
    assert before > 60
    assert last == 7


async def test_a_worker_that_is_killed_while_it_sends_leaves_a_doubt(
    in_no_time: Theatre,
) -> None:
    sending = Gate(TAKEN)
    script = Script().on("provider.submit", sending).on("provider.reconcile", ADOPTED)

    handle = await in_no_time.start(script)
    await sending.entered.wait()
    script.open_gates = lambda: None  # it stays silent: its heartbeats end with it
    asyncio.get_running_loop().call_later(0.1, sending.opened.set)
    await handle.result()

    assert script.count("provider.submit") == 1


async def test_a_worker_that_stops_while_it_sends_leaves_a_doubt(
    clock: WorkflowEnvironment,
) -> None:
    stagehand, sending = Stagehand(), Gate(TAKEN)
    script = Script().on("provider.submit", sending).on("provider.reconcile", ADOPTED)
    others = [queue for queue in TaskQueue if queue is not TaskQueue.SUBMIT]

    async with playing(clock.client, stagehand, others) as theatre:
        handle = await theatre.start(script)
        async with workers(clock.client, stagehand, [TaskQueue.SUBMIT])[0]:
            await sending.entered.wait()
        async with workers(clock.client, stagehand, [TaskQueue.SUBMIT])[0]:
            result = await handle.result()

    assert sending.cancelled.is_set()
    assert result.prediction_id == OTHER
    assert script.count("provider.submit") == 1


async def test_unproven_looks_are_repeated_with_growing_pauses_then_it_parks(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)

    handle = await _parked(in_no_time, clock, script)

    seconds = [pause.total_seconds() for pause in timers(await history(handle))]
    assert seconds[:4] == [4, 8, 16, 32]
    parked = script.last("ledger.park", Park)
    assert (parked.stage, parked.failure.kind) == (
        Stage.UNRESOLVED,
        FailureKind.SUBMISSION_AMBIGUOUS,
    )
    assert "The listing is not complete." in parked.failure.message
    assert handle.id in parked.failure.hint


async def test_a_parked_submission_says_so_in_progress_and_in_lists(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)

    handle = await _parked(in_no_time, clock, script)

    seen = await facts(handle)
    assert (seen.stage, seen.money) == (Stage.UNRESOLVED, HELD)
    assert seen.failure is not None
    assert seen.failure.kind is FailureKind.SUBMISSION_AMBIGUOUS
    assert (await handle.describe()).typed_search_attributes[STATUS] == "unresolved"


async def test_a_parked_submission_goes_on_looking_and_adopts_what_it_finds(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS)
    script.on("provider.reconcile", *[UNPROVEN] * 9, ADOPTED)

    handle = await _parked(in_no_time, clock, script)
    result = await handle.result()

    assert result.prediction_id == OTHER
    assert script.count("ledger.park") == 1
    assert (await facts(handle)).failure is None


async def test_a_provider_that_can_not_be_asked_proves_nothing(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS)
    script.on("provider.reconcile", refused(FailureKind.PROVIDER_REFUSED_KEY, "The key is wrong."))

    handle = await _parked(in_no_time, clock, script)

    seen = await facts(handle)
    assert seen.failure is not None
    assert "The key is wrong." in seen.failure.message
    assert script.count("ledger.close") == 0


async def test_a_person_adopts_a_prediction(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)
    script.on("provider.resolve", ADOPTED)
    handle = await _parked(in_no_time, clock, script)

    answer = await _decide(handle, "adopt", OTHER)
    result = await handle.result()

    assert answer == "Found by its staged URL."
    assert script.last("provider.resolve", Resolve).resolution.prediction_id == OTHER
    assert result.prediction_id == OTHER


async def test_a_person_has_it_submitted_again(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS, TAKEN)
    script.on("provider.reconcile", UNPROVEN).on("provider.resolve", ABSENT)
    handle = await _parked(in_no_time, clock, script)

    await _decide(handle, "resubmit")
    result = await handle.result()

    assert result.prediction_id == PREDICTION
    assert script.count("provider.submit") == 2


async def test_a_resubmission_after_a_long_doubt_has_all_patience_again(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    busy = refused(FailureKind.PROVIDER_OVERLOADED)
    script = Script().on("provider.submit", AMBIGUOUS, busy, busy, TAKEN)
    script.on("provider.reconcile", UNPROVEN).on("provider.resolve", ABSENT)
    handle = await _parked(in_no_time, clock, script)
    await clock.sleep(timedelta(hours=2))

    await _decide(handle, "resubmit")

    assert (await handle.result()).prediction_id == PREDICTION


async def test_a_person_gives_it_up(in_no_time: Theatre, clock: WorkflowEnvironment) -> None:
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)
    handle = await _parked(in_no_time, clock, script)

    answer = await _decide(handle, "give_up")
    told = await failed(handle)

    assert "Given up" in answer
    assert told.kind is FailureKind.GIVEN_UP
    assert script.closed() == (FailureKind.GIVEN_UP, "release")
    assert script.count("provider.resolve") == 0


@pytest.mark.parametrize("decision", ["resubmit", "give_up"])
async def test_what_was_found_meanwhile_counts_more_than_the_decision(
    in_no_time: Theatre, clock: WorkflowEnvironment, decision: str
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS)
    script.on("provider.reconcile", *[UNPROVEN] * RECONCILES_BEFORE_PARKING, ADOPTED)
    handle = await _parked(in_no_time, clock, script)

    answer = await _decide(handle, decision)
    result = await handle.result()

    assert answer == ADOPTED.evidence
    assert result.prediction_id == OTHER
    assert script.count("provider.submit") == 1
    assert script.count("provider.resolve") == 0


async def test_a_decision_while_a_sender_may_be_at_work_is_not_carried_out(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS)
    script.on("provider.reconcile", *[UNPROVEN] * RECONCILES_BEFORE_PARKING, IN_FLIGHT)
    handle = await _parked(in_no_time, clock, script)

    answer = await _decide(handle, "give_up")

    assert answer == IN_FLIGHT.evidence
    assert (await facts(handle)).stage is Stage.UNRESOLVED
    assert script.count("ledger.close") == 0


async def test_a_decision_that_can_not_be_carried_out_leaves_it_parked_with_the_reason(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)
    not_ours = Reconciled(verdict=Verdict.UNPROVEN, evidence="It was made of other inputs.")
    script.on("provider.resolve", refused(FailureKind.PROVIDER_REFUSED_KEY, "No."), not_ours)
    handle = await _parked(in_no_time, clock, script)

    first = await _decide(handle, "adopt", OTHER)
    second = await _decide(handle, "adopt", OTHER)

    assert (first, second) == ("No.", "It was made of other inputs.")
    assert (await facts(handle)).stage is Stage.UNRESOLVED


async def test_a_second_decision_while_one_is_carried_out_is_refused(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    resolving = Gate(ADOPTED)
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)
    script.on("provider.resolve", resolving)
    handle = await _parked(in_no_time, clock, script)

    first = asyncio.create_task(_decide(handle, "adopt", OTHER))
    await resolving.entered.wait()
    with pytest.raises(WorkflowUpdateFailedError):
        await _decide(handle, "give_up")
    resolving.opened.set()

    assert await first == ADOPTED.evidence
    assert (await handle.result()).prediction_id == OTHER


async def test_a_decision_after_it_was_given_up_is_refused(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    closing = Gate(Booked(cost_usd_micros=0, money="Nothing was charged."))
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)
    script.on("ledger.close", closing)
    handle = await _parked(in_no_time, clock, script)
    await _decide(handle, "give_up")
    await closing.entered.wait()

    with pytest.raises(WorkflowUpdateFailedError):
        await _decide(handle, "resubmit")

    closing.opened.set()
    assert (await failed(handle)).kind is FailureKind.GIVEN_UP


async def test_resume_looks_at_once(in_no_time: Theatre, clock: WorkflowEnvironment) -> None:
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)
    handle = await _parked(in_no_time, clock, script)
    looks = script.count("provider.reconcile")

    await handle.signal("resume")

    await until(lambda: script.count("provider.reconcile") > looks)
    assert script.count("provider.reconcile") == looks + 1


async def _parked(theatre: Theatre, clock: WorkflowEnvironment, script: Script) -> Handle:
    """A generation whose submission is unresolved."""
    handle = await theatre.start(script)
    await until(lambda: script.count("provider.reconcile") >= 1)
    while (await facts(handle)).stage is not Stage.UNRESOLVED:
        await clock.sleep(timedelta(seconds=10))
    return handle


async def _decide(handle: Handle, decision: str, prediction_id: str | None = None) -> str:
    resolution = {"decision": decision, "prediction_id": prediction_id}
    return await handle.execute_update("resolve_submission", resolution, result_type=str)
