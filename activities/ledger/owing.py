"""Who owes what of a provider's bill: pure, so that its rules can be tested by properties.

    completed, cancelled   the user min(bill, quote), the house what is above
    failed                 the user nothing, the house what the provider did not refund
    lost, stray            the user nothing, the house the bill

A bill that is not there yet, or can't be believed, leaves what was booked without it.
"""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

from activities.provider.models import Billing

NOT_FINAL = "pre"
"""An order in this state may still change (docs: billings): its row counts as not there yet."""

NO_ROW_YET = timedelta(minutes=15)
"""The second look where the first found no row: bills lag the job by minutes."""

REFUNDED = timedelta(hours=4)
"""The provider refunds failed runs within three hours (docs: billings)."""

LAST_LOOK = timedelta(hours=24)
"""A refund later than this is a person's act, and a person reads it."""

Flag = Literal["unbelievable", "missing"]


class End(StrEnum):
    """How a prediction of ours ended, as far as money is concerned."""

    COMPLETED = "completed"  # there is a video
    CANCELLED = "cancelled"  # dropped after the provider took it; the user was booked for now
    FAILED = "failed"  # the user was released
    LOST = "lost"  # the user was released, the house was booked the quote
    STRAY = "stray"  # not the generation's own: nobody was booked


class Bill(NamedTuple):
    """What the provider charged for one prediction, in micro-USD, and what it gave back."""

    charged_usd_micros: int
    refunded_usd_micros: int = 0

    @property
    def net_usd_micros(self) -> int:
        """What it cost after all; never below 0."""
        return max(0, self.charged_usd_micros - self.refunded_usd_micros)


class Owed(NamedTuple):
    """What should stand in the books, in micro-USD, and how many videos of the user's quota."""

    user_usd_micros: int = 0
    house_usd_micros: int = 0
    flag: Flag | None = None
    videos: int = 0


def bill_of(rows: Iterable[Billing]) -> Bill | None:
    """The sum of a prediction's final rows; None where there is no charge among them yet."""
    # Rows may move between two pages while they are read, and come twice then.
    distinct = {row.id or f"row {place}": row for place, row in enumerate(rows)}
    final = [row for row in distinct.values() if row.state != NOT_FINAL]
    charges = [row.amount_usd_micros for row in final if not row.is_refund]
    refunds = [row.amount_usd_micros for row in final if row.is_refund]
    return Bill(sum(charges), -sum(refunds)) if charges else None


def believable(charged_usd_micros: int, quote_usd_micros: int) -> bool:
    """Whether a charge is 0.2 to 2 times the quote: beyond, its unit or ours is wrong."""
    return quote_usd_micros <= 5 * charged_usd_micros and charged_usd_micros <= 2 * quote_usd_micros


def owed(end: End, quote_usd_micros: int, bill: Bill | None) -> Owed:
    """What user and house should be booked for a prediction that ended so."""
    booked = _without_a_bill(end, quote_usd_micros)
    if bill is None:
        return booked
    if not believable(bill.charged_usd_micros, quote_usd_micros):
        # Whoever ran a stray up, it was a run of this price: the best guess there is.
        house = quote_usd_micros if end is End.STRAY else booked.house_usd_micros
        return booked._replace(house_usd_micros=house, flag="unbelievable")
    net = bill.net_usd_micros
    if end not in {End.COMPLETED, End.CANCELLED}:
        return Owed(house_usd_micros=net)
    user = min(net, quote_usd_micros)
    # A video that was delivered counts, whatever became of its price.
    videos = 1 if end is End.COMPLETED or net else 0
    return Owed(user, net - user, videos=videos)


def _without_a_bill(end: End, quote_usd_micros: int) -> Owed:
    match end:
        case End.COMPLETED | End.CANCELLED:
            return Owed(user_usd_micros=quote_usd_micros, videos=1)
        case End.LOST:
            return Owed(house_usd_micros=quote_usd_micros)
        case End.FAILED | End.STRAY:
            return Owed()


def flag_of(end: End, quote_usd_micros: int, bill: Bill | None, *, is_last: bool) -> Flag | None:
    """What a person must look at. A failed run without a bill is as it should be."""
    if bill is None:
        return "missing" if is_last and end is not End.FAILED else None
    return owed(end, quote_usd_micros, bill).flag


def next_look(age: timedelta, *, has_row: bool) -> timedelta | None:
    """How long after the end a bill is read next, at this time after it; None = never again."""
    looks = (REFUNDED, LAST_LOOK) if has_row else (NO_ROW_YET, REFUNDED, LAST_LOOK)
    return next((look for look in looks if look > age), None)
