"""Predictions at the provider that nobody follows: ours, billed to the house, and others'."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from pydantic import JsonValue
from temporalio.exceptions import ApplicationError

from activities.provider.models import Prediction, PredictionListing
from activities.sweeping import strays
from activities.sweeping.findings import Findings
from activities.sweeping.turns import Turns
from tests.activities.conftest import WAN, SandboxControl, a_picture
from tests.activities.sweeping.conftest import Yard
from workflows.contracts.stages import Stage
from workflows.contracts.sweeps import FindingKind, Swept

STEP = timedelta(minutes=5)
STRAY, UNKNOWN = FindingKind.STRAY_PREDICTION, FindingKind.UNKNOWN_PREDICTION


async def look(yard: Yard) -> Swept:
    return await yard.look("find_strays")


async def a_foreign_one(yard: Yard) -> str:
    """What another program makes under the same key."""
    path = yard.folder / "foreign.jpg"
    path.write_bytes(a_picture(400, 400))
    url = await yard.client.upload(path, filename=path.name, content_type="image/jpeg")
    return await yard.client.submit(WAN, {"image": url, "prompt": "theirs", "resolution": "480p"})


async def expected_bills(yard: Yard) -> Sequence[tuple[str, bool]]:
    rows = await yard.pool.fetch("SELECT prediction_id, is_stray FROM bills")
    return [(row["prediction_id"], row["is_stray"]) for row in rows]


async def go_on_after_all(yard: Yard) -> None:
    """Have the next look go on after all that was made; listings go by whole seconds."""
    place = await yard.pool.fetchval("SELECT now() + interval '30 seconds'")
    await Turns(yard.pool).leave_time("strays", place)


@dataclass
class Busy:
    """A key under which so much is made that only that many minutes of it can be listed."""

    minutes_max: int
    shown: Prediction | None = None
    reads: int = 0

    async def all_predictions(
        self, *, created_after: datetime, created_before: datetime, pages_max: int
    ) -> PredictionListing:
        assert pages_max > 0
        self.reads += 1
        complete = created_before - created_after <= timedelta(minutes=self.minutes_max)
        items = (self.shown,) if self.shown is not None and complete else ()
        return PredictionListing(items=items, complete=complete)


async def seen_up_to(yard: Yard) -> timedelta:
    """How long ago the place lies from which the next look goes on."""
    place = await Turns(yard.pool).time("strays")
    assert place is not None
    return await yard.pool.fetchval("SELECT now()") - place


async def test_a_prediction_that_is_followed_is_no_finding(yard: Yard) -> None:
    await yard.submitted("gen_one")

    swept = await look(yard)

    assert swept == Swept()


async def test_one_of_another_program_is_told_by_its_model(yard: Yard) -> None:
    first, second = await a_foreign_one(yard), await a_foreign_one(yard)

    swept = await look(yard)

    told = await yard.findings(UNKNOWN)
    assert swept.found == {"unknown_prediction": 2}
    assert list(told) == [WAN]
    assert told[WAN].startswith("2 not of our making in the last look, the newest is ")
    assert told[WAN].split()[-1] in {first, second}
    assert await expected_bills(yard) == []


async def test_one_in_doubt_is_left_to_reconciliation_and_looked_at_again(yard: Yard) -> None:
    prediction_id = await yard.submitted("gen_one")
    await yard.forget_reply("gen_one")

    first = await look(yard)
    goes_on_from = await seen_up_to(yard)
    await yard.put("gen_one", Stage.FAILED)
    second = await look(yard)

    assert first == Swept()
    assert goes_on_from > timedelta()
    assert second.found == {"stray_prediction": 1}
    assert list(await yard.findings(STRAY)) == [prediction_id]


async def test_one_whose_generation_has_ended_is_billed_to_the_house(yard: Yard) -> None:
    prediction_id = await yard.submitted("gen_one")
    await yard.forget_reply("gen_one")
    await yard.put("gen_one", Stage.FAILED)

    swept = await look(yard)

    told = await yard.findings(STRAY)
    assert swept.found == {"stray_prediction": 1}
    assert told == {prediction_id: "made for gen_one, which is failed"}
    assert await expected_bills(yard) == [(prediction_id, True)]


async def test_one_that_was_accepted_after_its_generations_end_is_billed_as_its_own(
    yard: Yard,
) -> None:
    prediction_id = await yard.submitted("gen_one")
    await yard.pool.execute("UPDATE generations SET stage = 'failed', stage_at = now()")

    first, again = await look(yard), await look(yard)

    assert first.found == {"stray_prediction": 1}
    assert again == Swept()
    assert await yard.findings(STRAY) == {prediction_id: "made for gen_one, which is failed"}
    assert await expected_bills(yard) == [(prediction_id, False)]


async def test_one_whose_generation_ended_before_there_were_bills_is_no_stray(yard: Yard) -> None:
    await yard.submitted("gen_one")
    await yard.put("gen_one", Stage.FAILED)
    await yard.pool.execute("UPDATE generations SET stage_at = now() - interval '1 year'")

    assert await look(yard) == Swept()


async def test_a_second_one_of_a_generation_that_follows_another_is_a_stray(yard: Yard) -> None:
    lost = await yard.submitted("gen_one")
    await yard.pool.execute("UPDATE submissions SET prediction_id = 'another-one'")

    await look(yard)
    swept = await look(yard)

    assert swept.found == {"stray_prediction": 1}
    assert (await yard.findings(STRAY))[lost] == "made for gen_one, which follows another-one"
    assert await expected_bills(yard) == [(lost, True)]


async def test_rows_without_their_input_are_read_one_by_one(
    yard: Yard, sandbox: SandboxControl
) -> None:
    lost = await yard.submitted("gen_one")
    await yard.forget_reply("gen_one")
    await yard.put("gen_one", Stage.FAILED)
    foreign = await a_foreign_one(yard)
    await sandbox.faults(list=[{"kind": "without_input"}])

    swept = await look(yard)

    assert swept.found == {"stray_prediction": 1, "unknown_prediction": 1}
    assert list(await yard.findings(STRAY)) == [lost]
    assert (await yard.findings(UNKNOWN))[WAN].endswith(foreign)


async def test_more_rows_without_input_than_one_look_reads_are_read_by_the_next(
    yard: Yard, sandbox: SandboxControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "READS_MAX", 1)
    for _ in range(2):
        await a_foreign_one(yard)
    await sandbox.faults(list=[{"kind": "without_input"}])

    found = [(await look(yard)).found for _ in range(3)]

    assert found == [
        {"unknown_prediction": 1},
        {"unknown_prediction": 2},
        {"unknown_prediction": 2},
    ]


async def test_a_provider_that_is_down_moves_no_place_and_forgets_no_finding(
    yard: Yard, sandbox: SandboxControl
) -> None:
    await a_foreign_one(yard)
    await look(yard)
    await Turns(yard.pool).leave_time(
        "strays", await yard.pool.fetchval("SELECT now() - interval '2 days'")
    )
    await sandbox.faults(list=[{"kind": "status", "code": 503}])

    with pytest.raises(ApplicationError, match="provider"):
        await look(yard)

    assert list(await yard.findings(UNKNOWN)) == [WAN]
    assert await seen_up_to(yard) > timedelta(days=1)


async def test_a_listing_that_has_no_end_is_told_and_moves_no_place(yard: Yard) -> None:
    endless = strays.Strays(
        yard.pool, yard.client, yard.sweeps.bills, Findings(yard.pool), pages_max=0
    )
    await a_foreign_one(yard)

    swept = await endless.look()

    assert swept.failed is not None
    assert "does another program use its key? The next sweep tries again." in swept.failed
    assert await Turns(yard.pool).time("strays") is None


async def test_what_was_made_before_the_overlap_with_the_last_look_is_not_looked_at_again(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_foreign_one(yard)
    await go_on_after_all(yard)
    first = await look(yard)
    monkeypatch.setattr(strays, "OVERLAP", timedelta(0))
    await go_on_after_all(yard)

    swept = await look(yard)

    assert first.found == {"unknown_prediction": 1}
    assert swept == Swept()


@pytest.mark.parametrize("goes_on_from", [timedelta(hours=24), timedelta(minutes=5)])
async def test_a_busy_key_is_looked_at_span_by_span_without_standing_still(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, goes_on_from: timedelta
) -> None:
    now = await yard.pool.fetchval("SELECT now()")
    await Turns(yard.pool).leave_time("strays", now - goes_on_from)
    busy = Busy(minutes_max=50)
    monkeypatch.setattr(yard.client, "all_predictions", busy.all_predictions)

    failed, places = set[str | None](), list[timedelta]()
    for _ in range(60):
        failed.add((await look(yard)).failed)
        places.append(await seen_up_to(yard))

    assert failed == {None}
    assert all(later < earlier for earlier, later in pairwise(places) if earlier > STEP)
    assert places[-1] < STEP
    assert busy.reads <= 200


async def test_a_look_that_one_in_doubt_holds_up_on_a_busy_key_says_so(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction_id = await yard.submitted("gen_one")
    await yard.forget_reply("gen_one")
    seen = await yard.client.prediction(prediction_id)
    long_ago = await yard.pool.fetchval("SELECT now() - interval '3 days'")
    await Turns(yard.pool).leave_time("strays", long_ago)
    doubtful = seen.model_copy(update={"created_at": long_ago})
    monkeypatch.setattr(yard.client, "all_predictions", Busy(50, doubtful).all_predictions)

    swept = await look(yard)

    assert swept.failed is not None
    assert "One in doubt of the first of them holds it up." in swept.failed


async def test_what_was_listed_too_long_ago_to_be_looked_at_is_told(yard: Yard) -> None:
    await Turns(yard.pool).leave_time(
        "strays", await yard.pool.fetchval("SELECT now() - interval '9 days'")
    )

    late, next_one = await look(yard), await look(yard)

    assert late.failed is not None
    assert late.failed.endswith("is not listed any more.")
    assert next_one.failed is None


async def test_a_place_in_the_future_is_told_and_kept(yard: Yard) -> None:
    await Turns(yard.pool).leave_time(
        "strays", await yard.pool.fetchval("SELECT now() + interval '2 hours'")
    )

    swept = await look(yard)

    assert swept.failed is not None
    assert swept.failed.startswith("The last look saw up to ")


@pytest.mark.parametrize("character", ["\x00", "\ud800"])
async def test_what_no_database_can_hold_in_anothers_prediction_stops_no_look(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    seen = await yard.client.prediction(await a_foreign_one(yard))
    odd: dict[str, JsonValue] = {"image": f"https://example.com/{character}"}
    for _ in range(2000):
        odd = {"in": [odd]}
    changes = {"model": f"wan {character}", "input": odd, "created_at": None}
    busy = Busy(10_000, seen.model_copy(update=changes))
    monkeypatch.setattr(yard.client, "all_predictions", busy.all_predictions)

    swept = await look(yard)

    assert swept == Swept(found={"unknown_prediction": 1})
    assert list(await yard.findings(UNKNOWN)) == [strays.UNREADABLE]
    assert await seen_up_to(yard) < timedelta(minutes=1)


async def test_what_is_not_listed_any_more_is_told_for_a_day(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_foreign_one(yard)
    await look(yard)
    monkeypatch.setattr(strays, "OVERLAP", timedelta(0))
    await go_on_after_all(yard)
    await look(yard)
    kept = await yard.findings(UNKNOWN)
    await yard.pool.execute("UPDATE findings SET seen_at = now() - interval '25 hours'")
    await go_on_after_all(yard)

    await look(yard)

    assert list(kept) == [WAN]
    assert await yard.findings(UNKNOWN) == {}
