"""Following and steering batches: `batches list|show|watch|resume|cancel`, and their last word."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from starter.cli.context import Context, Ctx, connected
from starter.cli.describing import local, one_line
from starter.cli.flags import SWITCH, Limit, User
from starter.cli.following import check_timeout
from starter.cli.output import Fields, Table
from starter.cli.refusals import (
    CANCELLED,
    DONE,
    FAILED,
    NOT_FINISHED,
    USAGE,
    NotDone,
    Usage,
    refused,
)
from starter.cli.tallies import counting
from workflows.contracts.batch_results import (
    Batch,
    BatchItem,
    BatchState,
    ItemStatus,
)
from workflows.contracts.texts import dollars

if TYPE_CHECKING:
    from starter.batch_handles import BatchHandle

BatchId = Annotated[str, Parameter(help="Its id, or a beginning of it that names one")]
Timeout = Annotated[
    float | None, Parameter(help="Stop waiting after so many seconds; the batch goes on")
]


async def list_batches(*, user: User = None, limit: Limit = 100, ctx: Ctx) -> int:
    """List batches, newest first, with the counts of their items.

    For example: stillmotion batches list --user ann
    """
    if limit < 1:
        raise Usage(f"--limit: {limit}; allowed: 1 or more.")
    async with connected(ctx) as client:
        found = await client.batches.reader.find(user, limit)
    table = Table(
        ("id", "status", "items", "cost", "user", "started"),
        [_row(batch) for batch in found],
        droppable=("started", "user", "cost"),
        wraps=("items",),
    )
    bare = [batch.batch_id for batch in found]
    ctx.output.rows(found, table if found else "No batches.", bare=bare)
    return DONE


async def show(batch: BatchId, *, user: User = None, ctx: Ctx) -> int:
    """Show a batch: its counts, its money, and every item.

    For example: stillmotion batches show bat_4xk2
    """
    async with connected(ctx) as client:
        with naming_one(ctx):
            handle = await client.batches.get(batch, user_id=user)
        seen, items = await handle.progress(), await handle.items()
    tell(ctx, seen, items)
    return DONE


async def watch(
    batch: BatchId,
    *,
    timeout: Timeout = None,  # noqa: ASYNC109 - the flag's name
    user: User = None,
    ctx: Ctx,
) -> int:
    """Follow a batch to its end; the exit code says how it ended.

    For example: stillmotion batches watch bat_4xk2 --timeout 3600
    """
    check_timeout(timeout)
    async with connected(ctx) as client:
        with naming_one(ctx):
            handle = await client.batches.get(batch, user_id=user)
        return await follow(ctx, handle, timeout)


async def resume(batch: BatchId, *, user: User = None, ctx: Ctx) -> int:
    """Go on with a batch whose workflow was terminated; it holds and starts nothing twice.

    For example: stillmotion batches resume bat_4xk2
    """
    async with connected(ctx) as client:
        with naming_one(ctx):
            handle = await client.batches.get(batch, user_id=user)
        asked = await handle.resume()
        status = (await handle.progress()).status.value
    told = f"{handle.id} goes on." if asked else f"{handle.id} has ended: {status}."
    document = {"batch_id": handle.id, "status": status, "resumed": asked}
    ctx.output.value(document, told, bare=handle.id)
    return DONE


async def cancel(
    batch: BatchId,
    *,
    wait: Annotated[bool, SWITCH, Parameter(help="Wait until it has ended, and say how")] = False,
    user: User = None,
    ctx: Ctx,
) -> int:
    """Cancel what runs and what waits; videos that are finished by then are kept.

    For example: stillmotion batches cancel bat_4xk2 --wait
    """
    async with connected(ctx) as client:
        with naming_one(ctx):
            handle = await client.batches.get(batch, user_id=user)
        asked = await handle.cancel()
        seen = await (_followed(ctx, handle, None) if wait else handle.progress())
    told = f"{handle.id}: {seen.message}." if seen.has_ended else f"{handle.id} will end."
    document = {"batch_id": handle.id, "status": seen.status.value, "cancel_requested": asked}
    ctx.output.value(document, told, bare=handle.id)
    if not seen.has_ended:
        ctx.output.note(f"How it ends: {ctx.command('batches', 'watch', handle.id)}")
    return DONE


# What `batch` shares with these


@contextmanager
def naming_one(ctx: Context) -> Generator[None]:
    """Say in a sentence that an id names no batch, or several."""
    from activities.batches.reading import UnknownBatch

    try:
        yield
    except UnknownBatch as error:
        raise NotDone(f"ID: {error}.", f"See: {ctx.command('batches', 'list')}", USAGE) from None


async def follow(ctx: Context, handle: "BatchHandle", timeout_s: float | None) -> int:
    """Show the counts until it ends, only parked items are left, or `timeout_s` has passed."""
    try:
        seen = await _followed(ctx, handle, timeout_s)
    except asyncio.CancelledError:
        # Ctrl-C. The batch goes on.
        await detached(ctx, handle)
        return NOT_FINISHED
    return conclude(ctx, seen, await handle.items())


async def _followed(ctx: Context, handle: "BatchHandle", timeout_s: float | None) -> Batch:
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            with counting(ctx.output) as show_counts:
                async for seen in handle.updates():
                    show_counts(seen)
                    if seen.only_parked:
                        break
    except TimeoutError:
        if not limit.expired():
            raise
    return await handle.progress()


async def detached(ctx: Context, handle: "BatchHandle") -> int:
    """Say which batch was started, and how to follow it."""
    status = (await handle.progress()).status.value
    document = {"batch_id": handle.id, "status": status}
    ctx.output.value(document, f"{handle.id}  {status}", bare=handle.id)
    ctx.output.note(
        f"Watch: {ctx.command('batches', 'watch', handle.id)}"
        f"  Cancel: {ctx.command('batches', 'cancel', handle.id)}"
    )
    return DONE


def conclude(ctx: Context, batch: Batch, items: list[BatchItem]) -> int:
    """Print how it stands, and return the exit code of that."""
    tell(ctx, batch, items)
    match batch.status:
        case BatchState.FAILED:
            return _refused(ctx, batch)
        case BatchState.COMPLETED | BatchState.CANCELLED:
            if batch.completed < batch.size:
                ctx.output.note(f"The rest anew: {ctx.command('batch', '--redo', batch.batch_id)}")
            if batch.status is BatchState.CANCELLED:
                return CANCELLED
            return DONE if batch.completed == batch.size else FAILED
        case _:
            ctx.output.note(f"{batch.batch_id} goes on: {batch.message}.")
            ctx.output.note(f"Watch: {ctx.command('batches', 'watch', batch.batch_id)}")
            return NOT_FINISHED


def tell(ctx: Context, batch: Batch, items: list[BatchItem]) -> None:
    """Print a batch with its items."""
    cost, quoted = dollars(batch.cost_usd_micros), dollars(batch.quoted_usd_micros)
    fields = Fields(
        [
            ("batch", batch.batch_id),
            ("status", batch.status.value),
            ("items", batch.message),
            ("user", f"{batch.user_id} ({batch.source.value})"),
            ("cost", f"{cost} of the {quoted} that was quoted"),
            ("redo of", batch.redo_of),
            ("started", local(batch.created_at)),
            ("ended", local(batch.completed_at) if batch.completed_at else None),
            ("error", batch.error.message if batch.error else None),
        ]
    )
    table = Table(
        ("item", "id", "operation", "status", "video", "cost", "what"),
        [_item_row(item) for item in items],
        droppable=("operation", "video", "cost"),
    )
    document = batch.model_dump(mode="json") | {
        "items": [item.model_dump(mode="json") for item in items]
    }
    ctx.output.value(document, table, "", fields, bare=batch.batch_id)


def _refused(ctx: Context, batch: Batch) -> int:
    assert batch.error is not None, "a batch that failed says why"
    told = refused(batch.error)
    # The JSON modes have it in the batch itself.
    if ctx.output.mode in {"human", "quiet"}:
        ctx.output.complain(told)
    return told.exit_code


def _row(batch: Batch) -> tuple[str, ...]:
    return (
        batch.batch_id,
        batch.status.value,
        batch.message,
        dollars(batch.cost_usd_micros),
        batch.user_id,
        local(batch.created_at),
    )


def _item_row(item: BatchItem) -> tuple[str, ...]:
    cost, error = item.cost_usd_micros, item.error
    tells_why = error is not None and item.status is not ItemStatus.COMPLETED
    return (
        str(item.position),
        item.generation_id,
        item.operation.value,
        item.status.value.replace("_", " "),
        f"{item.duration_s:.1f} s" if item.duration_s is not None else "",
        dollars(cost) if cost is not None else "",
        one_line(error.message if error is not None and tells_why else item.title),
    )
