"""The provider's bills: read when a generation ends and again later, the books corrected by them.

A row of `bills` stands for each prediction that was ever ours and has ended. What should be booked
follows from it by `owing.owed`; the difference to what is booked becomes one new entry per account,
so however often and by whomever a bill is read, the books end up the same. An account is known by
its base URL: a rotated key is the same account's.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
import structlog

from activities.database.pool import Connection, Pool
from activities.generations import repository as generations
from activities.ledger import corrections
from activities.ledger import repository as money
from activities.ledger.alarms import house_booked
from activities.ledger.corrections import SQL, UNFOUND_AFTER, Change
from activities.ledger.owing import NO_ROW_YET, REFUNDED, Bill, End, bill_of, next_look, owed
from activities.ledger.repository import Reservation
from activities.provider.errors import MalformedReply, ProviderError
from activities.provider.wavespeed import PAGE_SIZE_MAX, WaveSpeed

ASK_S_MAX = 10.0
"""What a settlement waits for the bill: its activity has 30 s, and the bill can be read later."""

CLOCK_SKEW = timedelta(hours=1)
"""How far the provider's clock may be off. Too wide a span costs nothing: the predictions are
named."""

_NOT_BOOKED = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The second is what asyncpg raises where the connection was lost in the middle."""

log = structlog.get_logger()


class BillsRead(NamedTuple):
    """What one round of reading came to."""

    read: int = 0
    """Predictions whose bill was asked for, and answered."""
    corrected: int = 0
    """How many changed what was booked, with those whose prediction was never found."""
    flagged: int = 0
    """Of those read, how many a person must look at now and didn't have to before."""
    failed: str | None = None
    """Why some could not be read, in a sentence; they are read again in some minutes."""


class Settled(NamedTuple):
    """What is booked after a settlement, and what there is to say of it."""

    booked_usd_micros: int
    money: str
    house_usd_micros: int
    """What this settlement booked the house: for `alarms.house_booked`, after the commit."""


class _Due(NamedTuple):
    """A bill to be read; `now` is the database's clock when it was chosen."""

    prediction_id: str
    generation_id: str
    looks: int
    has_row: bool
    ended_at: datetime
    reserved_at: datetime
    now: datetime


