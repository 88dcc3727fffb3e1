"""Bills that are read again: what they correct, whoever reads them, however often."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import pytest

from activities.generations.reading import Reader
from activities.ledger import bills
from activities.ledger.bills import Bills, BillsRead
from activities.ledger.owing import Bill
from activities.media.store import MediaStore
from activities.provider.errors import SubmissionAmbiguous
from activities.provider.models import Billing
from activities.provider.submissions import Submissions
from tests.activities.conftest import QUOTED, a_client
from tests.activities.ledger.tills import DAY, FOUR_HOURS, QUARTER, Till
from workflows.contracts.failures import FailureKind

LAGGING = {"kind": "lag", "lag_s": 3600}


async def completed_without_a_bill(till: Till, generation_id: str = "gen_one") -> str:
    """A completed generation that is booked its quote; the prediction's id."""
    prediction_id = await till.made(generation_id)
    await till.sandbox.faults(bills=LAGGING)
    await till.record_usage(generation_id)
    await till.sandbox.faults(bills=[])
    return prediction_id


async def billed(till: Till, factor: float) -> None:
    await till.sandbox.faults(bills={"kind": "wrong_amount", "factor": factor})


async def test_nothing_is_asked_before_a_bill_is_due(till: Till) -> None:
    await completed_without_a_bill(till)
    before = (await till.sandbox.log())["requests"]

    read = await till.bills.read_due()

    assert read == BillsRead()
    assert (await till.sandbox.log())["requests"] == before


async def test_a_bill_that_came_late_corrects_the_books_by_an_entry(
    till: Till, store: MediaStore
) -> None:
    expected: dict[float, tuple[list[tuple[str, int]], str | None, int]] = {
        1.0: ([], None, QUOTED),
        0.8: ([("user", -100_000)], None, 400_000),
        1.5: ([("house", 250_000)], None, QUOTED),
        10.0: ([], "unbelievable", QUOTED),
    }

    for factor, (entries, flag, user) in expected.items():
        generation_id = f"gen_{factor}"
        prediction_id = await completed_without_a_bill(till, generation_id)
        await billed(till, factor)
        await till.pool.execute("UPDATE bills SET due_at = now() WHERE looks = 0")
        read = await till.bills.read_due()

        row = await till.row(prediction_id)
        shown = await Reader(till.pool, store).read(generation_id)
        assert read == BillsRead(read=1, corrected=len(entries), flagged=flag is not None)
        assert await till.corrections(generation_id) == entries
        assert shown.cost_usd_micros == user
        assert (row["flag"], row["due_after"], row["looks"]) == (flag, FOUR_HOURS, 1)


async def test_a_refund_after_the_settlement_is_given_to_the_user(till: Till) -> None:
    await till.sandbox.faults(job={"kind": "failed"})
    prediction_id = await till.made()
    async with till.pool.acquire() as connection, connection.transaction():
        await till.bills.settle(connection, "gen_one", Bill(QUOTED))

    read = await till.read_after(FOUR_HOURS)

    assert read.corrected == 1
    assert await till.corrections() == [("user", -QUOTED)]
    assert await till.bank.balance() == (0, 1, 0, 0)
    assert (await till.row(prediction_id))["due_after"] == DAY


async def test_a_cancelled_job_costs_what_the_provider_did_not_refund(
    till: Till, store: MediaStore
) -> None:
    await till.sandbox.faults(job={"kind": "hang"})
    prediction_id = await till.started()
    await till.priced(prediction_id)
    await till.client.delete(prediction_id)
    await till.close("provisional", FailureKind.CANCELLED)

    await till.read_after(QUARTER)

    shown = await Reader(till.pool, store).read("gen_one")
    assert await till.corrections() == [("user", -250_000)]
    assert await till.bank.balance() == (0, 1, 0, 250_000)
    assert shown.cost_usd_micros == 250_000
    assert shown.error is not None
    assert shown.error.money == "$0.25 was booked (quoted $0.50)."


async def test_a_cancelled_job_that_was_refunded_gives_its_video_back(till: Till) -> None:
    await till.sandbox.faults(job={"kind": "failed"})
    await till.made()
    await till.close("provisional", FailureKind.CANCELLED)
    before = await till.bank.balance()

    for age in (QUARTER, FOUR_HOURS):
        await till.read_after(age)

    assert before == (0, 1, 0, QUOTED)
    assert await till.bank.balance() == (0, 0, 0, 0)
    assert await till.corrections() == [("user", -QUOTED)]


