"""The usage page: what is left of the user's month, and what the last thirty days were spent on."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from activities.ledger.daily import DAYS
from activities.ledger.usage import UsageReport
from starter.api.callers import CallerOf
from starter.api.documents import told
from starter.api.pages.details import in_page_words
from starter.api.pages.plots import plot_of, shares_of, taken_of
from starter.api.pages.rendering import PageRoute, page
from starter.api.pages.words import words
from starter.api.parts import PartsOf
from workflows.contracts.texts import dollars

UNLIMITED = "unlimited"

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/usage")
async def usage(request: Request, caller: CallerOf, parts: PartsOf) -> Response:
    """Limits are the user's, whoever asks; what was spent is told of the key's products.

    Raises:
        RequestRefused: the user is on no plan.
    """
    client = parts.client
    report = await client.usage(caller.user_id)
    titles = {plan["plan"]: plan["title"] for plan in await client.plans()}
    daily = await client.usage_by_day(caller.user_id, days=DAYS)
    spent = [row for row in daily if row.source in caller.sources and row.videos_settled]
    stopped_by = told(report.stopped_by)
    values = {
        "here": "usage",
        "usage": report,
        "plan_title": titles.get(report.plan, report.plan),
        "stopped_by": None if stopped_by is None else in_page_words(stopped_by),
        "videos": videos_of(report),
        "money": money_of(report),
        "spent": spent,
        "plot": plot_of(spent, datetime.now(UTC).date(), DAYS),
        "by_model": shares_of(spent, lambda row: row.model),
        "by_source": shares_of(spent, lambda row: words(row.source)),
    }
    return page(request, "usage.html", values)


def videos_of(report: UsageReport) -> dict[str, object]:
    """The bar of videos, and its words."""
    limit, settled, reserved = report.videos_limit, report.videos_settled, report.videos_reserved
    left = report.videos_remaining
    return {
        "limit": taken_of(limit, settled, reserved),
        "taken": settled + reserved,
        "of": "made" if limit is None else f"of {limit}",
        "told": (
            ("Made", "settled", settled),
            ("On their way", "reserved", reserved),
            ("Left", "left", UNLIMITED if left is None else left),
        ),
    }


def money_of(report: UsageReport) -> dict[str, object]:
    """The bar of money, and its words."""
    settled, reserved = report.settled_usd_micros, report.reserved_usd_micros
    limit, left = report.cost_limit_usd_micros, report.remaining_usd_micros
    return {
        "limit": taken_of(limit, settled, reserved),
        "taken": dollars(settled + reserved),
        "of": "spent" if limit is None else f"of {dollars(limit)}",
        "told": (
            ("Settled", "settled", dollars(settled)),
            ("Reserved", "reserved", dollars(reserved)),
            ("Left", "left", UNLIMITED if left is None else dollars(left)),
        ),
    }
