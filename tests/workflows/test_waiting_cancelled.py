"""A cancel after the provider took the job: a finished one is kept, any other is dropped."""

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.workflows.scripted import PREDICTION, VIDEO, Gate, Script, refused
from tests.workflows.theatre import (
    PATIENCE_S,
    Theatre,
    cancelled,
    reaches,
    saw_the_cancel,
    until,
)
from workflows.contracts.activities import (
    Booked,
    PredictionEnd,
    Reconciled,
    Saved,
    Verdict,
    Withdrawn,
)
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage

COMPLETED = PredictionEnd(state="completed")
RUNNING = PredictionEnd(state="running")
BOOKED = Booked(cost_usd_micros=500_000, money="$0.50 was booked for now.")
UNPROVEN = Reconciled(verdict=Verdict.UNPROVEN, evidence="Not yet.")
RELEASED = (FailureKind.CANCELLED, "release")
PROVISIONAL = (FailureKind.CANCELLED, "provisional")


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
    await cancelled(handle)

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
    await cancelled(handle)

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
    await cancelled(handle)


async def test_a_cancel_during_a_look_beside_the_poll_is_carried_out(theatre: Theatre) -> None:
    poll, look = Gate(RUNNING), Gate(RUNNING)
    script = Script().on("provider.poll", poll).on("provider.check", look)
    handle = await theatre.start(script)
    await poll.entered.wait()
    await handle.signal("provider_event")
    await look.entered.wait()

    await handle.cancel()
    await saw_the_cancel(handle)
    look.opened.set()
    await cancelled(handle)

    assert script.closed() == PROVISIONAL


async def test_a_cancel_while_parked_is_carried_out_at_once(theatre: Theatre) -> None:
    script = Script().on("provider.poll", RUNNING)
    handle = await theatre.start(script)
    await reaches(handle, Stage.TIMED_OUT)

    await handle.cancel()
    await cancelled(handle)

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
    await saw_the_cancel(handle)
    gate.opened.set()
    await cancelled(handle)

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
    await saw_the_cancel(handle)
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
    await cancelled(handle)

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
    await cancelled(handle)

    assert script.closed() == PROVISIONAL
