"""Who owes what of a bill, for every end, quote and bill."""

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from activities.ledger.owing import (
    Bill,
    End,
    Owed,
    believable,
    bill_of,
    flag_of,
    next_look,
    owed,
)
from activities.provider.models import Billing

QUOTE = 500_000
ENDS = st.sampled_from(End)
USER_PAYS = frozenset({End.COMPLETED, End.CANCELLED})
MONEY = st.integers(0, 40_000_000)
BILLS = st.builds(Bill, MONEY, MONEY)


@given(end=ENDS, quote=MONEY, bill=BILLS)
@example(end=End.COMPLETED, quote=QUOTE, bill=Bill(2 * QUOTE))
@example(end=End.CANCELLED, quote=QUOTE, bill=Bill(QUOTE // 5, QUOTE // 5))
def test_a_believed_bill_is_shared_out_to_the_micro_dollar(
    end: End, quote: int, bill: Bill
) -> None:
    due = owed(end, quote, bill)

    if believable(bill.charged_usd_micros, quote):
        assert due.user_usd_micros + due.house_usd_micros == bill.net_usd_micros
        assert due.flag is None
        expected = min(bill.net_usd_micros, quote) if end in USER_PAYS else 0
        assert due.user_usd_micros == expected


@given(end=ENDS, quote=MONEY, bill=st.none() | BILLS)
def test_no_user_ever_owes_more_than_the_quote_nor_anyone_less_than_nothing(
    end: End, quote: int, bill: Bill | None
) -> None:
    due = owed(end, quote, bill)

    assert 0 <= due.user_usd_micros <= quote
    assert due.house_usd_micros >= 0
    assert due.videos in {0, 1}
    assert all(type(each) is int for each in due[:2])


@given(end=ENDS, quote=st.integers(1, 40_000_000), bill=BILLS)
def test_a_bill_that_is_not_believed_leaves_what_the_user_was_booked_and_is_flagged(
    end: End, quote: int, bill: Bill
) -> None:
    due = owed(end, quote, bill)

    if not believable(bill.charged_usd_micros, quote):
        assert due.user_usd_micros == owed(end, quote, None).user_usd_micros
        assert due.flag == "unbelievable"
        assert due.house_usd_micros == (quote if end in {End.LOST, End.STRAY} else 0)


@given(quote=st.integers(1, 40_000_000), refunded=MONEY)
def test_a_later_refund_never_makes_it_dearer(quote: int, refunded: int) -> None:
    for end in End:
        before, after = owed(end, quote, Bill(quote)), owed(end, quote, Bill(quote, refunded))

        assert after.user_usd_micros <= before.user_usd_micros
        assert after.house_usd_micros <= before.house_usd_micros


@pytest.mark.parametrize(
    ("charged", "believed"),
    [
        (QUOTE // 5, True),
        (QUOTE // 5 - 1, False),
        (2 * QUOTE, True),
        (2 * QUOTE + 1, False),
        (0, False),
    ],
)
def test_a_fifth_to_twice_the_quote_is_believed(charged: int, believed: bool) -> None:  # noqa: FBT001 - a column
    assert believable(charged, QUOTE) is believed


@pytest.mark.parametrize(
    ("end", "bill", "expected"),
    [
        (End.COMPLETED, None, Owed(QUOTE, videos=1)),
        (End.COMPLETED, Bill(400_000), Owed(400_000, videos=1)),
        (End.COMPLETED, Bill(750_000), Owed(QUOTE, 250_000, videos=1)),
        (End.COMPLETED, Bill(QUOTE, QUOTE), Owed(0, videos=1)),
        (End.COMPLETED, Bill(5_000_000), Owed(QUOTE, flag="unbelievable", videos=1)),
        (End.CANCELLED, Bill(QUOTE, QUOTE // 2), Owed(QUOTE // 2, videos=1)),
        (End.CANCELLED, Bill(QUOTE, QUOTE), Owed()),
        (End.FAILED, None, Owed()),
        (End.FAILED, Bill(QUOTE), Owed(0, QUOTE)),
        (End.FAILED, Bill(QUOTE, QUOTE), Owed()),
        (End.FAILED, Bill(5_000_000), Owed(flag="unbelievable")),
        (End.LOST, None, Owed(0, QUOTE)),
        (End.LOST, Bill(400_000), Owed(0, 400_000)),
        (End.STRAY, None, Owed()),
        (End.STRAY, Bill(400_000), Owed(0, 400_000)),
    ],
)
def test_each_end_owes_what_the_table_says(end: End, bill: Bill | None, expected: Owed) -> None:
    assert owed(end, QUOTE, bill) == expected


def a_row(amount: int, row_id: str = "", state: str = "done") -> Billing:
    return Billing(
        id=row_id,
        prediction_id="0123abcd",
        amount_usd_micros=amount,
        is_refund=amount < 0,
        state=state,
    )


@pytest.mark.parametrize(
    ("rows", "bill"),
    [
        ([], None),
        ([a_row(500, state="pre")], None),
        ([a_row(-500)], None),
        ([a_row(500), a_row(-200)], Bill(500, 200)),
        ([a_row(500), a_row(-200, state="pre")], Bill(500)),
        ([a_row(500, "a"), a_row(500, "a"), a_row(70, "b")], Bill(570)),
        ([a_row(500), a_row(500)], Bill(1000)),
    ],
    ids=["none", "not final", "refund alone", "partly", "refund not final", "twice", "no ids"],
)
def test_only_final_rows_count_and_each_once(rows: list[Billing], bill: Bill | None) -> None:
    assert bill_of(rows) == bill


@pytest.mark.parametrize(
    ("age", "has_row", "expected"),
    [
        (timedelta(), False, timedelta(minutes=15)),
        (timedelta(), True, timedelta(hours=4)),
        (timedelta(minutes=15), False, timedelta(hours=4)),
        (timedelta(hours=4), True, timedelta(hours=24)),
        (timedelta(hours=23), False, timedelta(hours=24)),
        (timedelta(hours=24), True, None),
        (timedelta(days=3), False, None),
    ],
)
def test_a_bill_is_read_after_a_quarter_of_an_hour_four_hours_and_a_day(
    age: timedelta,
    has_row: bool,  # noqa: FBT001 - a column
    expected: timedelta | None,
) -> None:
    assert next_look(age, has_row=has_row) == expected


@pytest.mark.parametrize("end", End)
def test_a_bill_is_missing_after_the_last_look_only_and_never_for_a_failed_run(end: End) -> None:
    assert flag_of(end, QUOTE, None, is_last=False) is None
    assert flag_of(end, QUOTE, None, is_last=True) == (None if end is End.FAILED else "missing")
    assert flag_of(end, QUOTE, Bill(QUOTE), is_last=True) is None