class Bills:
    """The bills of one provider account."""

    def __init__(self, pool: Pool, client: WaveSpeed) -> None:
        self._pool = pool
        self._client = client
        self._base_url = client.base_url

    async def look_up(self, generation_id: str) -> Bill | None:
        """What the provider charged, for the settlement that comes next; holds no connection.

        None where there is no row yet, where the provider doesn't say so within 10 s, and where the
        bill is expected already, so that a repeat asks nothing.
        """
        row = await self._pool.fetchrow(SQL["to_ask"], generation_id, self._base_url)
        if row is None:
            return None
        try:
            async with asyncio.timeout(ASK_S_MAX):
                rows = await self._client.billings(
                    [row["prediction_id"]],
                    start=row["reserved_at"] - CLOCK_SKEW,
                    end=row["now"] + CLOCK_SKEW,
                )
        except (ProviderError, TimeoutError) as error:
            why = type(error).__name__
            log.warning("no bill yet, the quote is booked", generation_id=generation_id, why=why)
            return None
        return bill_of(rows)

    async def settle(
        self, connection: Connection, generation_id: str, bill: Bill | None
    ) -> Settled:
        """Book the user for a video: min(bill, quote), or the quote while there is no bill.

        In the caller's transaction, which locked the generation. A repeat changes nothing.
        """
        hold = await money.reservation_of(connection, generation_id)
        assert hold is not None, f"{generation_id} was never reserved"
        due = owed(End.COMPLETED, hold.quoted_usd_micros, bill)
        await money.settle(connection, generation_id, due.user_usd_micros)
        await _expect(
            connection, generation_id, bill, next_look(timedelta(), has_row=bill is not None)
        )
        hold = await money.reservation_of(connection, generation_id)
        assert hold is not None, "it was there"
        change = await corrections.correct(connection, hold)
        return Settled(*await corrections.booked_of(connection, hold), change.house_usd_micros)

    async def expect(self, connection: Connection, generation_id: str) -> None:
        """Have the bill read of a generation that ended without a video; a repeat changes nothing.

        In the caller's transaction, after the hold was ended. Nothing where no prediction is known.
        """
        hold = await money.reservation_of(connection, generation_id)
        if hold is not None:
            end = await corrections.end_of(connection, hold)
            # Where nobody was booked only the refund matters, and it takes its time.
            first = REFUNDED if end is End.FAILED else NO_ROW_YET
            await _expect(connection, generation_id, None, first)

    async def expect_stray(self, generation_id: str, prediction_id: str) -> bool:
        """Have the bill read, from now on, of a prediction at our account that nobody followed.

        The house pays for it, unless the user was booked for a submission whose prediction was not
        known: then this is it. Returns whether it was new; a repeat changes nothing.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await generations.lock(connection, generation_id)
            await money.reservation_of(connection, generation_id)
            is_stray = await connection.fetchval(
                SQL["expect_stray"],
                generation_id,
                prediction_id,
                self._base_url,
                self._client.key_fingerprint,
            )
        return is_stray is not None

    async def read_due(self, limit: int = PAGE_SIZE_MAX) -> BillsRead:
        """Read up to `limit` (at most 100) bills of this account that are due, and correct by them.

        Each in a transaction of its own. What could not be read stays due, in some minutes. First,
        since there is no bill to ask for, `give_back_doubtful`.
        """
        given_back = await self.give_back_doubtful(limit)
        rows = await self._pool.fetch(SQL["due"], self._base_url, min(limit, PAGE_SIZE_MAX))
        due = [_Due(*row) for row in rows]
        bills, failed = await self._ask(due) if due else ({}, None)
        unread = [each.prediction_id for each in due if each.prediction_id not in bills]
        await self._pool.execute(SQL["defer"], unread)
        changes = list[Change]()
        for each in due:
            if each.prediction_id not in bills:
                continue
            try:
                changes.append(await self._apply(each, bills[each.prediction_id]))
            except _NOT_BOOKED as error:
                # It stays due, and keeps no other from its turn.
                log.exception("a bill could not be booked", generation_id=each.generation_id)
                why = getattr(error, "sqlstate", None) or type(error).__name__
                failed = f"The bill of {each.generation_id} could not be booked ({why})."
        return BillsRead(
            read=len(due) - len(unread),
            corrected=given_back + sum(change.is_booked for change in changes),
            flagged=sum(change.flagged for change in changes),
            failed=failed,
        )

    async def give_back_doubtful(self, limit: int = PAGE_SIZE_MAX) -> int:
        """Release whoever is booked for a submission of which nothing was found in 8 days.

        Such a one was cancelled while it was not known whether the provider took the job. Returns
        how many got money and video back. What turns up later all the same is booked by its bill.
        """
        rows = await self._pool.fetch(SQL["provisional_without_prediction"], UNFOUND_AFTER, limit)
        given_back = 0
        for row in rows:
            generation_id = row["generation_id"]
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    await generations.lock(connection, generation_id)
                    hold = await money.reservation_of(connection, generation_id)
                    assert hold is not None, "it was there"
                    given_back += (await _correct(connection, hold)).is_booked
            except _NOT_BOOKED:
                # The next look finds it again, and the bills keep their turn.
                log.exception("a doubt could not be given back", generation_id=generation_id)
        return given_back

    async def _ask(self, due: Sequence[_Due]) -> tuple[dict[str, Bill | None], str | None]:
        """Each prediction's bill, and why some are not there.

        One row that can't be read spoils its whole page, and is found by halves. Where nothing of a
        half can be read it is the provider's doing, not a row's, and it is not asked on.
        """
        try:
            return await self._bills(due), None
        except MalformedReply as error:
            if len(due) == 1:
                return {}, str(error)
        except ProviderError as error:
            return {}, str(error)
        half = len(due) // 2
        first, told = await self._ask(due[:half])
        if not first and half > 1:
            return {}, told
        second, told_too = await self._ask(due[half:])
        return first | second, told or told_too

    async def _bills(self, due: Sequence[_Due]) -> dict[str, Bill | None]:
        rows = await self._client.billings(
            [each.prediction_id for each in due],
            start=min(each.reserved_at for each in due) - CLOCK_SKEW,
            end=max(each.now for each in due) + CLOCK_SKEW,
        )
        ids = [each.prediction_id for each in due]
        return {id_: bill_of(row for row in rows if row.prediction_id == id_) for id_ in ids}

    async def _apply(self, due: _Due, bill: Bill | None) -> Change:
        """Write one look down and book what it changes; nothing where another reader was first."""
        has_row = due.has_row or bill is not None
        pause = next_look(due.now - due.ended_at, has_row=has_row)
        due_at = None if pause is None else due.ended_at + pause
        async with self._pool.acquire() as connection, connection.transaction():
            await generations.lock(connection, due.generation_id)
            hold = await money.reservation_of(connection, due.generation_id)
            assert hold is not None, "a bill belongs to a reservation"
            seen = await connection.fetchval(
                SQL["look"], due.prediction_id, due.looks, *_columns(bill), due_at
            )
            if seen is None:
                return Change()
            change = await _correct(connection, hold)
        house_booked(due.generation_id, change.house_usd_micros)
        return change


async def _correct(connection: Connection, hold: Reservation) -> Change:
    """Correct the books, and what readers are told of them."""
    change = await corrections.correct(connection, hold)
    if hold.state == "settled":
        _, told = await corrections.booked_of(connection, hold)
        await connection.execute(SQL["tell"], hold.generation_id, told)
    return change


async def _expect(
    connection: Connection, generation_id: str, bill: Bill | None, pause: timedelta | None
) -> None:
    await connection.execute(SQL["expect"], generation_id, *_columns(bill), pause)


def _columns(bill: Bill | None) -> tuple[int | None, int]:
    """Charged and refunded, as the table keeps them."""
    return (None, 0) if bill is None else (bill.charged_usd_micros, bill.refunded_usd_micros)
