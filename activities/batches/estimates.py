"""What a whole batch would cost, and whether that would be granted now."""

from collections.abc import Sequence
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from activities.database.pool import Connection
from activities.ledger.settings import LedgerSettings
from activities.ledger.usage import Usage, estimate_of, usage_of
from workflows.contracts.failures import Failure, FailureKind, RequestRefused
from workflows.contracts.quoting import Quote
from workflows.contracts.texts import dollars


class Whole(NamedTuple):
    """What is reserved as one."""

    videos: int
    cost_usd_micros: int

    @classmethod
    def of(cls, quotes: Sequence[Quote]) -> Self:
        """The sum of the items' quotes."""
        return cls(len(quotes), sum(quote.cost_usd_micros for quote in quotes))

    @property
    def told(self) -> str:
        """In words."""
        return f"{videos_told(self.videos)} for {dollars(self.cost_usd_micros)}"


class BatchEstimate(BaseModel):
    """The quote of a whole batch before spending."""

    model_config = ConfigDict(frozen=True)

    videos: int
    """How many are to be made; what an item's own key has named before is not made again."""
    cost_usd_micros: int
    allowed: bool
    refusal: Failure | None
    """The limit that would stop it; None where allowed."""
    usage: Usage


async def estimate_batch(
    connection: Connection,
    user_id: str,
    quotes: Sequence[Quote],
    settings: LedgerSettings,
    max_cost_usd_micros: int | None = None,
) -> BatchEstimate:
    """Whether the sum of `quotes` would be granted now, and else by which limit not. Holds nothing.

    Raises:
        RequestRefused: `no_plan`.
    """
    whole = Whole.of(quotes)
    usage = await usage_of(connection, user_id, settings)
    refusal: Failure | None = None
    if quotes:
        as_one = quotes[0].model_copy(update={"cost_usd_micros": whole.cost_usd_micros})
        refusal = (await estimate_of(connection, user_id, as_one, settings)).refusal
        if not _fits(usage, whole):
            refusal = over_plan(usage, whole.told).failure
    try:
        check_max_cost_of(whole, max_cost_usd_micros)
    except RequestRefused as error:
        refusal = error.failure
    return BatchEstimate(
        videos=whole.videos,
        cost_usd_micros=whole.cost_usd_micros,
        allowed=refusal is None,
        refusal=refusal,
        usage=usage,
    )


def _fits(usage: Usage, whole: Whole) -> bool:
    videos, usd_micros = usage.videos_remaining, usage.remaining_usd_micros
    return (videos is None or whole.videos <= videos) and (
        usd_micros is None or whole.cost_usd_micros <= usd_micros
    )


def videos_told(count: int) -> str:
    """A count in words."""
    return f"{count} video" if count == 1 else f"{count} videos"


def over_plan(usage: Usage, told: str) -> RequestRefused:
    """The refusal of a whole that does not fit what is left of the plan; `told` is its size."""
    left = usage.remaining_usd_micros
    parts = [
        None if usage.videos_remaining is None else f"{usage.videos_remaining} videos",
        None if left is None else dollars(left),
    ]
    return RequestRefused(
        FailureKind.QUOTA_EXCEEDED,
        f"items: {told}; plan {usage.plan} has {' and '.join(p for p in parts if p)} left"
        f" until {usage.period_end:%Y-%m-%d %H:%M} UTC.",
    )


def check_max_cost_of(whole: Whole, limit_usd_micros: int | None) -> None:
    """Raise RequestRefused (max_cost_exceeded) where the caller's own limit is below the sum."""
    if limit_usd_micros is not None and whole.cost_usd_micros > limit_usd_micros:
        raise RequestRefused(
            FailureKind.MAX_COST_EXCEEDED,
            f"max_cost_usd_micros: the quote is {whole.told}, the limit"
            f" {dollars(limit_usd_micros)}.",
        )
