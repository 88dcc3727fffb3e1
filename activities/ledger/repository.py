"""Every movement of money, in the caller's transaction and idempotent per generation.

    hold ──▶ settle          the user is booked (never refused)
         └─▶ release         the hold is given back; also a tombstone against a late hold
         └─▶ release + house the user is released, the house books the loss

Lock order, everywhere: generation, reservation, spending day, spending month, balance.
"""

from datetime import UTC, datetime
from typing import Literal, NamedTuple

from activities.database.pool import Connection
from activities.database.statements import statements
from activities.ledger.settings import LedgerSettings
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.texts import dollars

SQL = statements("activities.ledger", "queries.sql")


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

    kind: Literal["reserve", "settle", "release"]
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
        raise RequestRefused(
            FailureKind.NO_PLAN,
            f"user_id: {user_id!r} is on no plan, and there is no default plan.",
        )
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
    transaction must be rolled back.

    Raises:
        RequestRefused: over the plan's videos or cost, over the deployment's cap, no plan, or a
            tombstone says that the generation was ended before.
    """
    now = await connection.fetchval("SELECT now()")
    plan = await plan_of(connection, user_id, settings)
    balance_id = await _balance_at(connection, user_id, plan, now)
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
    await _spend(connection, cost_usd_micros, _day(now), settings)
    held = await connection.fetchval(
        SQL["hold"], balance_id, cost_usd_micros, plan.videos_limit, plan.cost_limit_usd_micros
    )
    if held is None:
        raise await over_limit(connection, user_id, plan, cost_usd_micros, now)
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


async def over_limit(
    connection: Connection, user_id: str, plan: Plan, cost_usd_micros: int, now: datetime
) -> RequestRefused:
    """The refusal that names the limit which stops this user now."""
    row = await connection.fetchrow(SQL["balance"], user_id, now)
    assert row is not None, "a balance is opened before it is held against"
    resets = f"the period ends {row['ends_at']:%Y-%m-%d %H:%M} UTC"
    videos = row["videos_reserved"] + row["videos_settled"]
    if plan.videos_limit is not None and videos + 1 > plan.videos_limit:
        return RequestRefused(
            FailureKind.QUOTA_EXCEEDED,
            f"videos: {videos} of the {plan.videos_limit} of plan {plan.title} are used; {resets}.",
        )
    taken = row["reserved_usd_micros"] + row["settled_usd_micros"]
    return RequestRefused(
        FailureKind.QUOTA_EXCEEDED,
        f"cost: {dollars(cost_usd_micros)} more than the {dollars(taken)} used would pass the"
        f" {dollars(plan.cost_limit_usd_micros or 0)} of plan {plan.title}; {resets}.",
    )


async def _balance_at(connection: Connection, user_id: str, plan: Plan, now: datetime) -> int:
    """The id of the balance whose period holds `now`, opened when it is the period's first."""
    row = await connection.fetchrow(SQL["balance"], user_id, now)
    if row is None:
        starts_at, ends_at = await period_at(connection, user_id, plan, now)
        await connection.execute(SQL["open_balance"], user_id, starts_at, ends_at)
        row = await connection.fetchrow(SQL["balance"], user_id, now)
    assert row is not None, "the period that was opened holds now"
    return row["balance_id"]


async def period_at(
    connection: Connection, user_id: str, plan: Plan, now: datetime
) -> tuple[datetime, datetime]:
    """The [start, end) of the month around `now`: from the plan's anchor, else by calendar."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    anchor = plan.anchored_at if plan.anchored_at is not None else first
    row = await connection.fetchrow(SQL["period"], user_id, min(anchor, now), now)
    assert row is not None, "every moment after the anchor lies in a month"
    return row["starts_at"], row["ends_at"]


async def _spend(
    connection: Connection, cost_usd_micros: int, day: object, settings: LedgerSettings
) -> None:
    await connection.execute(SQL["open_spending"], day)
    limits = {"day": settings.day_limit_usd_micros, "month": settings.month_limit_usd_micros}
    for span, limit in limits.items():
        if await connection.fetchval(SQL["spend"], span, day, cost_usd_micros, limit) is None:
            raise RequestRefused(
                FailureKind.SPEND_LIMIT_REACHED,
                f"cost: {dollars(cost_usd_micros)} more would pass this deployment's"
                f" {dollars(limit or 0)} for this {span}.",
            )


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


def _day(now: datetime) -> object:
    return now.astimezone(UTC).date()
