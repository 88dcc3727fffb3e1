"""A user's own wish, carried out by an operator: `users erase`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from starter.cli.context import Context, Ctx, operators_database
from starter.cli.flags import Yes
from starter.cli.output import Fields
from starter.cli.refusals import DONE, NotDone, Usage

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from activities.erasing.erasure import Account, Erased
    from activities.erasing.rows import StillRunning
    from starter.places import Place

_SHOWN_MAX = 5
_IRREVOCABLE = (
    "Videos, inputs, prompts, requests, histories and the plan of {user} are erased for ever;"
    " amounts stay in the books."
)


async def erase(
    user: Annotated[str, Parameter(help="A user id")], *, yes: Yes = False, ctx: Ctx
) -> int:
    """Erase a user: files, histories, prompts; amounts stay. Needs the database's owner.

    For example: stillmotion users erase ann --yes
    """
    from contextlib import AsyncExitStack

    from activities.erasing.erasure import Erasure, NotSettling
    from activities.erasing.histories import Histories, HistoriesLeft
    from activities.erasing.rows import StillRunning
    from starter.places import connect_temporal, find_place, store_of

    if not _agreed(ctx, user, yes=yes):
        return DONE
    place = find_place(ctx.data_dir)
    ctx.output.note("Erasing: Temporal takes up to a minute for what has ended just now.")
    async with AsyncExitStack() as opened:
        pool = await opened.enter_async_context(operators_database(ctx))
        histories = Histories(await connect_temporal(place))
        account = await _account(place, opened)
        erasure = Erasure(pool, store_of(place), histories, account)
        try:
            erased = await erasure.erase(user)
        except StillRunning as error:
            raise _running(ctx, user, error) from error
        except (HistoriesLeft, NotSettling) as error:
            again = ctx.command("users", "erase", user, "--yes")
            raise NotDone(f"Not erased yet: {error}.", f"Again: {again}") from error
    _tell(ctx, user, erased)
    return DONE


def _agreed(ctx: Context, user: str, *, yes: bool) -> bool:
    if yes:
        return True
    told = _IRREVOCABLE.format(user=user)
    if not ctx.output.can_ask:
        raise Usage("--yes: missing; nobody is there to be asked. Nothing was erased.", told)
    if ctx.output.ask(f"{told} Go on?"):
        return True
    ctx.output.note("Nothing was erased.")
    return False


async def _account(place: "Place", opened: "AsyncExitStack") -> "Account | None":
    """The provider's account of the stack or the environment; None without a key."""
    from activities.erasing.erasure import Account
    from activities.provider.wavespeed import WaveSpeed
    from starter.api.settings import provider_settings

    settings = provider_settings(place)
    if settings.api_key is None:
        return None
    client = await opened.enter_async_context(WaveSpeed(settings))
    return Account(base_url=settings.base_url, client=client)


def _running(ctx: Context, user: str, error: "StillRunning") -> NotDone:
    """What goes on, and how to end it."""
    from activities.erasing.rows import ErasedInPart

    told = [f"{len(error.generations)} generations", f"{len(error.batches)} batches"]
    commands = [ctx.command("batches", "cancel", each) for each in error.batches[:_SHOWN_MAX]]
    commands += [ctx.command("cancel", each) for each in error.generations[:_SHOWN_MAX]]
    done = "Nothing was erased or charged."
    if isinstance(error, ErasedInPart):
        done = (
            "Erased in part: what had ended was being erased when they began. Nothing was charged."
        )
    again = ctx.command("users", "erase", user, "--yes")
    return NotDone(
        f"{' and '.join(told)} of {user} have not ended. {done}",
        f"Cancel them, or wait: {'; '.join(commands)}; then again: {again}",
    )


def _tell(ctx: Context, user: str, erased: "Erased") -> None:
    rows: list[tuple[str, str | None]] = [
        (what, str(count)) for what, count in erased.counts.items()
    ]
    rows.append(("stands for them", erased.pseudonym))
    known = "is erased" if erased.pseudonym is not None else "is not known (any more)"
    ctx.output.value(
        {"user_id": user, **erased.model_dump(mode="json")},
        f"{user} {known}.",
        Fields(rows),
        bare=erased.pseudonym or "",
    )
    for each in erased.remains:
        ctx.output.note(each)
