"""Many videos at once: `batch`, of a file, or of what failed in an earlier one."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from starter.cli.batch_files import Line, read_lines
from starter.cli.batch_following import Timeout, detached, follow, naming_one
from starter.cli.context import Context, Ctx, connected, user_of
from starter.cli.flags import SWITCH, WORDS, Whole, Yes
from starter.cli.following import check_timeout
from starter.cli.output import Fields
from starter.cli.refusals import CANCELLED, DONE, NOT_FINISHED, Complaint, Usage, with_flag
from starter.cli.spending import agreed, usd_micros
from workflows.contracts.batch_results import PARALLEL_DEFAULT, PARALLEL_MAX
from workflows.contracts.failures import RULES, RequestRefused
from workflows.contracts.requests import Source
from workflows.contracts.texts import dollars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from activities.batches.estimates import BatchEstimate
    from activities.batches.repository import ItemRefused, NewBatch
    from starter.client import VideoClient
    from workflows.contracts.requests import GenerationRequest


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for, and how it is started."""

    redo: Annotated[
        str | None,
        Parameter(help="Instead of a file: what failed or was cancelled in this batch, anew"),
    ] = None
    max_cost: Annotated[
        str | None, Parameter(help="Refuse when all of it costs more, in USD, such as 12.50")
    ] = None
    max_parallel: Annotated[
        Whole | None, Parameter(help=f"How many at a time [default: {PARALLEL_DEFAULT}]")
    ] = None
    user: Annotated[
        str | None, Parameter(help="Whose quota it takes [default under dev: local]")
    ] = None
    source: Annotated[
        Source | None, WORDS, Parameter(name="--source", help="The product that asks")
    ] = None
    key: Annotated[
        str | None, Parameter(name="--id", help="Your own key: a repeat goes on with this batch")
    ] = None
    wait: Annotated[
        bool | None,
        Parameter(negative="--detach", help="Follow it to its end [default: on a terminal]"),
    ] = None
    timeout: Timeout = None
    dry_run: Annotated[
        bool, SWITCH, Parameter(help="Check and quote only; exit code 4 where it would be refused")
    ] = False
    yes: Yes = False

    def waits(self, ctx: Context) -> bool:
        """Whether to follow it: as said, else on a terminal or where `--timeout` needs it.

        Raises:
            Usage: the flags contradict each other.
        """
        check_timeout(self.timeout)
        if self.wait is False and self.timeout is not None:
            raise Usage("--timeout: nothing is waited for with --detach; allowed: with --wait.")
        if self.wait is not None:
            return self.wait
        return ctx.output.is_terminal or self.timeout is not None


_NOTHING = Wish()


async def batch(
    file: Annotated[
        Path | None, Parameter(help="One JSON object a line: operation and its request's fields")
    ] = None,
    *,
    wish: Wish = _NOTHING,
    ctx: Ctx,
) -> int:
    """Make many videos: quota for all of them is reserved at once, or all are refused.

    Paths in the file are relative to it. An item that fails leaves the others.

    For example: stillmotion batch episode.jsonl --max-cost 12.50 --max-parallel 5
    """
    from activities.batches.repository import ItemRefused

    waits = wish.waits(ctx)
    _check(file, wish)
    lines = read_lines(file) if file is not None else []
    async with connected(ctx) as client:
        try:
            if wish.dry_run:
                return await _quote(ctx, client, lines, wish)
            new = await _new_batch(ctx, client, lines, wish)
            if not await _may_start(ctx, client, new, wish):
                return CANCELLED
        except RequestRefused as refused:
            if file is None or not isinstance(refused, ItemRefused):
                raise
            return _tell_line(ctx, refused, lines[refused.position - 1], file)
        return await _started(ctx, client, new, wish, waits=waits)


def _check(file: Path | None, wish: Wish) -> None:
    if (file is None) == (wish.redo is None):
        raise Usage("One of them is needed; allowed: FILE, or --redo BATCH.")
    if wish.redo is not None and wish.source is not None:
        raise Usage("--source: a redo keeps its batch's; allowed: with FILE.")
    if wish.max_parallel is not None and not 0 < wish.max_parallel <= PARALLEL_MAX:
        raise Usage(f"--max-parallel: {wish.max_parallel}; allowed: 1 to {PARALLEL_MAX}.")
    usd_micros(wish.max_cost)


