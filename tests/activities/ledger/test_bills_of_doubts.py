"""A user who cancelled in doubt is charged by what is found, and gets back what never is."""

from datetime import timedelta

import pytest

from activities.generations.reading import Reader
from activities.ledger.bills import BillsRead
from activities.ledger.corrections import UNFOUND_AFTER
from activities.media.store import MediaStore
from activities.provider.errors import SubmissionAmbiguous
from activities.provider.submissions import Submissions
from tests.activities.conftest import QUOTED
from tests.activities.ledger.tills import QUARTER, Till
from workflows.contracts.failures import FailureKind

HOUR = timedelta(hours=1)


async def cancelled_in_doubt(till: Till, generation_id: str = "gen_one") -> str:
    """A user is booked the quote for what may have been made; the prediction that was."""
    await till.staged(generation_id)
    await till.sandbox.faults(submit={"kind": "lost_reply", "times": 1})
    with pytest.raises(SubmissionAmbiguous):
        await Submissions(till.pool, till.client).submit(generation_id)
    await till.close(
        "release", FailureKind.CANCELLED, generation_id=generation_id, unless_submitted=True
    )
    _, made = await till.sandbox.submits()
    return made[-1]


async def ended_ago(till: Till, age: timedelta) -> None:
    await till.pool.execute("UPDATE reservations SET closed_at = now() - $1::interval", age)


async def test_what_nobody_ever_found_is_given_back_once(till: Till, store: MediaStore) -> None:
    await cancelled_in_doubt(till)
    await ended_ago(till, UNFOUND_AFTER - HOUR)
    early = await till.bills.read_due()
    charged = await till.booked()
    await ended_ago(till, UNFOUND_AFTER + HOUR)

    reads = [await till.bills.read_due() for _ in range(2)]

    assert (early, charged) == (BillsRead(), (QUOTED, 0))
    assert reads == [BillsRead(corrected=1), BillsRead()]
    assert await till.booked() == (0, 0)
    assert await till.bank.balance() == (0, 0, 0, 0)
    read = await Reader(till.pool, store).read("gen_one")
    assert read.error is not None
    assert read.error.money == "$0.00 was booked (quoted $0.50)."


async def test_what_turns_up_after_it_was_given_back_is_booked_by_its_bill(till: Till) -> None:
    found = await cancelled_in_doubt(till)
    await ended_ago(till, UNFOUND_AFTER + HOUR)
    await till.bills.read_due()
    await till.ended(found)

    await till.bills.expect_stray("gen_one", found)
    await till.read_after(QUARTER)

    assert await till.booked() == (QUOTED, 0)
    assert await till.bank.balance() == (0, 1, 0, QUOTED)


async def test_what_was_found_in_time_is_left_to_its_bill(till: Till) -> None:
    found = await cancelled_in_doubt(till)
    await till.bills.expect_stray("gen_one", found)
    await till.started("gen_two")
    await till.close("provisional", FailureKind.CANCELLED, generation_id="gen_two")
    await ended_ago(till, UNFOUND_AFTER + HOUR)

    given_back = await till.bills.give_back_doubtful()

    assert given_back == 0
    assert await till.booked() == await till.booked("gen_two") == (QUOTED, 0)


async def test_one_that_can_not_be_given_back_keeps_no_other_from_its_turn(till: Till) -> None:
    await cancelled_in_doubt(till, "gen_0")
    await cancelled_in_doubt(till, "gen_1")
    await ended_ago(till, UNFOUND_AFTER + HOUR)
    await till.pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON ledger FOR EACH ROW"
        " WHEN (NEW.generation_id = 'gen_0') EXECUTE FUNCTION refuse()"
    )

    read = await till.bills.read_due()

    assert read == BillsRead(corrected=1)
    assert await till.booked("gen_1") == (0, 0)