async def test_what_no_user_pays_is_the_houses(till: Till) -> None:
    for n in range(2):
        await till.made(f"gen_failed_{n}")
        await till.close(generation_id=f"gen_failed_{n}")
        await till.made(f"gen_lost_{n}")
        await till.close("house", FailureKind.PROVIDER_LOST, generation_id=f"gen_lost_{n}")
    await till.pool.execute("UPDATE bills SET due_at = NULL WHERE generation_id LIKE '%_0'")
    await billed(till, 0.8)
    believed = await till.read_after(FOUR_HOURS)
    await till.pool.execute(
        "UPDATE bills SET due_at = CASE WHEN generation_id LIKE '%_0' THEN now() END"
    )
    await billed(till, 10)
    unbelieved = await till.read_after(FOUR_HOURS)

    assert (believed.read, believed.flagged) == (2, 0)
    assert (unbelieved.read, unbelieved.flagged) == (2, 2)
    assert [await till.booked(f"gen_failed_{n}") for n in (1, 0)] == [(0, 400_000), (0, 0)]
    assert [await till.booked(f"gen_lost_{n}") for n in (1, 0)] == [(0, 400_000), (0, QUOTED)]
    assert await till.bank.balance() == (0, 0, 0, 0)


async def test_a_failed_job_that_was_refunded_costs_nobody_anything(till: Till) -> None:
    await till.sandbox.faults(job={"kind": "failed"})
    await till.made()
    await till.close()

    read = await till.read_after(FOUR_HOURS)

    assert read == BillsRead(read=1)
    assert await till.corrections() == []


async def test_after_a_day_nothing_is_read_again_and_a_missing_bill_is_flagged(till: Till) -> None:
    completed = await completed_without_a_bill(till)
    failed = await till.made("gen_two")
    await till.close(generation_id="gen_two")
    await till.sandbox.faults(bills=LAGGING)

    early = await till.read_after(QUARTER)
    last = await till.read_after(DAY)
    never = await till.read_after(2 * DAY)

    assert (early.flagged, last.flagged, never.read) == (0, 1, 0)
    rows = [await till.row(each) for each in (completed, failed)]
    assert [row["flag"] for row in rows] == ["missing", None]
    assert [row["due_at"] for row in rows] == [None, None]
    assert await till.booked() == (QUOTED, 0)


async def test_a_row_that_was_seen_and_is_not_listed_any_more_counts_on(till: Till) -> None:
    await till.made()
    await billed(till, 0.8)
    await till.record_usage()
    await till.sandbox.faults(bills=LAGGING)

    read = await till.read_after(DAY)

    assert read == BillsRead(read=1)
    assert await till.booked() == (400_000, 0)


async def test_readers_at_the_same_time_correct_once(till: Till) -> None:
    predictions = [await completed_without_a_bill(till, f"gen_{n}") for n in range(3)]
    await billed(till, 1.5)
    await till.pool.execute("UPDATE bills SET due_at = now()")

    async with a_client(till.client.base_url) as second:
        readers = [till.bills, Bills(till.pool, second)] * 2
        reads = await asyncio.gather(*(reader.read_due() for reader in readers))

    assert sum(read.corrected for read in reads) == len(predictions)
    for n, prediction_id in enumerate(predictions):
        assert await till.corrections(f"gen_{n}") == [("house", 250_000)]
        assert (await till.row(prediction_id))["looks"] == 1


@pytest.mark.parametrize("kind", ["cut", "malformed"])
async def test_a_provider_that_can_not_be_asked_is_asked_again_soon(till: Till, kind: str) -> None:
    predictions = [await completed_without_a_bill(till, f"gen_{n}") for n in range(4)]
    await till.sandbox.faults(bills={"kind": kind})

    away = await till.read_after(QUARTER)
    soon = [await till.row(each) for each in predictions]
    await billed(till, 0.8)
    back = await till.read_after(QUARTER + timedelta(minutes=10))

    assert (away.read, away.corrected) == (0, 0)
    assert away.failed is not None
    assert all(row["due_after"] >= QUARTER + timedelta(minutes=5) for row in soon)
    assert all(row["looks"] == 0 for row in soon)
    assert back == BillsRead(read=4, corrected=4)


async def test_a_page_that_one_row_spoils_is_read_by_halves(till: Till) -> None:
    for n in range(4):
        await completed_without_a_bill(till, f"gen_{n}")
    # The whole, its first half, and the first of that.
    await till.sandbox.faults(bills={"kind": "malformed", "times": 3})

    read = await till.read_after(QUARTER)

    assert read.read == 3
    assert read.failed == "The provider's reply could not be understood."