async def _new_batch(
    ctx: Context, client: "VideoClient", lines: list[Line], wish: Wish
) -> "NewBatch":
    """The batch with its items checked and their files uploaded."""
    if wish.redo is not None:
        return await _redo(ctx, client, wish.redo, wish)
    user_id, source = user_of(client.place, wish.user), wish.source or Source.API
    items = [line.item for line in lines]
    requests = await client.batches.asking.requests(items, user_id=user_id, source=source)
    return _batch_of(user_id, source, requests, wish)


async def _redo(ctx: Context, client: "VideoClient", redo: str, wish: Wish) -> "NewBatch":
    from starter.batches import redo_key

    with naming_one(ctx):
        before, requests = await client.batches.to_redo(redo, user_id=wish.user)
    new = _batch_of(before.user_id, before.source, requests, wish)
    return new._replace(
        idempotency_key=wish.key or redo_key(before.batch_id),
        max_parallel=wish.max_parallel or before.max_parallel,
        redo_of=before.batch_id,
    )


def _batch_of(
    user_id: str, source: Source, requests: "Sequence[GenerationRequest]", wish: Wish
) -> "NewBatch":
    from activities.batches.repository import NewBatch
    from starter.batches import new_key

    return NewBatch(
        user_id,
        wish.key if wish.key is not None else new_key(),
        source,
        requests,
        wish.max_parallel or PARALLEL_DEFAULT,
        usd_micros(wish.max_cost),
    )


async def _quote(ctx: Context, client: "VideoClient", lines: list[Line], wish: Wish) -> int:
    """Print what it would cost; nothing is stored. Exits as the start would."""
    if wish.redo is not None:
        requests = (await _redo(ctx, client, wish.redo, wish)).requests
        quotes = await client.batches.asking.quotes(requests)
    else:
        user_id = user_of(client.place, wish.user)
        requests, quotes = await client.batches.asking.measured(
            [line.item for line in lines], user_id=user_id, source=wish.source or Source.API
        )
    estimate = await client.batches.estimate(requests, quotes, usd_micros(wish.max_cost))
    ctx.output.value(estimate, _fields(estimate), bare=dollars(estimate.cost_usd_micros))
    return DONE if estimate.refusal is None else RULES[estimate.refusal.kind].exit_code


async def _may_start(ctx: Context, client: "VideoClient", new: "NewBatch", wish: Wish) -> bool:
    """Whether it fits the limits and a person agrees; a repeat costs nothing, so nobody is asked.

    Raises:
        RequestRefused: a limit stops it.
    """
    if await client.batches.is_known(new.user_id, new.idempotency_key):
        return True
    quotes = await client.batches.asking.quotes(new.requests)
    estimate = await client.batches.estimate(new.requests, quotes, new.max_cost_usd_micros)
    if estimate.refusal is not None:
        raise RequestRefused(estimate.refusal.kind, estimate.refusal.message)
    return agreed(ctx, estimate.cost_usd_micros, yes=wish.yes)


async def _started(
    ctx: Context, client: "VideoClient", new: "NewBatch", wish: Wish, *, waits: bool
) -> int:
    """Start it, and follow it as far as asked. Ctrl-C lets the start happen, then detaches."""
    starting = asyncio.ensure_future(client.batches.start(new))
    try:
        handle = await asyncio.shield(starting)
    except asyncio.CancelledError:
        await detached(ctx, await starting)
        return NOT_FINISHED
    if not waits:
        return await detached(ctx, handle)
    ctx.output.note(f"{handle.id}: {len(new.requests)} items.")
    return await follow(ctx, handle, wish.timeout)


def _fields(estimate: "BatchEstimate") -> Fields:
    usage, refusal = estimate.usage, estimate.refusal
    videos = "unlimited" if usage.videos_remaining is None else str(usage.videos_remaining)
    left = usage.remaining_usd_micros
    money = "unlimited" if left is None else dollars(left)
    return Fields(
        [
            ("videos", str(estimate.videos)),
            ("cost", dollars(estimate.cost_usd_micros)),
            ("allowed", "yes" if estimate.allowed else "no"),
            ("remaining", f"{videos} videos, {money} on plan {usage.plan} of {usage.user_id}"),
            ("stopped by", with_flag(f"{refusal.message} {refusal.hint}") if refusal else None),
        ]
    )


def _tell_line(ctx: Context, refused: "ItemRefused", line: Line, file: Path) -> int:
    """Say which line can't be done, by the names of the fields that stand in it."""
    reason = refused.reason
    code = RULES[reason.kind].exit_code
    told = f"line {line.number} of {file.name}: {reason.message}"
    ctx.output.complain(Complaint(reason.kind.value, told, reason.hint, reason.money, code))
    return code
