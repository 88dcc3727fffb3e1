"""`doctor`: is everything there that a generation needs, and what to type where it isn't."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from starter.cli.context import Context, Ctx
from starter.cli.flags import SWITCH
from starter.cli.output import Table
from starter.cli.refusals import DONE, NOT_REACHABLE

if TYPE_CHECKING:
    from starter.cli.checks import Check


async def doctor(
    *,
    settings: Annotated[
        bool, SWITCH, Parameter(help="List every setting, with where its value comes from")
    ] = False,
    ctx: Ctx,
) -> int:
    """Check every part that a generation needs, and say how to repair what is wrong.

    For example: stillmotion doctor --settings
    """
    if settings:
        return _list_settings(ctx)
    found = await _look(ctx)
    ok = all(check.ok for check in found)
    rows = [
        (
            "✓" if check.ok else "✗",
            check.name,
            check.detail if check.ok else f"{check.detail}. Repair: {check.repair}",
        )
        for check in found
    ]
    document = {"ok": ok, "checks": [check._asdict() for check in found]}
    ctx.output.value(
        document,
        Table(("", "part", "found"), rows, wraps=("found",)),
        bare="ok" if ok else "not ok",
    )
    return DONE if ok else NOT_REACHABLE


async def _look(ctx: Context) -> "list[Check]":
    from pydantic import ValidationError

    from starter.cli.checks import Check, run_checks
    from starter.cli.refusals import setting_problem
    from starter.places import NotReachable, find_place

    try:
        place = find_place(ctx.data_dir)
    except NotReachable as error:
        return [Check("settings", ok=False, detail=str(error), repair=ctx.command("dev"))]
    except ValidationError as error:
        repair = ctx.command("doctor", "--settings")
        return [Check("settings", ok=False, detail=setting_problem(error), repair=repair)]
    where = f"the stack of {ctx.data_dir}" if place.stack is not None else "the environment"
    return [Check("settings", ok=True, detail=f"from {where}"), *await run_checks(place)]


def _list_settings(ctx: Context) -> int:
    from starter.cli.settings import all_settings

    found = all_settings(ctx.data_dir)
    rows = [(one.name, one.value, one.source, one.description) for one in found]
    documents: list[dict[str, Any]] = [one._asdict() for one in found]
    table = Table(("setting", "value", "from", "what"), rows, wraps=("value", "what"))
    ctx.output.rows(documents, table, bare=[one.name for one in found])
    return DONE
