"""Waiting for the provider's job: its own word ends it, and no clock but its retention."""

from datetime import timedelta

import pytest

from tests.workflows.scripted import HELD, PREDICTION, Gate, Script, refused, terms_of
from tests.workflows.theatre import Theatre, facts, failed, history, reaches, timers, until
from workflows.contracts.activities import Booked, Park, PredictionEnd, Reserve, Watch
from workflows.contracts.failures import FailureKind
from workflows.contracts.queues import STATUS
from workflows.contracts.stages import Stage
from workflows.contracts.terms import Terms

RUNNING = PredictionEnd(state="running")
COMPLETED = PredictionEnd(state="completed")
GONE = PredictionEnd(state="gone", message="The provider does not know the prediction.")
HOUSE = Booked(cost_usd_micros=0, money="Nothing was charged; it is on us.")
KEY_REFUSED = refused(FailureKind.PROVIDER_REFUSED_KEY, "The provider refuses our key.")
LONG = timedelta(hours=6)


@pytest.mark.parametrize(
    ("end", "kind", "message"),
    [
        (
            PredictionEnd(state="failed", kind=FailureKind.PROMPT_REJECTED, message="Moderated."),
            FailureKind.PROMPT_REJECTED,
            "Moderated.",
        ),
        (
            PredictionEnd(state="failed", kind=FailureKind.PROVIDER_FAILED, message="Code 1000."),
            FailureKind.PROVIDER_FAILED,
            "Code 1000.",
        ),
        (PredictionEnd(state="failed", message="No reason."), FailureKind.PROVIDER_FAILED, None),
    ],
)
async def test_a_job_that_the_provider_failed_gives_the_hold_back(
    theatre: Theatre, end: PredictionEnd, kind: FailureKind, message: str | None
) -> None:
    script = Script().on("provider.poll", end)

    handle = await theatre.start(script)
    told = await failed(handle)

    assert told.kind is kind
    assert told.message == (message or "No reason.")
    assert script.closed() == (kind, "release")
    assert script.count("media.download") == 0


async def test_beyond_the_deadline_it_parks_with_the_way_to_resume_it(theatre: Theatre) -> None:
    script = _overdue()

    handle = await theatre.start(script)
    parked = await reaches(handle, Stage.TIMED_OUT)

    assert parked.failure is not None
    assert parked.failure.kind is FailureKind.DEADLINE_PASSED
    assert f"stillmotion resume {handle.id}" in parked.failure.hint
    assert parked.money == parked.failure.money == HELD
    assert script.last("ledger.park", Park).stage is Stage.TIMED_OUT
    assert (await handle.describe()).typed_search_attributes[STATUS] == "timed_out"


async def test_a_parked_one_looks_on_a_widening_schedule_until_it_is_completed(
    in_no_time: Theatre,
) -> None:
    script = _overdue()
    script.on("provider.check", *[RUNNING] * 11, COMPLETED)

    handle = await in_no_time.start(script)
    result = await handle.result()

    minutes = [pause / timedelta(minutes=1) for pause in timers(await history(handle))]
    assert minutes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]
    assert result.prediction_id == PREDICTION
    assert script.count("ledger.park") == 1
    assert script.count("provider.poll") == 1


async def test_a_parked_job_that_then_fails_gives_the_hold_back(in_no_time: Theatre) -> None:
    lost = PredictionEnd(state="failed", kind=FailureKind.PROVIDER_FAILED, message="It failed.")
    script = _overdue().on("provider.check", RUNNING, lost)

    handle = await in_no_time.start(script)
    told = await failed(handle)

    assert told.kind is FailureKind.PROVIDER_FAILED
    assert script.closed() == (FailureKind.PROVIDER_FAILED, "release")


async def test_resume_of_a_parked_job_that_is_done_completes_it_at_once(theatre: Theatre) -> None:
    script = _overdue().on("provider.check", COMPLETED)
    handle = await theatre.start(script)
    await reaches(handle, Stage.TIMED_OUT)

    await handle.signal("resume")
    result = await handle.result()

    assert result.prediction_id == PREDICTION
    assert (await facts(handle)).failure is None


async def test_resume_of_a_parked_job_that_still_runs_polls_it_for_another_deadline(
    theatre: Theatre,
) -> None:
    again = Gate(COMPLETED)
    script = _with_deadline(0).on("provider.poll", RUNNING, again)
    handle = await theatre.start(script)
    await reaches(handle, Stage.TIMED_OUT)
    first = script.last("provider.poll", Watch)

    await handle.signal("resume")
    await again.entered.wait()
    polling = await facts(handle)
    second = script.last("provider.poll", Watch)
    again.opened.set()
    await handle.result()

    assert (polling.stage, polling.failure) == (Stage.GENERATING, None)
    assert second.deadline_at > first.deadline_at
    assert second.accepted_at == first.accepted_at
    assert script.calls.count("provider.submit") == 1


async def test_a_resume_while_it_is_still_parking_is_not_lost(theatre: Theatre) -> None:
    parking = Gate(Booked(cost_usd_micros=0, money=HELD))
    script = _overdue().on("ledger.park", parking)
    script.on("provider.check", COMPLETED)
    handle = await theatre.start(script)
    await parking.entered.wait()

    await handle.signal("resume")
    parking.opened.set()
    result = await handle.result()

    assert result.prediction_id == PREDICTION


