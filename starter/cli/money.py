"""Quota and prices: `usage`, `plans`, `models`."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from starter.cli.context import Ctx, connected, operators_database, user_of
from starter.cli.describing import local
from starter.cli.output import Block, Fields, Table
from starter.cli.refusals import DONE, with_flag
from workflows.contracts.texts import dollars

if TYPE_CHECKING:
    from activities.ledger.usage import Share, UsageReport
    from workflows.contracts import catalogue


async def usage(
    user: Annotated[str | None, Parameter(help="A user id [default under dev: local]")] = None,
    *,
    ctx: Ctx,
) -> int:
    """Show what a user has used of this month's quota, by model and source, and what stops it.

    For example: stillmotion usage ann
    """
    async with connected(ctx) as client:
        seen = await client.usage(user_of(client.place, user))
    blocks: list[Block] = [Fields(_usage_rows(seen))]
    if seen.shares:
        headings = ("model", "source", "videos", "held", "cost", "cost held")
        rows = [_share_row(share) for share in seen.shares]
        blocks += ["", Table(headings, rows, droppable=("source",))]
    ctx.output.value(seen, *blocks, bare=_or_unlimited(seen.videos_remaining))
    return DONE


async def plans(*, ctx: Ctx) -> int:
    """List what each plan allows in a month.

    For example: stillmotion plans --output json
    """
    async with connected(ctx) as client:
        found = await client.plans()
    rows = [
        (
            plan["plan"],
            plan["title"],
            _or_unlimited(plan["videos_limit"]),
            _money_or_unlimited(plan["cost_limit_usd_micros"]),
        )
        for plan in found
    ]
    table = Table(("plan", "title", "videos", "cost"), rows)
    ctx.output.rows(found, table, bare=[plan["plan"] for plan in found])
    return DONE


async def assign_plan(
    user: Annotated[str, Parameter(help="A user id")],
    plan: Annotated[str, Parameter(help="One of `stillmotion plans`")],
    *,
    ctx: Ctx,
) -> int:
    """Put a user on a plan, at once; needs the database's owner.

    For example: stillmotion plans assign ann pro
    """
    from activities.ledger import usage as ledger

    async with operators_database(ctx) as pool, pool.acquire() as connection:
        await ledger.assign_plan(connection, user, plan)
    ctx.output.value({"user_id": user, "plan": plan}, f"{user} is on plan {plan}.", bare=plan)
    return DONE


def models(*, ctx: Ctx) -> int:
    """List the models: what each takes, its limits and its prices.

    For example: stillmotion models --output json
    """
    from activities.ledger.catalogues import load_catalogue
    from activities.ledger.settings import LedgerSettings

    found = load_catalogue(LedgerSettings().catalogue)
    table = Table(
        ("model", "operation", "price", "parameters (* = default)"),
        [_model_row(entry) for entry in found.models],
        droppable=("operation",),
        wraps=("price", "parameters (* = default)"),
    )
    documents = [entry.model_dump(mode="json") for entry in found.models]
    ctx.output.rows(documents, table, bare=[entry.model for entry in found.models])
    return DONE


def _usage_rows(seen: "UsageReport") -> list[tuple[str, str | None]]:
    stop = seen.stopped_by
    limit = _money_or_unlimited(seen.cost_limit_usd_micros)
    return [
        ("user", seen.user_id),
        ("plan", seen.plan),
        ("period", f"{local(seen.period_start)} to {local(seen.period_end)}"),
        ("videos", f"{seen.videos_settled} of {_or_unlimited(seen.videos_limit)}"),
        ("videos held", str(seen.videos_reserved)),
        ("videos left", _or_unlimited(seen.videos_remaining)),
        ("cost", f"{dollars(seen.settled_usd_micros)} of {limit}"),
        ("cost held", dollars(seen.reserved_usd_micros)),
        ("cost left", _money_or_unlimited(seen.remaining_usd_micros)),
        ("stopped by", with_flag(f"{stop.message} {stop.hint}") if stop else None),
    ]


def _share_row(share: "Share") -> tuple[str, ...]:
    return (
        share.model,
        share.source,
        str(share.videos_settled),
        str(share.videos_reserved),
        dollars(share.settled_usd_micros),
        dollars(share.reserved_usd_micros),
    )


def _or_unlimited(count: int | None) -> str:
    return "unlimited" if count is None else str(count)


def _money_or_unlimited(usd_micros: int | None) -> str:
    return "unlimited" if usd_micros is None else dollars(usd_micros)


def _model_row(entry: "catalogue.ModelEntry") -> tuple[str, ...]:
    price = ", ".join(
        f"{size} {dollars(usd_micros)}" for size, usd_micros in entry.price.usd_micros.items()
    )
    parameters = "; ".join(_parameter(name, one) for name, one in entry.parameters.items())
    name = f"{entry.model}{'*' if entry.default else ''}"
    return (name, entry.operation.value, f"{price} a {entry.price.unit}", parameters)


def _parameter(name: str, parameter: "catalogue.Parameter") -> str:
    default: Any = parameter.default
    match parameter.kind:
        case "choice":
            allowed = "|".join(f"{one}{'*' if one == default else ''}" for one in parameter.allowed)
            return f"{name} {allowed}"
        case "text":
            return f"{name} up to {parameter.characters_max} characters"
        case "flag":
            return f"{name} {'on' if default else 'off'}*"
        case "integer" | "number":
            return f"{name} {parameter.minimum}..{parameter.maximum} ({default}*)"
