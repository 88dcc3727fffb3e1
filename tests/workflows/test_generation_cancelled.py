"""A cancel before the provider took the job: nothing is lost, and what was held is given back."""

from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment

from tests.workflows.scripted import PREDICTION, Gate, Script, refused, terms_of
from tests.workflows.stagehand import Stagehand
from tests.workflows.theatre import (
    Handle,
    Theatre,
    cancelled,
    facts,
    history,
    playing,
    saw_the_cancel,
    timers,
    until,
)
from workflows.contracts.activities import (
    Booked,
    PredictionEnd,
    PromptBuilt,
    Reconciled,
    Submitted,
    Verdict,
)
from workflows.contracts.failures import FailureKind
from workflows.contracts.queues import STATUS
from workflows.contracts.stages import Stage
from workflows.timeouts import RECONCILES_BEFORE_PARKING

TAKEN = Submitted(prediction_id=PREDICTION)
COMPLETED = PredictionEnd(state="completed")
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
    await cancelled(handle)

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
            await cancelled(handle)

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
    await saw_the_cancel(handle)
    reserve.opened.set()
    await cancelled(handle)

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
    await cancelled(handle)

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
    await cancelled(handle)

    assert script.count("provider.submit") == 1
    assert script.closed() == RELEASED


async def test_a_cancel_while_it_submits_waits_for_the_outcome_then_withdraws(
    theatre: Theatre,
) -> None:
    sending = Gate(TAKEN, outlasts=True)
    script = Script().on("provider.submit", sending)
    handle = await theatre.start(script)
    await sending.entered.wait()

    await handle.cancel()
    await sending.cancelled.wait()
    sending.opened.set()
    await cancelled(handle)

    assert script.calls[-3:] == ["provider.submit", "provider.withdraw", "ledger.close"]
    assert script.closed() == PROVISIONAL


@pytest.mark.parametrize("error", [AMBIGUOUS, refused(FailureKind.PROVIDER_OVERLOADED)])
async def test_a_cancel_while_it_submits_never_submits_again(
    theatre: Theatre, error: BaseException
) -> None:
    sending = Gate(error, outlasts=True)
    script = Script().on("provider.submit", sending)
    script.on("provider.reconcile", Reconciled(verdict=Verdict.ABSENT, evidence="Nothing."))
    handle = await theatre.start(script)
    await sending.entered.wait()

    await handle.cancel()
    await sending.cancelled.wait()
    sending.opened.set()
    await cancelled(handle)

    assert script.count("provider.submit") == 1
    assert script.closed() == RELEASED
    assert timers(await history(handle)) == []


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
    await saw_the_cancel(handle)
    looking.opened.set()
    await cancelled(handle)

    assert script.count("provider.reconcile") == 10
    assert script.calls.index("provider.withdraw") < script.calls.index("ledger.close")
    assert script.closed() == PROVISIONAL


async def test_a_cancel_of_an_unresolved_one_looks_at_once_and_ends_it_when_proven_absent(
    in_no_time: Theatre, clock: WorkflowEnvironment
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS)
    absent = Reconciled(verdict=Verdict.ABSENT, evidence="Nothing.")
    script.on("provider.reconcile", *[UNPROVEN] * RECONCILES_BEFORE_PARKING, absent)
    handle = await in_no_time.start(script)
    await until(lambda: script.count("provider.reconcile") == 1)
    while (await facts(handle)).stage is not Stage.UNRESOLVED:
        await clock.sleep(timedelta(seconds=10))

    await handle.cancel()
    await until(lambda: script.count("provider.reconcile") == RECONCILES_BEFORE_PARKING + 1)
    await cancelled(handle)

    assert script.closed() == RELEASED


async def _says_why(handle: Handle) -> None:
    async def told() -> bool:
        return (await facts(handle)).failure is not None

    await until(told)
