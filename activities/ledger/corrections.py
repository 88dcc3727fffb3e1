"""The books follow the bills: the difference between what is owed and what is booked is booked.

Each function runs in a transaction that holds the lock of the generation and its reservation, so
that readers at the same time come one after the other and the second finds nothing left to do.
"""

from datetime import timedelta
from typing import NamedTuple

from activities.database.pool import Connection, Row
from activities.database.statements import statements
from activities.ledger import repository as money
from activities.ledger.owing import Bill, End, Owed, flag_of, owed
from activities.ledger.repository import Reservation
from workflows.contracts.texts import dollars

SQL = statements("activities.ledger", "bills.sql")

UNFOUND_AFTER = timedelta(days=8)
"""How long after its end a job whose id was never received may turn up: the provider lists
predictions for 7 days (docs: what-are-predictions), and the sweeper looks through them."""


class Change(NamedTuple):
    """By how much the books changed, and how many bills were flagged."""

    user_usd_micros: int = 0
    house_usd_micros: int = 0
    videos: int = 0
    flagged: int = 0

    @property
    def is_booked(self) -> bool:
        """Whether there is an entry of it."""
        return any((self.user_usd_micros, self.house_usd_micros, self.videos))


async def correct(connection: Connection, hold: Reservation) -> Change:
    """Book what all bills of a generation change, and flag those that a person must look at.

    A repeat changes nothing.
    """
    booked = await _booked(connection, hold)
    due, flagged = await _owed(connection, hold, _end_of(hold, booked))
    change = Change(
        due.user_usd_micros - booked["user_usd_micros"],
        due.house_usd_micros - booked["house_usd_micros"],
        due.videos - booked["videos"],
        flagged,
    )
    await money.correct(
        connection,
        hold,
        videos=change.videos,
        user_usd_micros=change.user_usd_micros,
        house_usd_micros=change.house_usd_micros,
    )
    return change


async def end_of(connection: Connection, hold: Reservation) -> End | None:
    """How the generation's own prediction ended; None while its money is still held."""
    return _end_of(hold, await _booked(connection, hold))


async def booked_of(connection: Connection, hold: Reservation) -> tuple[int, str]:
    """What the user is booked, in micro-USD, and what there is to say of it."""
    booked_usd_micros = (await _booked(connection, hold))["user_usd_micros"]
    rows = await connection.fetch(SQL["of_generation"], hold.generation_id)
    told = f"{dollars(booked_usd_micros)} was booked"
    if any(_bill(row) is None and row["due_at"] and not row["is_stray"] for row in rows):
        told += "; the provider's bill corrects it"
    elif booked_usd_micros != hold.quoted_usd_micros:
        told += f" (quoted {dollars(hold.quoted_usd_micros)})"
    return booked_usd_micros, f"{told}."


async def _owed(connection: Connection, hold: Reservation, end: End | None) -> tuple[Owed, int]:
    """What the books should hold by all bills of a generation, and how many were flagged now."""
    quote = hold.quoted_usd_micros
    own = Owed() if end is None else owed(end, quote, None)
    strays_usd_micros = flagged = 0
    for row in await connection.fetch(SQL["of_generation"], hold.generation_id):
        ended_as = End.STRAY if row["is_stray"] else end
        if ended_as is None:
            continue
        due = owed(ended_as, quote, _bill(row))
        if ended_as is End.STRAY:
            strays_usd_micros += due.house_usd_micros
        else:
            own = due
        flag = flag_of(ended_as, quote, _bill(row), is_last=row["due_at"] is None)
        if flag != row["flag"]:
            await connection.execute(SQL["flag"], row["prediction_id"], flag)
            flagged += flag is not None
    return own._replace(house_usd_micros=own.house_usd_micros + strays_usd_micros), flagged


def _end_of(hold: Reservation, booked: Row) -> End | None:
    match hold.state:
        case "reserved":
            return None
        case "settled":
            if not booked["is_provisional"]:
                return End.COMPLETED
            # Of what nobody ever found there is nothing to pay for: as if the user was released.
            return End.FAILED if booked["is_unfound"] else End.CANCELLED
        case "released":
            return End.LOST if booked["is_lost"] else End.FAILED


async def _booked(connection: Connection, hold: Reservation) -> Row:
    row = await connection.fetchrow(SQL["booked"], hold.generation_id, UNFOUND_AFTER)
    assert row is not None, "a sum has a row"
    return row


def _bill(row: Row) -> Bill | None:
    if row["charged_usd_micros"] is None:
        return None
    return Bill(row["charged_usd_micros"], row["refunded_usd_micros"])