async def test_a_bill_that_can_not_be_booked_keeps_no_other_from_its_turn(till: Till) -> None:
    for n in range(3):
        await completed_without_a_bill(till, f"gen_{n}")
    await billed(till, 1.5)
    await till.pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON ledger FOR EACH ROW"
        " WHEN (NEW.generation_id = 'gen_0') EXECUTE FUNCTION refuse()"
    )

    read = await till.read_after(QUARTER)

    assert read.corrected == 2
    assert read.failed == "The bill of gen_0 could not be booked (23514)."
    assert await till.pool.fetchval("SELECT count(*) FROM bills WHERE due_at <= now()") == 1


async def test_a_bill_that_no_column_can_hold_keeps_no_other_from_its_turn(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await completed_without_a_bill(till, "gen_0")
    await completed_without_a_bill(till, "gen_1")
    await billed(till, 1.5)
    read_right = bills.bill_of

    def bill_of(rows: Iterable[Billing]) -> Bill | None:
        found = list(rows)
        huge = any(row.prediction_id == first for row in found)
        return Bill(10**30) if huge else read_right(found)

    monkeypatch.setattr(bills, "bill_of", bill_of)
    read = await till.read_after(QUARTER)

    assert read == BillsRead(
        read=2, corrected=1, failed="The bill of gen_0 could not be booked (22000)."
    )


async def test_a_connection_that_is_lost_while_booking_keeps_no_other_from_its_turn(
    till: Till,
) -> None:
    await completed_without_a_bill(till, "gen_0")
    await completed_without_a_bill(till, "gen_1")
    await billed(till, 1.5)
    await till.pool.execute(
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;"
        "CREATE TRIGGER lose BEFORE INSERT ON ledger FOR EACH ROW"
        " WHEN (NEW.generation_id = 'gen_0') EXECUTE FUNCTION lose()"
    )

    read = await till.read_after(QUARTER)

    assert (read.read, read.corrected) == (2, 1)
    assert read.failed == "The bill of gen_0 could not be booked (InterfaceError)."


async def test_the_house_pays_for_a_prediction_that_nobody_followed(till: Till) -> None:
    own = await till.made()
    stray = await till.made("gen_two")
    await till.close("release", FailureKind.GIVEN_UP, generation_id="gen_two")
    await till.pool.execute("DELETE FROM bills WHERE prediction_id = $1", stray)
    await till.record_usage()

    news = [await till.bills.expect_stray("gen_one", stray) for _ in range(2)]
    read = await till.bills.read_due()

    assert news == [True, False]
    assert (read.read, read.corrected) == (1, 1)
    assert await till.corrections() == [("house", QUOTED)]
    assert await till.booked() == (QUOTED, QUOTED)
    assert [(await till.row(each))["is_stray"] for each in (own, stray)] == [False, True]


async def test_a_stray_of_a_generation_that_still_waits_leaves_its_hold(till: Till) -> None:
    stray = await till.made("gen_two")
    await till.staged()

    await till.bills.expect_stray("gen_one", stray)
    await till.bills.read_due()

    assert await till.booked() == (0, QUOTED)
    assert await till.bank.balance() == (2, 0, 2 * QUOTED, 0)


async def test_a_found_prediction_is_what_the_user_was_booked_for_in_doubt(till: Till) -> None:
    await till.staged()
    await till.sandbox.faults(submit={"kind": "lost_reply"})
    with pytest.raises(SubmissionAmbiguous):
        await Submissions(till.pool, till.client).submit("gen_one")
    await till.close("release", FailureKind.CANCELLED, unless_submitted=True)
    _, (found,) = await till.sandbox.submits()
    await billed(till, 0.8)

    await till.ended(found)
    await till.bills.expect_stray("gen_one", found)
    await till.read_after(QUARTER)

    assert (await till.row(found))["is_stray"] is False
    assert await till.booked() == (400_000, 0)


async def test_a_stray_that_is_adopted_after_all_is_the_users(till: Till) -> None:
    prediction_id = await till.made()
    await till.pool.execute("UPDATE submissions SET state = 'unknown', prediction_id = NULL")
    await till.bills.expect_stray("gen_one", prediction_id)
    await till.bills.read_due()
    houses = await till.booked()
    await till.pool.execute(
        "UPDATE submissions SET state = 'accepted', prediction_id = $1", prediction_id
    )

    await till.record_usage()

    assert houses == (0, QUOTED)
    assert await till.booked() == (QUOTED, 0)
