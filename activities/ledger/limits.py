"""Which limit stops a video: one order, and one sentence each.

The sentence is the same whether a hold is refused, an estimate says no or `usage` tells what would:
first the plan's videos, then its cost, then the deployment's day and month.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from activities.ledger.settings import LedgerSettings
from workflows.contracts.failures import Failure, FailureKind, failure
from workflows.contracts.texts import dollars

Span = Literal["day", "month"]


class Standing(NamedTuple):
    """The limits of a plan, None = unlimited, and what a user's period has taken of them."""

    title: str
    videos_limit: int | None
    cost_limit_usd_micros: int | None
    ends_at: datetime
    videos_reserved: int
    videos_settled: int
    reserved_usd_micros: int
    settled_usd_micros: int

    @property
    def videos(self) -> int:
        """Reserved and settled."""
        return self.videos_reserved + self.videos_settled

    @property
    def taken_usd_micros(self) -> int:
        """Reserved and settled."""
        return self.reserved_usd_micros + self.settled_usd_micros


def caps_of(settings: LedgerSettings) -> dict[Span, int | None]:
    """The deployment's own caps in micro-USD. None = unlimited."""
    return {"day": settings.day_limit_usd_micros, "month": settings.month_limit_usd_micros}


def stopped_by(
    standing: Standing,
    taken_usd_micros: Mapping[str, int],
    cost_usd_micros: int,
    settings: LedgerSettings,
) -> Failure | None:
    """The limit that one video more at this cost would pass; None where it would be granted.

    `taken_usd_micros` is what the deployment has reserved and settled, by span.
    """
    if (refusal := stopped_by_plan(standing, cost_usd_micros)) is not None:
        return refusal
    for span, limit in caps_of(settings).items():
        if limit is not None and taken_usd_micros.get(span, 0) + cost_usd_micros > limit:
            return stopped_by_cap(span, limit, cost_usd_micros)
    return None


def stopped_by_plan(standing: Standing, cost_usd_micros: int) -> Failure | None:
    """The limit of the plan that one video more would pass; None where it fits."""
    resets = f"the period ends {standing.ends_at:%Y-%m-%d %H:%M} UTC"
    videos, taken = standing.videos, standing.taken_usd_micros
    if standing.videos_limit is not None and videos + 1 > standing.videos_limit:
        return failure(
            FailureKind.QUOTA_EXCEEDED,
            f"videos: {videos} of the {standing.videos_limit} of plan {standing.title} are used"
            f" or reserved; {resets}.",
        )
    limit = standing.cost_limit_usd_micros
    if limit is not None and taken + cost_usd_micros > limit:
        return failure(
            FailureKind.QUOTA_EXCEEDED,
            f"cost: {dollars(cost_usd_micros)} more than the {dollars(taken)} used or reserved"
            f" would pass the {dollars(limit)} of plan {standing.title}; {resets}.",
        )
    return None


def stopped_by_cap(span: Span, limit_usd_micros: int, cost_usd_micros: int) -> Failure:
    """The refusal by the deployment's own cap."""
    return failure(
        FailureKind.SPEND_LIMIT_REACHED,
        f"cost: {dollars(cost_usd_micros)} more would pass this deployment's"
        f" {dollars(limit_usd_micros)} for this {span}.",
    )