@pytest.mark.parametrize("signal", ["provider_event", "resume"])
async def test_a_signal_while_polling_looks_beside_the_poll_and_stops_it(
    theatre: Theatre, signal: str
) -> None:
    poll = Gate(RUNNING)
    script = Script().on("provider.poll", poll).on("provider.check", COMPLETED)
    handle = await theatre.start(script)
    await poll.entered.wait()

    await handle.signal(signal)
    await handle.result()

    assert script.calls[4:7] == ["provider.poll", "provider.check", "media.download"]
    await poll.cancelled.wait()


async def test_a_look_beside_the_poll_that_shows_a_failed_job_ends_it_and_the_poll(
    theatre: Theatre,
) -> None:
    poll = Gate(RUNNING)
    script = Script().on("provider.poll", poll)
    script.on("provider.check", PredictionEnd(state="failed", message="It failed."))
    handle = await theatre.start(script)
    await poll.entered.wait()

    await handle.signal("provider_event")
    told = await failed(handle)

    assert told.kind is FailureKind.PROVIDER_FAILED
    assert script.closed() == (FailureKind.PROVIDER_FAILED, "release")
    await poll.cancelled.wait()


@pytest.mark.parametrize("seen", [RUNNING, KEY_REFUSED], ids=["running", "refused"])
async def test_a_look_beside_the_poll_that_shows_no_end_leaves_the_poll_alone(
    theatre: Theatre, seen: PredictionEnd
) -> None:
    poll = Gate(COMPLETED)
    script = Script().on("provider.poll", poll).on("provider.check", seen)
    handle = await theatre.start(script)
    await poll.entered.wait()

    await handle.signal("provider_event")
    await until(lambda: script.count("provider.check") == 1)
    poll.opened.set()
    await handle.result()

    assert not poll.cancelled.is_set()
    assert script.count("ledger.park") == 0


async def test_a_key_that_is_refused_while_polling_parks_and_says_so(theatre: Theatre) -> None:
    script = Script().on("provider.poll", KEY_REFUSED).on("provider.check", KEY_REFUSED)

    handle = await theatre.start(script)
    parked = await reaches(handle, Stage.TIMED_OUT)

    assert parked.failure is not None
    assert parked.failure.kind is FailureKind.PROVIDER_REFUSED_KEY
    assert "WAVESPEED_API_KEY" in parked.failure.hint


async def test_a_key_that_is_mended_before_the_deadline_has_the_job_polled_again(
    in_no_time: Theatre,
) -> None:
    script = Script().on("provider.poll", KEY_REFUSED, COMPLETED)

    handle = await in_no_time.start(script)
    await handle.result()

    assert script.count("provider.check") == 1
    assert script.count("provider.poll") == 2


async def test_a_poll_that_no_worker_takes_ends_at_the_deadline_and_parks(
    in_no_time: Theatre,
) -> None:
    script = _with_deadline(90).on("provider.poll", ConnectionError("the database is away"))
    script.on("provider.check", COMPLETED)

    handle = await in_no_time.start(script)
    await handle.result()

    assert script.last("ledger.park", Park).failure.kind is FailureKind.DEADLINE_PASSED


async def test_a_job_that_the_provider_forgot_is_on_the_house_when_its_retention_is_over(
    in_no_time: Theatre,
) -> None:
    script = Script().on("provider.poll", GONE).on("provider.check", GONE)
    script.on("ledger.close", HOUSE)

    handle = await in_no_time.start(script)
    told = await failed(handle)

    assert (told.kind, told.money) == (FailureKind.PROVIDER_LOST, HOUSE.money)
    assert script.closed() == (FailureKind.PROVIDER_LOST, "house")
    waited = sum(timers(await history(handle)), timedelta())
    assert timedelta(days=7) < waited < timedelta(days=7) + 2 * LONG


async def test_a_week_of_looking_leaves_a_history_far_from_the_limit(in_no_time: Theatre) -> None:
    script = _overdue()

    handle = await in_no_time.start(script)
    await failed(handle)

    assert script.count("provider.check") > 30
    assert len(await history(handle)) < 1_000


async def test_the_reason_to_park_changes_with_what_is_seen(in_no_time: Theatre) -> None:
    script = _overdue()
    script.on("provider.check", KEY_REFUSED, KEY_REFUSED, RUNNING, COMPLETED)

    handle = await in_no_time.start(script)
    await handle.result()

    reasons = [task.failure.kind for _, task in script.asked if isinstance(task, Park)]
    assert reasons == [
        FailureKind.DEADLINE_PASSED,
        FailureKind.PROVIDER_REFUSED_KEY,
        FailureKind.DEADLINE_PASSED,
    ]


def _with_deadline(seconds: int) -> Script:
    """A generation whose job is overdue after `seconds`."""

    async def reserve(task: Reserve) -> Terms:
        return terms_of(task.generation_id, deadline_s=seconds)

    return Script().on("ledger.reserve", reserve)


def _overdue() -> Script:
    """A generation whose poll has come to its deadline while the job still runs."""
    return _with_deadline(0).on("provider.poll", RUNNING)
