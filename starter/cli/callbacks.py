"""Receivers of callbacks: `callbacks list`, `retry` and `secret`."""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from starter.cli.context import Ctx, connected, operators_database
from starter.cli.describing import local
from starter.cli.flags import SWITCH, WORDS, GenerationId, Limit, User
from starter.cli.output import Fields, Table
from starter.cli.refusals import DONE, USAGE, NotDone
from workflows.contracts.requests import Source

if TYPE_CHECKING:
    from activities.callbacks.repository import Callback


async def list_callbacks(
    *,
    user: User = None,
    state: Annotated[
        Literal["delivering", "delivered", "given_up"] | None,
        Parameter(help="How it stands with the receiver"),
    ] = None,
    limit: Limit = 100,
    ctx: Ctx,
) -> int:
    """List the receivers of callbacks: how far each was told, and what it did last.

    For example: stillmotion callbacks list --state given_up
    """
    async with connected(ctx) as client:
        found = await client.callbacks.find(user_id=user, state=state, limit=limit)
    table = Table(
        ("generation", "state", "told", "failures", "receiver", "changed", "what it did"),
        [_row(callback) for callback in found],
        droppable=("changed", "failures"),
    )
    bare = [callback.generation_id for callback in found]
    ctx.output.rows(found, table if found else "No callbacks.", bare=bare)
    if given_up := [callback for callback in found if callback.state == "given_up"]:
        again = ctx.command("callbacks", "retry", given_up[0].generation_id)
        ctx.output.note(f"Tell one that was given up after all: {again}")
    return DONE


async def retry_callback(generation: GenerationId, *, user: User = None, ctx: Ctx) -> int:
    """Tell a receiver at once what it wasn't told, also after it was given up.

    For example: stillmotion callbacks retry gen_4xk2
    """
    from activities.callbacks.repository import NoCallback

    async with connected(ctx) as client:
        handle = await client.get(generation, user_id=user)
        try:
            asked = await client.callbacks.retry(handle.id, user_id=user)
        except NoCallback as error:
            raise NotDone(f"{error}.", "Ask for the next one with --callback-url.", USAGE) from None
    told = "is told at once" if asked else "knows everything already"
    document = {"generation_id": handle.id, "retried": asked}
    ctx.output.value(document, f"The receiver of {handle.id} {told}.", bare=handle.id)
    return DONE


async def make_secret(
    source: Annotated[Source, WORDS, Parameter(help="The product whose callbacks it signs")],
    *,
    rotate: Annotated[
        bool, SWITCH, Parameter(help="Replace it; the one before signs beside it for 24 hours")
    ] = False,
    ctx: Ctx,
) -> int:
    """Make the secret that signs a product's callbacks, and print it once; an operator's verb.

    For example: stillmotion callbacks secret podcast_maker --rotate
    """
    from activities.callbacks.settings import SecretKeyUnusable
    from activities.callbacks.signing import SecretExists, Signers
    from starter.places import find_place

    async with operators_database(ctx) as pool:
        signers = Signers(pool, find_place(ctx.data_dir).callbacks)
        try:
            made = await signers.make(source, rotate=rotate)
        except SecretKeyUnusable as error:
            see = f"See: {ctx.command('doctor', '--settings')}"
            raise NotDone(str(error), see, USAGE) from None
        except SecretExists as error:
            again = ctx.command("callbacks", "secret", source.value, "--rotate")
            raise NotDone(str(error), f"Replace it: {again}", USAGE) from None
    until = made.previous_until
    document = {
        "source": source.value,
        "secret": made.text,
        "previous_until": until.isoformat() if until else None,
    }
    rows = [
        ("source", source.value),
        ("secret", made.text),
        ("the one before", f"signs too until {local(until)}" if until else None),
    ]
    ctx.output.value(document, Fields(rows), bare=made.text)
    ctx.output.note("It is shown this once. The receiver verifies with it (Standard Webhooks).")
    return DONE


def _row(callback: "Callback") -> tuple[str, ...]:
    return (
        callback.generation_id,
        callback.state,
        f"{callback.told} of {callback.events}",
        str(callback.failures),
        callback.host,
        local(callback.changed_at),
        callback.evidence,
    )
