"""Following and steering: `watch`, `resume`, `cancel`, `resolve`, and what `--wait` shares."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from starter.cli.context import Context, Ctx, connected
from starter.cli.describing import complaint_of, generation_blocks
from starter.cli.flags import SWITCH, GenerationId, Timeout, User
from starter.cli.output import Fields
from starter.cli.refusals import (
    CANCELLED,
    DONE,
    FAILED,
    NOT_FINISHED,
    NOT_REACHABLE,
    Detached,
    NotDone,
    Usage,
)
from workflows.contracts.stages import PARKED, Status

if TYPE_CHECKING:
    from pathlib import Path

    from starter.handles import GenerationHandle
    from workflows.contracts.results import Generation


async def watch(
    generation: GenerationId,
    *,
    timeout: Timeout = None,  # noqa: ASYNC109 - the flag's name
    user: User = None,
    ctx: Ctx,
) -> int:
    """Follow a generation to its end; the exit code says how it ended.

    For example: stillmotion watch gen_4xk2 --timeout 600
    """
    check_timeout(timeout)
    async with connected(ctx) as client:
        handle = await client.get(generation, user_id=user)
        return conclude(ctx, await follow(ctx, handle, timeout))


async def resume(
    generation: GenerationId,
    *,
    wait: Annotated[bool, SWITCH, Parameter(help="Follow it to its end")] = False,
    user: User = None,
    ctx: Ctx,
) -> int:
    """Have a parked generation look again at once; what has failed is to be started again.

    For example: stillmotion resume gen_4xk2 --wait
    """
    async with connected(ctx) as client:
        handle = await client.get(generation, user_id=user)
        asked = await handle.resume()
        if asked and wait:
            return conclude(ctx, await follow(ctx, handle, None))
        seen = await handle.read_generation()
    status = seen.status
    failed = not asked and status in {Status.FAILED, Status.CANCELLED}
    error = complaint_of(seen) if failed else None
    document = {
        "generation_id": handle.id,
        "status": status.value,
        "resumed": asked,
        "error": error.document() if error is not None else None,
    }
    told = f"{handle.id} looks again." if asked else f"{handle.id} has ended: {status.value}."
    if failed:
        told = f"{told} It can't be resumed, only started again."
    ctx.output.value(document, told, bare=handle.id)
    if asked:
        ctx.output.note(f"How it goes on: {ctx.command('watch', handle.id)}")
    return _ended(ctx, seen) if failed else DONE


async def cancel(
    generation: GenerationId,
    *,
    wait: Annotated[bool, SWITCH, Parameter(help="Wait until it has ended, and say how")] = False,
    user: User = None,
    ctx: Ctx,
) -> int:
    """Cancel a generation; a video that is finished by then is kept.

    For example: stillmotion cancel gen_4xk2 --wait
    """
    async with connected(ctx) as client:
        handle = await client.get(generation, user_id=user)
        asked = await handle.cancel()
        seen = await (follow(ctx, handle, None) if wait else handle.read_generation())
    ended = seen.completed_at is not None
    told = f"{handle.id} has ended: {seen.status.value}." if ended else f"{handle.id} will end."
    document = {
        "generation_id": handle.id,
        "status": seen.status.value,
        "cancel_requested": asked,
    }
    ctx.output.value(document, told, bare=handle.id)
    if not ended:
        ctx.output.note(f"How it ends: {ctx.command('watch', handle.id)}")
    return DONE


async def resolve(
    generation: GenerationId,
    *,
    adopt: Annotated[
        str | None, Parameter(help="The provider's id of the prediction that it made")
    ] = None,
    resubmit: Annotated[
        bool, SWITCH, Parameter(help="Send it again, since it was not taken; pays twice if it was")
    ] = False,
    give_up: Annotated[bool, SWITCH, Parameter(help="End it; the hold is released")] = False,
    user: User = None,
    ctx: Ctx,
) -> int:
    """Decide what an unresolved submission is: adopt a prediction, submit again, or give up.

    For example: stillmotion resolve gen_4xk2 --adopt 0d5f9c2ab8e14c7f
    """
    decision = _decision(adopt, resubmit=resubmit, give_up=give_up)
    async with connected(ctx) as client:
        handle = await client.get(generation, user_id=user)
        told = await _resolved(ctx, handle, decision, adopt)
    document = {"generation_id": handle.id, "decision": decision, "told": told}
    ctx.output.value(document, told, bare=handle.id)
    ctx.output.note(f"How it goes on: {ctx.command('watch', handle.id)}")
    return DONE


def _decision(
    adopt: str | None, *, resubmit: bool, give_up: bool
) -> Literal["adopt", "resubmit", "give_up"]:
    if (adopt is not None) + resubmit + give_up != 1:
        raise Usage("One decision is needed; allowed: --adopt PREDICTION, --resubmit, --give-up.")
    if adopt is not None:
        return "adopt"
    return "resubmit" if resubmit else "give_up"


async def _resolved(
    ctx: Context,
    handle: "GenerationHandle",
    decision: Literal["adopt", "resubmit", "give_up"],
    prediction_id: str | None,
) -> str:
    from pydantic import ValidationError

    from starter.handles import NothingToResolve, NoWorker

    try:
        return await handle.resolve(decision, prediction_id)
    except ValidationError as error:
        raise Usage(f"--adopt: {prediction_id!r}; allowed: an id of the provider's.") from error
    except NothingToResolve as error:
        raise Usage(str(error), f"See: {ctx.command('show', handle.id)}") from error
    except NoWorker as error:
        hint = f"Nothing was decided. Start one: {ctx.command('worker')}"
        raise NotDone(str(error), hint, NOT_REACHABLE) from error


# What the verbs that start something share with `watch`


def check_timeout(timeout_s: float | None) -> None:
    """Raise Usage where `--timeout` is no span of time."""
    if timeout_s is not None and not 0 <= timeout_s < float("inf"):
        raise Usage(f"--timeout: {timeout_s:g}; allowed: 0 seconds or more.")


async def follow(ctx: Context, handle: "GenerationHandle", timeout_s: float | None) -> "Generation":
    """Show the progress until it ends, parks, or `timeout_s` has passed; returns how it stands.

    Raises:
        Detached: Ctrl-C. The generation goes on.
    """
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            with ctx.output.following() as view:
                async for seen in handle.updates():
                    view.show(handle.id, seen)
                    if seen.stage in PARKED and not await handle.leaves_its_park():
                        break
    except TimeoutError:
        if not limit.expired():
            raise
    except asyncio.CancelledError:
        raise left(ctx, handle.id) from None
    return await handle.read_generation()


def left(ctx: Context, generation_id: str) -> Detached:
    """What Ctrl-C means once a generation was started."""
    return Detached(
        generation_id,
        f"{generation_id} goes on. Watch: {ctx.command('watch', generation_id)}"
        f"  Cancel: {ctx.command('cancel', generation_id)}",
    )


async def detached(ctx: Context, handle: "GenerationHandle") -> int:
    """Say which generation was started, and how to follow it."""
    status = (await handle.read_generation()).status.value
    document = {"generation_id": handle.id, "status": status}
    ctx.output.value(document, f"{handle.id}  {status}", bare=handle.id)
    ctx.output.note(f"Watch: {ctx.command('watch', handle.id)}")
    return DONE


def conclude(ctx: Context, generation: "Generation", *, saved: "Path | None" = None) -> int:
    """Print how it stands, and return the exit code of that."""
    blocks = generation_blocks(generation)
    if saved is not None:
        blocks.append(Fields([("saved", str(saved))]))
    ctx.output.value(generation, *blocks, bare=generation.generation_id)
    match generation.status:
        case Status.COMPLETED:
            return DONE
        case Status.FAILED | Status.CANCELLED:
            return _ended(ctx, generation)
        case _:
            return _unfinished(ctx, generation)


def _ended(ctx: Context, generation: "Generation") -> int:
    told = complaint_of(generation)
    # The JSON modes have it in the generation itself.
    if ctx.output.mode in {"human", "quiet"} and told is not None:
        ctx.output.complain(told)
    if generation.status is Status.CANCELLED:
        return CANCELLED
    return told.exit_code if told is not None else FAILED


def _unfinished(ctx: Context, generation: "Generation") -> int:
    told = complaint_of(generation)
    lines = told.lines() if told is not None else [f"{generation.generation_id} goes on."]
    for line in lines:
        ctx.output.note(line)
    ctx.output.note(f"Watch: {ctx.command('watch', generation.generation_id)}")
    return NOT_FINISHED
