"""Reading money: what a user has left, and whether a quote would be granted now."""

from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from activities.database.pool import Connection
from activities.ledger.limits import Standing, stopped_by
from activities.ledger.repository import SQL, PlanUnknown, period_at, plan_of
from activities.ledger.settings import LedgerSettings
from workflows.contracts.catalogue import Catalogue, ChoiceParameter, ModelEntry
from workflows.contracts.failures import Failure
from workflows.contracts.quoting import Quote, cost


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


class Share(BaseModel):
    """What the videos of one model have of a period or a day, for one of the products that ask."""

    model_config = ConfigDict(frozen=True)

    model: str
    source: str
    videos_reserved: int
    videos_settled: int
    reserved_usd_micros: int
    settled_usd_micros: int


class UsageReport(Usage):
    """A user's present period in detail: who has used it, and what stops the next video."""

    shares: tuple[Share, ...]
    """By model and source, the dearest first; they add up to the whole. What the house pays is not
    the user's, and stands in none."""
    stopped_by: Failure | None
    """The limit that would refuse the cheapest next video, as its start would tell it."""


class Estimate(BaseModel):
    """A quote before spending."""

    model_config = ConfigDict(frozen=True)

    quote: Quote
    allowed: bool
    refusal: Failure | None
    """The limit that would stop it; None where allowed."""
    usage: Usage


class _Account(NamedTuple):
    """What is known of a user's money now, as one read."""

    balance_id: int | None
    standing: Standing
    usage: Usage
    spent_usd_micros: dict[str, int]
    """The deployment's, by span."""


async def usage_of(connection: Connection, user_id: str, settings: LedgerSettings) -> Usage:
    """What the user has used in the period of now.

    Raises:
        RequestRefused: `no_plan`.
    """
    return (await _read(connection, user_id, settings)).usage


async def report_of(
    connection: Connection, user_id: str, settings: LedgerSettings, catalogue: Catalogue
) -> UsageReport:
    """The same in detail; the next video is the cheapest one of `catalogue`.

    Raises:
        RequestRefused: `no_plan`.
    """
    # One snapshot, so that the shares add up to the whole.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        account = await _read(connection, user_id, settings)
        rows = await connection.fetch(SQL["usage_by_model"], account.balance_id)
    next_usd_micros = cheapest_usd_micros(catalogue)
    return UsageReport(
        **account.usage.model_dump(),
        shares=tuple(Share(**row) for row in rows),
        stopped_by=stopped_by(
            account.standing, account.spent_usd_micros, next_usd_micros, settings
        ),
    )


def cheapest_usd_micros(catalogue: Catalogue) -> int:
    """The least that any video costs: the shortest one of the cheapest size."""
    return min(
        cost(entry, size_class, _shortest_s(entry))
        for entry in catalogue.models
        for size_class in entry.price.usd_micros
    )


def _shortest_s(entry: ModelEntry) -> int:
    durations = entry.parameters.get("duration_s")
    allowed = durations.allowed if isinstance(durations, ChoiceParameter) else ()
    # Where the sound gives the length, its first started second is the least.
    return min((each for each in allowed if isinstance(each, int)), default=1)


async def estimate_of(
    connection: Connection, user_id: str, quote: Quote, settings: LedgerSettings
) -> Estimate:
    """Whether `quote` would be granted now, and else by which limit not. Holds nothing."""
    account = await _read(connection, user_id, settings)
    refusal = stopped_by(
        account.standing, account.spent_usd_micros, quote.cost_usd_micros, settings
    )
    return Estimate(quote=quote, allowed=refusal is None, refusal=refusal, usage=account.usage)


async def assign_plan(connection: Connection, user_id: str, plan: str) -> None:
    """Put a user on a plan, at once. An operator's act: the starter's role may not.

    Raises:
        PlanUnknown: no plan of that name.
    """
    names = [row["plan"] for row in await connection.fetch(SQL["plans"])]
    if plan not in names:
        raise PlanUnknown(f"plan: {plan!r}; allowed: {', '.join(names)}.")
    await connection.execute(SQL["assign"], user_id, plan)


async def _read(connection: Connection, user_id: str, settings: LedgerSettings) -> _Account:
    plan = await plan_of(connection, user_id, settings)
    now = await connection.fetchval("SELECT now()")
    row = await connection.fetchrow(SQL["balance"], user_id, now)
    if row is None:
        balance_id, taken = None, (0, 0, 0, 0)
        starts_at, ends_at = await period_at(connection, user_id, plan, now)
    else:
        balance_id, starts_at, ends_at, *taken = row
    standing = Standing(plan.title, plan.videos_limit, plan.cost_limit_usd_micros, ends_at, *taken)
    spending = await connection.fetch(SQL["spending_now"], now.astimezone(UTC).date())
    return _Account(
        balance_id=balance_id,
        standing=standing,
        usage=_usage(user_id, plan.plan, starts_at, standing),
        spent_usd_micros={row["span"]: row["taken_usd_micros"] for row in spending},
    )


def _usage(user_id: str, plan: str, starts_at: datetime, standing: Standing) -> Usage:
    videos_limit, cost_limit = standing.videos_limit, standing.cost_limit_usd_micros
    return Usage(
        user_id=user_id,
        plan=plan,
        period_start=starts_at,
        period_end=standing.ends_at,
        videos_limit=videos_limit,
        videos_reserved=standing.videos_reserved,
        videos_settled=standing.videos_settled,
        videos_remaining=_left(videos_limit, standing.videos),
        cost_limit_usd_micros=cost_limit,
        reserved_usd_micros=standing.reserved_usd_micros,
        settled_usd_micros=standing.settled_usd_micros,
        remaining_usd_micros=_left(cost_limit, standing.taken_usd_micros),
    )


def _left(limit: int | None, taken: int) -> int | None:
    return None if limit is None else max(0, limit - taken)
