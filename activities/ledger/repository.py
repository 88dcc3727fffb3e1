"""Every movement of money, in the caller's transaction and idempotent per generation.

    hold ──▶ settle          the user is booked (never refused)
         └─▶ release         the hold is given back; also a tombstone against a late hold
         └─▶ release + house the user is released, the house books the loss
                 └─▶ correct the provider's bill says otherwise: entries of the difference

Lock order, everywhere: generation, reservation, spending day, spending month, balance.
"""

from datetime import UTC, datetime
from typing import Literal, NamedTuple

from activities.database.pool import Connection
from activities.database.statements import statements
from activities.ledger.limits import Standing, caps_of, stopped_by_cap, stopped_by_plan
from activities.ledger.settings import LedgerSettings
from workflows.contracts.failures import FailureKind, RequestRefused

SQL = statements("activities.ledger", "queries.sql")


_LOOKS = 4
"""Another transaction may open a period that begins or ends between its moment and ours: then ours
is not opened, and the next look finds the room that is left. There is one neighbour on each side,
and a last look for our own."""


class Plan(NamedTuple):
    """A user's plan. None = unlimited."""

    plan: str
    title: str
    videos_limit: int | None
    cost_limit_usd_micros: int | None
    fairness_weight: float
    anchored_at: datetime | None


class Reservation(NamedTuple):
    """The hold of one generation."""

    generation_id: str
    balance_id: int | None
    state: Literal["reserved", "settled", "released"]
    videos: int
    quoted_usd_micros: int
    spent_on: datetime


class _Entry(NamedTuple):
    """One movement; without a balance it is the house's."""

    kind: Literal["reserve", "settle", "release", "correct"]
    balance_id: int | None
    videos_reserved: int = 0
    videos_settled: int = 0
    reserved_usd_micros: int = 0
    settled_usd_micros: int = 0
    provisional: bool = False


class PlanUnknown(LookupError):
    """No plan of that name. `stillmotion plans` lists them."""


async def plan_of(connection: Connection, user_id: str, settings: LedgerSettings) -> Plan:
    """The plan in force for a user.

    Raises:
        RequestRefused: `no_plan`: no subscription, and the deployment has no default plan.
    """
    row = await connection.fetchrow(SQL["plan"], user_id, settings.default_plan)
    if row is None:
        raise _no_plan(user_id)
    return Plan(**row)


async def reservation_of(connection: Connection, generation_id: str) -> Reservation | None:
    """The hold, locked until the transaction ends; None where nothing was ever held or released."""
    row = await connection.fetchrow(SQL["reservation"], generation_id)
    return None if row is None else Reservation(**row)


async def hold(
    connection: Connection,
    generation_id: str,
    user_id: str,
    cost_usd_micros: int,
    settings: LedgerSettings,
) -> None:
    """Reserve one video and its cost in the user's present period.

    A second hold of the same generation holds nothing more. Where this raises, the caller's
    transaction must be rolled back. One transaction holds for one user: a period is opened before
    the locks are taken.

    Raises:
        RequestRefused: over the plan's videos or cost, over the deployment's cap, no plan, or a
            tombstone says that the generation was ended before.
    """
    now = await connection.fetchval("SELECT now()")
    balance_id = await _balance_at(connection, user_id, now, settings)
    inserted = await connection.fetchval(
        SQL["insert_reservation"], generation_id, balance_id, cost_usd_micros, _day(now)
    )
    if inserted is None:
        known = await reservation_of(connection, generation_id)
        if known is not None and known.state == "reserved":
            return
        raise RequestRefused(
            FailureKind.ALREADY_CLOSED, "The generation has ended before it began."
        )
    await _lock(connection, _day(now), balance_id)
    await _take(connection, balance_id, user_id, cost_usd_micros, settings)
    await _spend(connection, cost_usd_micros, _day(now), settings)
    entry = _Entry("reserve", balance_id, videos_reserved=1, reserved_usd_micros=cost_usd_micros)
    await _enter(connection, generation_id, entry)


async def settle(
    connection: Connection, generation_id: str, cost_usd_micros: int, *, provisional: bool = False
) -> int:
    """Book the user `cost_usd_micros` for one video, in the reservation's own period.

    Never refused. Returns what is booked in all: a repeated settlement books nothing more.
    """
    hold_ = await reservation_of(connection, generation_id)
    assert hold_ is not None, f"{generation_id} was never reserved"
    if hold_.state == "reserved":
        await _end(connection, hold_, "settled", cost_usd_micros)
        entry = _Entry(
            "settle",
            hold_.balance_id,
            videos_reserved=-hold_.videos,
            videos_settled=hold_.videos,
            reserved_usd_micros=-hold_.quoted_usd_micros,
            settled_usd_micros=cost_usd_micros,
            provisional=provisional,
        )
        await _enter(connection, generation_id, entry)
    return await connection.fetchval(SQL["booked"], generation_id)


async def release(connection: Connection, generation_id: str, *, house_usd_micros: int = 0) -> int:
    """Give the hold back; `house_usd_micros` is what the house books instead of the user.

    Where nothing was held yet a tombstone is left, so that a late hold is refused.
    Returns what was given back, in micro-USD; 0 where there was nothing, or it was ended before.
    """
    if await connection.fetchval(SQL["insert_tombstone"], generation_id) is not None:
        return 0
    hold_ = await reservation_of(connection, generation_id)
    assert hold_ is not None, "the tombstone was refused by a row"
    if hold_.state != "reserved":
        return 0
    await _end(connection, hold_, "released", 0, house_usd_micros)
    entry = _Entry(
        "release",
        hold_.balance_id,
        videos_reserved=-hold_.videos,
        reserved_usd_micros=-hold_.quoted_usd_micros,
    )
    await _enter(connection, generation_id, entry)
    if house_usd_micros:
        loss = _Entry("settle", None, settled_usd_micros=house_usd_micros)
        await _enter(connection, generation_id, loss)
    return hold_.quoted_usd_micros


