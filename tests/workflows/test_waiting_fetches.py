"""Fetching a finished video: parked for as long as it can't be had, and never paid in vain."""

import pytest

from tests.workflows.scripted import PREDICTION, VIDEO, Script, refused
from tests.workflows.theatre import Theatre, facts, failed, history, reaches, timers
from workflows.contracts.activities import Park, Saved
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage

CUT = ConnectionError("the file was cut")
FULL = refused(FailureKind.STORE_FULL, "The media store is full.")
UNKNOWN = refused(FailureKind.OUTPUT_HOST_UNKNOWN, "The output is at a host that is not allowed.")


async def test_a_download_that_fails_once_is_tried_again_without_parking(
    in_no_time: Theatre,
) -> None:
    script = Script().on("media.download", CUT, VIDEO)

    handle = await in_no_time.start(script)
    await handle.result()

    assert script.count("media.download") == 2
    assert script.count("ledger.park") == 0


async def test_a_download_that_fails_four_times_parks_and_later_succeeds(
    in_no_time: Theatre,
) -> None:
    script = Script().on("media.download", *[CUT] * 4, VIDEO)

    handle = await in_no_time.start(script)
    result = await handle.result()

    assert result.prediction_id == PREDICTION
    assert script.count("media.download") == 5
    assert script.last("ledger.park", Park).failure.kind is FailureKind.OUTPUT_UNUSABLE
    assert [pause.total_seconds() for pause in timers(await history(handle))] == [60]


@pytest.mark.parametrize("error", [FULL, UNKNOWN], ids=["full", "host"])
async def test_what_only_a_person_can_mend_parks_at_once_and_goes_on_with_resume(
    theatre: Theatre, error: BaseException
) -> None:
    script = Script().on("media.download", error, VIDEO)
    handle = await theatre.start(script)

    parked = await reaches(handle, Stage.TIMED_OUT)
    await handle.signal("resume")
    await handle.result()

    assert parked.failure is not None
    assert f"stillmotion resume {handle.id}" in parked.failure.hint
    assert script.count("media.download") == 2
    assert (await facts(handle)).failure is None


async def test_an_output_that_is_never_had_is_on_the_house_when_the_retention_is_over(
    in_no_time: Theatre,
) -> None:
    script = Script().on("media.download", FULL)

    handle = await in_no_time.start(script)
    told = await failed(handle)

    assert told.kind is FailureKind.PROVIDER_LOST
    assert script.closed() == (FailureKind.PROVIDER_LOST, "house")
    assert script.count("library.save") == 0


async def test_a_library_that_is_away_is_waited_for(theatre: Theatre) -> None:
    script = Script().on("library.save", ConnectionError("away"), Saved(asset_id="ast_1"))

    handle = await theatre.start(script)
    result = await handle.result()

    assert result.asset_id == "ast_1"
    assert script.count("library.save") == 2
