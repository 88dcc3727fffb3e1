"""A provider that is busy, away or paused: asked again, and nothing is paid or reconciled."""

from datetime import timedelta

import pytest

from tests.workflows.scripted import PREDICTION, Script, refused
from tests.workflows.theatre import Theatre, facts, failed, history, reaches, timers, until
from workflows.contracts.activities import Submitted
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage
from workflows.timeouts import PAUSED_PAUSE_MAX, SUBMIT_PATIENCE, SUBMIT_PAUSE_MAX, SUBMIT_PAUSE_MIN

TAKEN = Submitted(prediction_id=PREDICTION)
BUSY = refused(FailureKind.PROVIDER_OVERLOADED, "The provider is busy.")
AWAY = refused(FailureKind.PROVIDER_UNREACHABLE, "The provider can't be reached.")
PAUSED = refused(FailureKind.SUBMITS_PAUSED, "Submits are paused.")


async def test_a_busy_provider_is_asked_again_after_the_time_it_wishes(
    in_no_time: Theatre,
) -> None:
    busy = refused(FailureKind.PROVIDER_OVERLOADED, wait=timedelta(seconds=77))
    script = Script().on("provider.submit", busy, TAKEN)

    handle = await in_no_time.start(script)
    await handle.result()

    assert script.count("provider.submit") == 2
    assert script.count("provider.reconcile") == 0
    assert timedelta(seconds=77) in timers(await history(handle))


async def test_a_wish_beyond_all_patience_is_cut(in_no_time: Theatre) -> None:
    busy = refused(FailureKind.PROVIDER_OVERLOADED, wait=timedelta(days=400))
    script = Script().on("provider.submit", busy, TAKEN)

    handle = await in_no_time.start(script)
    await handle.result()

    assert max(timers(await history(handle))) == SUBMIT_PATIENCE


async def test_without_a_wish_the_pauses_double_up_to_a_limit(in_no_time: Theatre) -> None:
    script = Script().on("provider.submit", *[BUSY] * 7, TAKEN)

    handle = await in_no_time.start(script)
    await handle.result()

    expected = [min(SUBMIT_PAUSE_MIN * 2**step, SUBMIT_PAUSE_MAX) for step in range(7)]
    assert timers(await history(handle)) == expected


async def test_while_it_waits_it_says_why(theatre: Theatre) -> None:
    script = Script().on("provider.submit", BUSY, TAKEN)
    handle = await theatre.start(script)

    async def told() -> bool:
        return (await facts(handle)).failure is not None

    await until(told)
    waiting = await facts(handle)
    await handle.signal("resume")
    await handle.result()

    assert waiting.stage is Stage.SUBMITTING
    assert waiting.failure is not None
    assert waiting.failure.message == "The provider is busy."
    assert (await facts(handle)).failure is None


@pytest.mark.parametrize("error", [AWAY, BUSY], ids=["away", "busy"])
async def test_beyond_patience_it_fails_and_the_hold_is_given_back(
    in_no_time: Theatre, error: BaseException
) -> None:
    script = Script().on("provider.submit", error)

    handle = await in_no_time.start(script)
    told = await failed(handle)

    assert sum(timers(await history(handle)), timedelta()) >= SUBMIT_PATIENCE
    assert script.closed() == (told.kind, "release")
    assert told.kind in {FailureKind.PROVIDER_UNREACHABLE, FailureKind.PROVIDER_OVERLOADED}
    assert script.count("provider.reconcile") == 0


async def test_paused_submits_are_waited_for_however_long(in_no_time: Theatre) -> None:
    script = Script().on("provider.submit", *[PAUSED] * 40, TAKEN)

    handle = await in_no_time.start(script)
    await handle.result()

    waited = timers(await history(handle))
    assert sum(waited, timedelta()) > timedelta(hours=5)
    assert max(waited) == PAUSED_PAUSE_MAX


async def test_the_time_of_a_pause_is_not_held_against_the_provider(in_no_time: Theatre) -> None:
    script = Script().on("provider.submit", *[PAUSED] * 12, AWAY, AWAY, TAKEN)

    handle = await in_no_time.start(script)
    result = await handle.result()

    assert result.prediction_id == PREDICTION


async def test_resume_submits_again_at_once(theatre: Theatre) -> None:
    script = Script().on("provider.submit", PAUSED, TAKEN)
    handle = await theatre.start(script)
    await until(lambda: script.count("provider.submit") == 1)
    await reaches(handle, Stage.SUBMITTING)

    await handle.signal("resume")
    await handle.result()

    assert script.count("provider.submit") == 2


async def test_inputs_that_can_not_be_staged_for_half_an_hour_end_it(in_no_time: Theatre) -> None:
    script = Script().on("provider.stage_inputs", ConnectionError("the provider is away"))

    handle = await in_no_time.start(script)
    told = await failed(handle)

    assert told.kind is FailureKind.PROVIDER_UNREACHABLE
    assert script.closed() == (FailureKind.PROVIDER_UNREACHABLE, "release")
