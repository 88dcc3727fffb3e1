"""What a generation does in each weather, by the failure's kind: the table `RULES`, carried out."""

from datetime import timedelta

import pytest

from tests.workflows.scripted import HELD, PREDICTION, Script, refused, terms_of
from tests.workflows.theatre import Theatre, facts, failed, history, reaches, timers, until
from workflows.contracts.activities import PredictionEnd, Reserve, Submitted
from workflows.contracts.failures import RULES, FailureKind
from workflows.contracts.stages import Stage
from workflows.contracts.terms import Terms
from workflows.timeouts import PAUSED_PAUSE_MAX, SUBMIT_PATIENCE, SUBMIT_PAUSE_MAX

TAKEN = Submitted(prediction_id=PREDICTION)
AWAY = refused(FailureKind.PROVIDER_UNREACHABLE, "The provider can't be reached.")
NO_PLACE = refused(FailureKind.PLACES_TAKEN, "2 of 2 jobs are in flight; one has to end first.")
TO_WAIT = refused(
    FailureKind.PROVIDER_OVERLOADED,
    "The provider asked for a pause until 12:00:00 UTC.",
    wait=timedelta(seconds=15),
)
RUNNING, DONE = PredictionEnd(state="running"), PredictionEnd(state="completed")

AT_ONCE = [
    FailureKind.PROVIDER_REFUSED_KEY,
    FailureKind.PROVIDER_CREDIT_EXHAUSTED,
    FailureKind.PROMPT_REJECTED,
    FailureKind.PROVIDER_REFUSED_INPUT,
]
"""The provider's refusals of a submission: asked again, it says the same."""

WAITED_FOR = [
    FailureKind.PROVIDER_OVERLOADED,
    FailureKind.PROVIDER_UNREACHABLE,
    FailureKind.SUBMITS_PAUSED,
    FailureKind.PLACES_TAKEN,
]


@pytest.mark.parametrize("kind", AT_ONCE)
async def test_a_refused_submission_ends_it_and_gives_the_hold_back(
    theatre: Theatre, kind: FailureKind
) -> None:
    script = Script().on("provider.submit", refused(kind, "The provider says no."))

    handle = await theatre.start(script)
    told = await failed(handle)

    assert (told.kind, told.hint) == (kind, RULES[kind].hint)
    assert RULES[kind].pays == "nobody"
    assert RULES[kind].retry != "by itself"
    assert script.closed() == (kind, "release")
    assert script.count("provider.submit") == 1
    assert script.count("provider.reconcile") == 0


@pytest.mark.parametrize("kind", WAITED_FOR)
async def test_while_it_waits_it_says_what_is_held_and_that_it_goes_on(
    theatre: Theatre, kind: FailureKind
) -> None:
    script = Script().on("provider.submit", refused(kind, "Not now."), TAKEN)
    handle = await theatre.start(script)

    async def waits() -> bool:
        return (await facts(handle)).failure is not None

    await until(waits)
    told = (await facts(handle)).failure
    await handle.signal("resume")
    await handle.result()

    assert told is not None
    assert (told.kind, told.message, told.money) == (kind, "Not now.", "$0.50 is reserved.")
    if RULES[kind].retry == "by itself":
        assert told.hint == RULES[kind].hint
    else:
        assert told.hint == f"It is tried again by itself; at once: stillmotion resume {handle.id}"


async def test_a_provider_that_is_down_for_an_hour_fails_what_it_has_not_taken(
    in_no_time: Theatre,
) -> None:
    script = Script().on("provider.submit", AWAY)

    handle = await in_no_time.start(script)
    told = await failed(handle)

    waited = sum(timers(await history(handle)), timedelta())
    assert SUBMIT_PATIENCE <= waited < SUBMIT_PATIENCE + 2 * SUBMIT_PAUSE_MAX
    assert script.closed() == (FailureKind.PROVIDER_UNREACHABLE, "release")
    assert RULES[told.kind].exit_code == 3


async def test_a_provider_that_says_429_for_hours_fails_also_who_only_heard_of_it(
    in_no_time: Theatre,
) -> None:
    script = Script().on("provider.submit", *[NO_PLACE] * 5, TO_WAIT)

    handle = await in_no_time.start(script)
    told = await failed(handle)

    waited = sum(timers(await history(handle))[5:], timedelta())
    assert SUBMIT_PATIENCE <= waited < SUBMIT_PATIENCE + 2 * SUBMIT_PAUSE_MAX
    assert script.closed() == (FailureKind.PROVIDER_OVERLOADED, "release")
    assert told.message == "The provider asked for a pause until 12:00:00 UTC."


async def test_a_provider_that_is_down_for_an_hour_keeps_what_it_has_taken(
    in_no_time: Theatre,
) -> None:
    # The poll itself bears it until the deadline; then only looks are left, which fail too.
    script = (
        Script().on("provider.poll", RUNNING, DONE).on("provider.check", *[AWAY] * 6, RUNNING, DONE)
    )

    handle = await in_no_time.start(script)
    result = await handle.result()

    assert sum(timers(await history(handle)), timedelta()) > timedelta(hours=1)
    assert result.prediction_id == PREDICTION
    assert script.count("provider.submit") == 1
    assert script.count("ledger.close") == 0


async def test_a_key_that_is_revoked_meanwhile_parks_the_job_until_it_works_again(
    theatre: Theatre,
) -> None:
    revoked = refused(FailureKind.PROVIDER_REFUSED_KEY, "The provider refuses our key.")
    script = (
        Script()
        .on("provider.poll", revoked, DONE)
        .on("provider.check", revoked, RUNNING)
        .on("provider.submit", TAKEN)
    )
    handle = await theatre.start(script)
    parked = await reaches(handle, Stage.TIMED_OUT)

    await handle.signal("resume")
    await until(lambda: script.count("provider.check") == 1)
    await handle.signal("resume")
    result = await handle.result()

    assert parked.failure is not None
    assert parked.failure.kind is FailureKind.PROVIDER_REFUSED_KEY
    assert parked.failure.money == HELD
    assert "WAVESPEED_API_KEY" in parked.failure.hint
    assert result.prediction_id == PREDICTION
    assert script.count("provider.submit") == 1


async def test_a_full_account_is_waited_for_however_long_and_costs_no_patience(
    in_no_time: Theatre,
) -> None:
    script = Script().on("provider.submit", AWAY, *[NO_PLACE] * 40, AWAY, AWAY, TAKEN)

    handle = await in_no_time.start(script)
    result = await handle.result()

    waited = timers(await history(handle))
    assert sum(waited, timedelta()) > timedelta(hours=1)
    assert max(waited) == PAUSED_PAUSE_MAX
    assert result.prediction_id == PREDICTION


async def test_a_user_has_his_plans_share_of_each_busy_queue_whoever_started_it(
    theatre: Theatre,
) -> None:
    async def on_a_large_plan(task: Reserve) -> Terms:
        return terms_of(task.generation_id).model_copy(update={"fairness_weight": 4.0})

    handle = await theatre.start(Script().on("ledger.reserve", on_a_large_plan))
    await handle.result()

    shares = {
        scheduled.activity_type.name: (
            scheduled.priority.fairness_key,
            scheduled.priority.fairness_weight,
        )
        for event in await history(handle)
        if event.HasField("activity_task_scheduled_event_attributes")
        for scheduled in [event.activity_task_scheduled_event_attributes]
    }
    mine = (terms_of(handle.id).user_hash, 4.0)
    for name in ("provider.stage_inputs", "provider.submit", "media.download"):
        assert shares[name] == mine
