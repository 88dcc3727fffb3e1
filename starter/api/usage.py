"""What a user has left and what it was spent on, and what can be asked for: models and plans.

Limits are the user's, whoever asks. What was spent is told of the products that the key is for.
"""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from activities.ledger.daily import DAYS, DaySpend, first_day
from activities.ledger.usage import UsageReport
from starter.api.callers import CallerOf
from starter.api.documents import Document, told
from starter.api.parts import PartsOf
from starter.api.responses import problems
from workflows.contracts.catalogue import Catalogue

DAYS_MAX = 366

router = APIRouter(prefix="/v1", tags=["usage"])


class DailyUsage(Document):
    """What a user's videos cost day by day. Money is in millionths of a US dollar."""

    since: date
    """The first day, in UTC."""
    until: date
    """The last one: today."""
    days: tuple[DaySpend, ...]
    """By day, model and product, the oldest first; where nothing was spent, there is no row."""


class Plan(Document):
    """What a plan allows in a month. Null is unlimited."""

    plan: str
    title: str
    videos_limit: int | None
    cost_limit_usd_micros: int | None


class Plans(Document):
    """Every plan, the smallest first."""

    items: tuple[Plan, ...]


@router.get("/usage", summary="Show what is left", responses=problems())
async def usage(caller: CallerOf, parts: PartsOf) -> UsageReport:
    """The user's present period: its limits, and what is reserved and settled of them.

    `shares` has the products that the key is for, the rest is the user's whole. `stopped_by` is the
    limit that would refuse the next video.
    """
    report = await parts.client.usage(caller.user_id)
    shares = tuple(share for share in report.shares if share.source in caller.sources)
    return report.model_copy(update={"shares": shares, "stopped_by": told(report.stopped_by)})


@router.get("/usage/daily", summary="Show what was spent each day", responses=problems())
async def daily(
    caller: CallerOf,
    parts: PartsOf,
    days: Annotated[int, Query(ge=1, le=DAYS_MAX, description="How many, with today.")] = DAYS,
) -> DailyUsage:
    """What the videos of the last days cost the user, by the day that they were asked for."""
    now = datetime.now(UTC)
    spent = await parts.client.usage_by_day(caller.user_id, days=days)
    return DailyUsage(
        since=first_day(days, now),
        until=now.date(),
        days=tuple(each for each in spent if each.source in caller.sources),
    )


@router.get("/models", summary="List the models", responses=problems())
async def models(_caller: CallerOf, parts: PartsOf) -> Catalogue:
    """What each model takes, its limits, its prices and how long it usually takes."""
    return parts.client.catalogue


@router.get("/plans", summary="List the plans", responses=problems())
async def plans(_caller: CallerOf, parts: PartsOf) -> Plans:
    """The plans that a user can be on."""
    return Plans(items=tuple(Plan.model_validate(each) for each in await parts.client.plans()))