async def correct(
    connection: Connection,
    hold_: Reservation,
    *,
    videos: int = 0,
    user_usd_micros: int = 0,
    house_usd_micros: int = 0,
) -> None:
    """Book what a bill changes, by one new entry per account; never refused.

    The amounts are differences to what is booked and may be negative. They belong to the period and
    the day of the hold, which the caller has locked by `reservation_of`.
    """
    if user_usd_micros or house_usd_micros:
        # A tombstone's day may have none.
        await connection.execute(SQL["open_spending"], hold_.spent_on)
        spent = user_usd_micros + house_usd_micros
        await connection.execute(SQL["end_spending"], hold_.spent_on, 0, spent)
    if videos or user_usd_micros:
        settled = (hold_.balance_id, 0, 0, videos, user_usd_micros)
        await connection.execute(SQL["end_hold"], *settled)
        entry = _Entry(
            "correct",
            hold_.balance_id,
            videos_settled=videos,
            settled_usd_micros=user_usd_micros,
        )
        await _enter(connection, hold_.generation_id, entry)
    if house_usd_micros:
        loss = _Entry("correct", None, settled_usd_micros=house_usd_micros)
        await _enter(connection, hold_.generation_id, loss)


async def _balance_at(
    connection: Connection, user_id: str, now: datetime, settings: LedgerSettings
) -> int:
    """The id of the balance whose period holds `now`, opened when it is the period's first."""
    for _ in range(_LOOKS):
        balance_id = await connection.fetchval(SQL["balance"], user_id, now)
        if balance_id is not None:
            return balance_id
        plan = await plan_of(connection, user_id, settings)
        starts_at, ends_at = await period_at(connection, user_id, plan, now)
        await connection.execute(SQL["open_balance"], user_id, starts_at, ends_at)
    raise AssertionError("the period that was opened holds now")


async def period_at(
    connection: Connection, user_id: str, plan: Plan, now: datetime
) -> tuple[datetime, datetime]:
    """The [start, end) of the month around `now`: from the plan's anchor, else by calendar."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    anchor = plan.anchored_at if plan.anchored_at is not None else first
    row = await connection.fetchrow(SQL["period"], user_id, min(anchor, now), now)
    assert row is not None, "every moment after the anchor lies in a month"
    return row["starts_at"], row["ends_at"]


async def _lock(connection: Connection, day: object, balance_id: int) -> None:
    """Wait for whoever moves this money: spending day, spending month, balance."""
    # Opened first: whoever locked a month alone would come to its new day too late.
    await connection.execute(SQL["open_spending"], day)
    await connection.execute(SQL["lock_spending"], day)
    await connection.execute(SQL["lock_balance"], balance_id)


async def _take(
    connection: Connection,
    balance_id: int,
    user_id: str,
    cost_usd_micros: int,
    settings: LedgerSettings,
) -> None:
    """One video and the cost from the user's plan, by one conditional update."""
    row = await connection.fetchrow(
        SQL["hold"], balance_id, user_id, settings.default_plan, cost_usd_micros
    )
    assert row is not None, "the balance was locked"
    if row["title"] is None:
        raise _no_plan(user_id)
    if not row["is_taken"]:
        seen = Standing(*(row[name] for name in Standing._fields))
        refusal = stopped_by_plan(seen, cost_usd_micros)
        assert refusal is not None, "the statement judged by the same numbers"
        raise RequestRefused(refusal.kind, refusal.message)


async def _spend(
    connection: Connection, cost_usd_micros: int, day: object, settings: LedgerSettings
) -> None:
    """The cost from each of the deployment's caps, by one conditional update each."""
    for span, limit in caps_of(settings).items():
        if await connection.fetchval(SQL["spend"], span, day, cost_usd_micros, limit) is None:
            assert limit is not None, "without a cap the row is taken from"
            refusal = stopped_by_cap(span, limit, cost_usd_micros)
            raise RequestRefused(refusal.kind, refusal.message)


async def _end(
    connection: Connection,
    hold_: Reservation,
    state: Literal["settled", "released"],
    user_usd_micros: int,
    house_usd_micros: int = 0,
) -> None:
    """The hold ends: reservation, spending, balance, in the order of the locks."""
    spent = user_usd_micros + house_usd_micros
    await connection.execute(SQL["end_reservation"], hold_.generation_id, state)
    await connection.execute(SQL["end_spending"], hold_.spent_on, hold_.quoted_usd_micros, spent)
    await connection.execute(
        SQL["end_hold"],
        hold_.balance_id,
        hold_.videos,
        hold_.quoted_usd_micros,
        hold_.videos if state == "settled" else 0,
        user_usd_micros,
    )


async def _enter(connection: Connection, generation_id: str, entry: _Entry) -> None:
    account = "house" if entry.balance_id is None else "user"
    await connection.execute(SQL["enter"], generation_id, account, *entry)


def _no_plan(user_id: str) -> RequestRefused:
    return RequestRefused(
        FailureKind.NO_PLAN, f"user_id: {user_id!r} is on no plan, and there is no default plan."
    )


def _day(now: datetime) -> object:
    return now.astimezone(UTC).date()
