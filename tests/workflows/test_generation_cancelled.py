"""A cancel at every place: what is paid is kept or booked, everything else is given back."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import CancelledError
from temporalio.testing import WorkflowEnvironment

from tests.workflows.scripted import PREDICTION, VIDEO, Gate, Script, Stagehand, refused, terms_of
from tests.workflows.theatre import PATIENCE_S, Handle, Theatre, facts, playing, reaches, until
from workflows.contracts.activities import (
    Booked,
    PredictionEnd,
    PromptBuilt,
    Reconciled,
    Saved,
    Submitted,
    Verdict,
    Withdrawn,
)
from workflows.contracts.failures import FailureKind
from workflows.contracts.queues import STATUS
from workflows.contracts.stages import Stage

TAKEN = Submitted(prediction_id=PREDICTION)
COMPLETED = PredictionEnd(state="completed")
RUNNING = PredictionEnd(state="running")
BOOKED = Booked(cost_usd_micros=500_000, money="$0.50 was booked for now.")
AMBIGUOUS = refused(FailureKind.SUBMISSION_AMBIGUOUS)
UNPROVEN = Reconciled(verdict=Verdict.UNPROVEN, evidence="Not yet.")
RELEASED = (FailureKind.CANCELLED, "release")
PROVISIONAL = (FailureKind.CANCELLED, "provisional")


async def test_a_cancelled_generation_is_a_canceled_workflow_and_listed_so(
    theatre: Theatre,
) -> None:
    poll = Gate(COMPLETED)
    handle = await theatre.start(Script().on("provider.poll", poll).on("ledger.close", BOOKED))
    await poll.entered.wait()

    await handle.cancel()
    await _cancelled(handle)

    described = await handle.describe()
    assert described.status is WorkflowExecutionStatus.CANCELED
    assert described.typed_search_attributes[STATUS] == "cancelled"
    seen = await facts(handle)
    assert (seen.stage, seen.money) == (Stage.CANCELLED, "$0.50 was booked for now.")
    assert seen.failure is not None
    assert seen.failure.kind is FailureKind.CANCELLED


async def test_a_cancel_before_the_first_step_gives_back_what_is_then_held(
    clock: WorkflowEnvironment,
) -> None:
    stagehand, script = Stagehand(), Script()
    async with playing(clock.client, stagehand, []) as theatre:
        handle = await theatre.start(script)
        await handle.cancel()
        async with playing(clock.client, stagehand):
            await _cancelled(handle)

    assert script.calls == ["ledger.reserve", "ledger.close"]
    assert script.closed() == RELEASED


async def test_a_cancel_while_it_reserves_waits_for_the_hold_and_gives_it_back(
    theatre: Theatre,
) -> None:
    reserve = Gate(terms_of("gen_x"))
    script = Script().on("ledger.reserve", reserve)
    handle = await theatre.start(script)
    await reserve.entered.wait()

    await handle.cancel()
    await _requested(handle)
    reserve.opened.set()
    await _cancelled(handle)

    assert not reserve.cancelled.is_set()
    assert script.calls == ["ledger.reserve", "ledger.close"]
    assert script.closed() == RELEASED


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("prompts.build_prompt", PromptBuilt(prompt_by="caller")),
        ("provider.stage_inputs", RuntimeError("never answered")),
    ],
)
async def test_a_cancel_before_the_submission_ends_it_at_once(
    theatre: Theatre, name: str, answer: PromptBuilt | RuntimeError
) -> None:
    gate = Gate(answer)
    script = Script().on(name, gate)
    handle = await theatre.start(script)
    await gate.entered.wait()

    await handle.cancel()
    await _cancelled(handle)

    assert not gate.opened.is_set()
    assert script.closed() == RELEASED
    assert script.count("provider.submit") == 0


async def test_a_cancel_while_it_waits_to_submit_again_gives_the_hold_back(
    theatre: Theatre,
) -> None:
    script = Script().on("provider.submit", refused(FailureKind.SUBMITS_PAUSED))
    handle = await theatre.start(script)
    await _says_why(handle)

    await handle.cancel()
    await _cancelled(handle)

    assert script.count("provider.submit") == 1
    assert script.closed() == RELEASED


async def test_a_cancel_while_it_submits_waits_for_the_outcome_then_withdraws(
    theatre: Theatre,
) -> None:
    sending = Gate(TAKEN)
    script = Script().on("provider.submit", sending)
    handle = await theatre.start(script)
    await sending.entered.wait()

    await handle.cancel()
    await _requested(handle)
    sending.opened.set()
    await _cancelled(handle)

    assert not sending.cancelled.is_set()
    assert script.calls[-3:] == ["provider.submit", "provider.withdraw", "ledger.close"]
    assert script.closed() == PROVISIONAL


@pytest.mark.parametrize("error", [AMBIGUOUS, refused(FailureKind.PROVIDER_OVERLOADED)])
async def test_a_cancel_while_it_submits_never_submits_again(
    theatre: Theatre, error: BaseException
) -> None:
    sending = Gate(error)
    script = Script().on("provider.submit", sending)
    script.on("provider.reconcile", Reconciled(verdict=Verdict.ABSENT, evidence="Nothing."))
    handle = await theatre.start(script)
    await sending.entered.wait()

    await handle.cancel()
    await _requested(handle)
    sending.opened.set()
    await _cancelled(handle)

    assert script.count("provider.submit") == 1
    assert script.closed() == RELEASED


async def test_a_cancel_in_doubt_gives_nothing_back_before_the_doubt_is_settled(
    in_no_time: Theatre,
) -> None:
    looking = Gate(UNPROVEN)
    adopted = Reconciled(verdict=Verdict.ADOPTED, prediction_id=PREDICTION, evidence="Found.")
    script = Script().on("provider.submit", AMBIGUOUS)
    script.on("provider.reconcile", looking, *[UNPROVEN] * 8, adopted)
    handle = await in_no_time.start(script)
    await looking.entered.wait()

    await handle.cancel()
    await _requested(handle)
    looking.opened.set()
    await _cancelled(handle)

    assert script.count("provider.reconcile") == 10
    assert script.calls.index("provider.withdraw") < script.calls.index("ledger.close")
    assert script.closed() == PROVISIONAL


async def test_a_cancel_of_an_unresolved_one_looks_at_once_and_ends_it_when_proven_absent(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS)
    absent = Reconciled(verdict=Verdict.ABSENT, evidence="Nothing.")
    script.on("provider.reconcile", *[UNPROVEN] * 6, absent)
    handle = await in_no_time.start(script)
    await until(lambda: script.count("provider.reconcile") == 1)
    while (await facts(handle)).stage is not Stage.UNRESOLVED:
        await clock.sleep(timedelta(seconds=10))

    await handle.cancel()
    await until(lambda: script.count("provider.reconcile") == 7)
    await _cancelled(handle)

    assert script.closed() == RELEASED


@pytest.mark.parametrize("state", ["deleted", "gone"])
async def test_a_cancel_while_the_provider_works_drops_the_job_and_books_the_quote_for_now(
    theatre: Theatre, state: str
) -> None:
    poll = Gate(COMPLETED)
    script = Script().on("provider.poll", poll)
    script.on("provider.withdraw", Withdrawn.model_validate({"state": state}))
    handle = await theatre.start(script)
    await poll.entered.wait()

    await handle.cancel()
    await _cancelled(handle)

    assert script.calls[-2:] == ["provider.withdraw", "ledger.close"]
    assert script.closed() == PROVISIONAL


async def test_a_cancel_that_finds_the_job_finished_keeps_the_video(theatre: Theatre) -> None:
    poll = Gate(RUNNING)
    script = Script().on("provider.poll", poll)
    script.on("provider.withdraw", Withdrawn(state="completed"))
    handle = await theatre.start(script)
    await poll.entered.wait()

    await handle.cancel()
    result = await handle.result()

    assert result.prediction_id == PREDICTION
    assert (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert script.count("ledger.close") == 0


async def test_a_cancel_that_finds_the_job_failed_costs_nothing(theatre: Theatre) -> None:
    poll = Gate(RUNNING)
    script = Script().on("provider.poll", poll)
    script.on("provider.withdraw", Withdrawn(state="failed", kind=FailureKind.PROVIDER_FAILED))
    handle = await theatre.start(script)
    await poll.entered.wait()

    await handle.cancel()
    await _cancelled(handle)

    assert script.closed() == RELEASED


async def test_a_cancel_stops_the_poll(theatre: Theatre) -> None:
    poll, withdraw = Gate(RUNNING), Gate(Withdrawn(state="deleted"))
    script = Script().on("provider.poll", poll).on("provider.withdraw", withdraw)
    handle = await theatre.start(script)
    await poll.entered.wait()

    await handle.cancel()
    await withdraw.entered.wait()

    async with asyncio.timeout(PATIENCE_S):
        await poll.cancelled.wait()
    withdraw.opened.set()
    await _cancelled(handle)


async def test_a_cancel_during_a_look_beside_the_poll_is_carried_out(theatre: Theatre) -> None:
    poll, look = Gate(RUNNING), Gate(RUNNING)
    script = Script().on("provider.poll", poll).on("provider.check", look)
    handle = await theatre.start(script)
    await poll.entered.wait()
    await handle.signal("provider_event")
    await look.entered.wait()

    await handle.cancel()
    await _requested(handle)
    look.opened.set()
    await _cancelled(handle)

    assert script.closed() == PROVISIONAL


async def test_a_cancel_while_parked_is_carried_out_at_once(theatre: Theatre) -> None:
    script = Script().on("provider.poll", RUNNING)
    handle = await theatre.start(script)
    await reaches(handle, Stage.TIMED_OUT)

    await handle.cancel()
    await _cancelled(handle)

    assert script.calls[-2:] == ["provider.withdraw", "ledger.close"]
    assert script.closed() == PROVISIONAL


async def test_a_cancel_while_parked_keeps_a_job_that_has_finished(theatre: Theatre) -> None:
    script = Script().on("provider.poll", RUNNING)
    script.on("provider.withdraw", Withdrawn(state="completed"))
    handle = await theatre.start(script)
    await reaches(handle, Stage.TIMED_OUT)

    await handle.cancel()
    result = await handle.result()

    assert result.prediction_id == PREDICTION
    assert script.count("provider.check") == 0


@pytest.mark.parametrize("name", ["ledger.park", "provider.check"])
async def test_a_cancel_while_a_parked_one_is_busy_is_carried_out(
    theatre: Theatre, name: str
) -> None:
    gate = Gate(Booked(cost_usd_micros=0, money="Held.") if name == "ledger.park" else RUNNING)
    script = Script().on("provider.poll", RUNNING).on(name, gate)
    handle = await theatre.start(script)
    if name == "provider.check":
        await reaches(handle, Stage.TIMED_OUT)
        await handle.signal("resume")
    await gate.entered.wait()

    await handle.cancel()
    await _requested(handle)
    gate.opened.set()
    await _cancelled(handle)

    assert script.closed() == PROVISIONAL


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("media.download", VIDEO),
        ("library.save", Saved(asset_id="ast_1")),
        ("ledger.record_usage", BOOKED),
    ],
)
async def test_a_cancel_after_the_job_is_finished_keeps_the_video(
    theatre: Theatre, name: str, answer: Saved | Booked
) -> None:
    gate = Gate(answer)
    script = Script().on(name, gate)
    handle = await theatre.start(script)
    await gate.entered.wait()

    await handle.cancel()
    await _requested(handle)
    gate.opened.set()
    await handle.result()

    assert not gate.cancelled.is_set()
    assert script.count("provider.withdraw") == 0
    assert script.calls[-1] == "ledger.record_usage"


async def test_a_cancel_while_the_finished_video_can_not_be_fetched_keeps_it(
    theatre: Theatre,
) -> None:
    full = refused(FailureKind.STORE_FULL, "The media store is full.")
    script = Script().on("media.download", full, full, VIDEO)
    handle = await theatre.start(script)
    await reaches(handle, Stage.TIMED_OUT)

    await handle.cancel()
    await until(lambda: script.count("media.download") == 2)
    await reaches(handle, Stage.TIMED_OUT)
    await handle.signal("resume")
    await handle.result()

    assert script.count("ledger.close") == 0


async def test_a_second_cancel_does_not_disturb_the_first(theatre: Theatre) -> None:
    poll, withdraw = Gate(RUNNING), Gate(Withdrawn(state="deleted"))
    closing = Gate(BOOKED)
    script = Script().on("provider.poll", poll).on("provider.withdraw", withdraw)
    script.on("ledger.close", closing)
    handle = await theatre.start(script)
    await poll.entered.wait()

    await handle.cancel()
    await withdraw.entered.wait()
    await handle.cancel()
    withdraw.opened.set()
    await closing.entered.wait()
    await handle.cancel()
    closing.opened.set()
    await _cancelled(handle)

    assert not withdraw.cancelled.is_set()
    assert not closing.cancelled.is_set()
    assert script.closed() == PROVISIONAL


async def test_a_cancel_that_the_provider_can_not_be_told_is_booked_for_now(
    theatre: Theatre,
) -> None:
    poll = Gate(RUNNING)
    script = Script().on("provider.poll", poll)
    script.on("provider.withdraw", refused(FailureKind.PROVIDER_REFUSED_KEY))
    handle = await theatre.start(script)
    await poll.entered.wait()

    await handle.cancel()
    await _cancelled(handle)

    assert script.closed() == PROVISIONAL


async def _cancelled(handle: Handle) -> None:
    """The workflow ends as cancelled."""
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(WorkflowFailureError) as ended:
            await handle.result()
    assert isinstance(ended.value.cause, CancelledError), f"{ended.value.cause!r}"


async def _requested(handle: Handle) -> None:
    """The workflow has seen the cancel, and what it does next is not because it came too late."""

    async def seen() -> bool:
        history = await handle.fetch_history()
        ids = [event.event_id for event in history.events]
        cancel = [
            event.event_id
            for event in history.events
            if event.HasField("workflow_execution_cancel_requested_event_attributes")
        ]
        tasks = [
            event.event_id
            for event in history.events
            if event.HasField("workflow_task_completed_event_attributes")
        ]
        return bool(ids and cancel and tasks) and tasks[-1] > cancel[-1]

    await until(seen)


async def _says_why(handle: Handle) -> None:
    async def told() -> bool:
        return (await facts(handle)).failure is not None

    await until(told)
