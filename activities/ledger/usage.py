"""Reading money: what a user has left, and whether a quote would be granted now."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from activities.database.pool import Connection
from activities.ledger.repository import SQL, Plan, PlanUnknown, period_at, plan_of
from activities.ledger.settings import LedgerSettings
from workflows.contracts.failures import Failure, FailureKind, failure
from workflows.contracts.quoting import Quote
from workflows.contracts.texts import dollars


class Usage(BaseModel):
    """A user's present period. Limits and what remains are None where unlimited."""

    model_config = ConfigDict(frozen=True)

    user_id: str
    plan: str
    period_start: datetime
    period_end: datetime
    videos_limit: int | None
    videos_reserved: int
    videos_settled: int
    videos_remaining: int | None
    cost_limit_usd_micros: int | None
    reserved_usd_micros: int
    settled_usd_micros: int
    remaining_usd_micros: int | None


class Estimate(BaseModel):
    """A quote before spending."""

    model_config = ConfigDict(frozen=True)

    quote: Quote
    allowed: bool
    refusal: Failure | None
    """The limit that would stop it; None where allowed."""
    usage: Usage


async def usage_of(connection: Connection, user_id: str, settings: LedgerSettings) -> Usage:
    """What the user has used in the period of now.

    Raises:
        RequestRefused: `no_plan`.
    """
    plan = await plan_of(connection, user_id, settings)
    now = await connection.fetchval("SELECT now()")
    row = await connection.fetchrow(SQL["balance"], user_id, now)
    if row is None:
        starts_at, ends_at = await period_at(connection, user_id, plan, now)
        return _usage(user_id, plan, (starts_at, ends_at), (0, 0), (0, 0))
    return _usage(
        user_id,
        plan,
        (row["starts_at"], row["ends_at"]),
        (row["videos_reserved"], row["videos_settled"]),
        (row["reserved_usd_micros"], row["settled_usd_micros"]),
    )


async def estimate_of(
    connection: Connection, user_id: str, quote: Quote, settings: LedgerSettings
) -> Estimate:
    """Whether `quote` would be granted now, and else by which limit not. Holds nothing."""
    usage = await usage_of(connection, user_id, settings)
    refusal = _limit(usage, quote) or await _cap(connection, quote, settings)
    return Estimate(quote=quote, allowed=refusal is None, refusal=refusal, usage=usage)


async def assign_plan(connection: Connection, user_id: str, plan: str) -> None:
    """Put a user on a plan, at once. An operator's act: the starter's role may not.

    Raises:
        PlanUnknown: no plan of that name.
    """
    names = [row["plan"] for row in await connection.fetch(SQL["plans"])]
    if plan not in names:
        raise PlanUnknown(f"plan: {plan!r}; allowed: {', '.join(names)}.")
    await connection.execute(SQL["assign"], user_id, plan)


def _usage(
    user_id: str,
    plan: Plan,
    period: tuple[datetime, datetime],
    videos: tuple[int, int],
    usd_micros: tuple[int, int],
) -> Usage:
    return Usage(
        user_id=user_id,
        plan=plan.plan,
        period_start=period[0],
        period_end=period[1],
        videos_limit=plan.videos_limit,
        videos_reserved=videos[0],
        videos_settled=videos[1],
        videos_remaining=_left(plan.videos_limit, sum(videos)),
        cost_limit_usd_micros=plan.cost_limit_usd_micros,
        reserved_usd_micros=usd_micros[0],
        settled_usd_micros=usd_micros[1],
        remaining_usd_micros=_left(plan.cost_limit_usd_micros, sum(usd_micros)),
    )


def _left(limit: int | None, taken: int) -> int | None:
    return None if limit is None else max(0, limit - taken)


def _limit(usage: Usage, quote: Quote) -> Failure | None:
    if usage.videos_remaining == 0:
        return failure(
            FailureKind.QUOTA_EXCEEDED,
            f"videos: all {usage.videos_limit} of plan {usage.plan} are used or reserved.",
        )
    left = usage.remaining_usd_micros
    if left is not None and quote.cost_usd_micros > left:
        return failure(
            FailureKind.QUOTA_EXCEEDED,
            f"cost: {dollars(quote.cost_usd_micros)}; plan {usage.plan} has {dollars(left)} left.",
        )
    return None


async def _cap(connection: Connection, quote: Quote, settings: LedgerSettings) -> Failure | None:
    today = datetime.now(UTC).date()
    taken = {
        row["span"]: row["taken_usd_micros"]
        for row in await connection.fetch(SQL["spending_now"], today)
    }
    limits = {"day": settings.day_limit_usd_micros, "month": settings.month_limit_usd_micros}
    for span, limit in limits.items():
        if limit is not None and taken.get(span, 0) + quote.cost_usd_micros > limit:
            return failure(
                FailureKind.SPEND_LIMIT_REACHED,
                f"cost: {dollars(quote.cost_usd_micros)} more would pass this deployment's"
                f" {dollars(limit)} for this {span}.",
            )
    return None
