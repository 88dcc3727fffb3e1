"""Starting a generation, and what it would cost: `image-to-video` and `estimate`."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from starter.cli import saving
from starter.cli.context import Context, Ctx, connected, user_of
from starter.cli.flags import SWITCH, WORDS, Timeout, Whole, Yes
from starter.cli.following import check_timeout, conclude, detached, follow, left
from starter.cli.output import Block, Fields
from starter.cli.refusals import CANCELLED, DONE, Usage, with_flag
from workflows.contracts.requests import Operation, Source
from workflows.contracts.texts import dollars

if TYPE_CHECKING:
    from activities.ledger.usage import Estimate
    from starter.client import VideoClient
    from starter.handles import GenerationHandle

ASK_ABOVE_USD_MICROS = 1_000_000
"""A person is asked before more than this is spent."""

_USD_MICROS_MAX = 2**53


Image = Annotated[str, Parameter(help="A file, an https URL or a media id")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a video should be. What is not given is the model's default."""

    prompt: Annotated[
        str, Parameter(allow_leading_hyphen=True, help="What should happen in the video")
    ]
    audio: Annotated[
        str | None, Parameter(help="Sound for the video: a file, an https URL or a media id")
    ] = None
    negative_prompt: Annotated[
        str | None, Parameter(allow_leading_hyphen=True, help="What should not be seen")
    ] = None
    seed: Annotated[Whole | None, Parameter(help="-1 is a new one each time")] = None
    prompt_expansion: Annotated[
        bool | None, Parameter(help="Whether the provider may enlarge on the prompt")
    ] = None
    duration: Annotated[Whole | None, Parameter(help="Seconds: 5 or 10, as the model has it")] = (
        None
    )
    resolution: Annotated[str | None, Parameter(help="480p, 720p or 1080p")] = None
    model: Annotated[str | None, Parameter(help="A model id; see: stillmotion models")] = None
    user: Annotated[
        str | None, Parameter(help="Whose quota it takes [default under dev: local]")
    ] = None
    source: Annotated[Source, WORDS, Parameter(help="The product that asks", name="--source")] = (
        Source.API
    )
    max_cost: Annotated[
        str | None, Parameter(help="Refuse when the quote is higher, in USD, such as 0.60")
    ] = None

    def parameters(self) -> dict[str, Any]:
        """The request's fields by their names, but for the media and the owner."""
        return {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "prompt_expansion": self.prompt_expansion,
            "duration_s": self.duration,
            "resolution": self.resolution,
            "model": self.model,
            "source": self.source,
            "max_cost_usd_micros": _usd_micros(self.max_cost),
        }


async def image_to_video(
    image: Image,
    *,
    wish: Wish,
    key: Annotated[
        str | None,
        Parameter(
            name="--id", help="Your own key: a repeat finds the same generation, pays nothing"
        ),
    ] = None,
    wait: Annotated[
        bool | None,
        Parameter(negative="--detach", help="Follow it to its end [default: on a terminal]"),
    ] = None,
    timeout: Timeout = None,  # noqa: ASYNC109 - the flag's name
    dry_run: Annotated[
        bool, SWITCH, Parameter(help="Check and quote only; exit code 4 where it would be refused")
    ] = False,
    yes: Yes = False,
    save: Annotated[
        Path | None, Parameter(help="Copy the finished video to this file or folder")
    ] = None,
    ctx: Ctx,
) -> int:
    r"""Make a video of an image and a prompt.

    For example: stillmotion image-to-video examples/coffee.jpg \
    --prompt "steam rises slowly" --max-cost 0.60 --save coffee.mp4
    """
    waits = _waits(ctx, wait=wait, timeout=timeout, save=save)
    target = saving.checked(save) if save is not None else None
    async with connected(ctx) as client:
        user_id = user_of(client.place, wish.user)
        given: dict[str, Any] = {"user_id": user_id, "audio": wish.audio, **wish.parameters()}
        if dry_run:
            return _quoted(
                ctx, await client.estimate_for(Operation.IMAGE_TO_VIDEO, image=image, **given)
            )
        known = await _is_known(client, user_id, key)
        if not known:
            quoted = await client.estimate_for(Operation.IMAGE_TO_VIDEO, image=image, **given)
            if not _agreed(ctx, quoted, yes=yes):
                return CANCELLED
        handle = await _started(ctx, client, image, given | {"idempotency_key": key})
        if not waits:
            return await detached(ctx, handle)
        ctx.output.note(f"{handle.id} {'was started before' if known else 'is accepted'}.")
        generation = await follow(ctx, handle, timeout)
        saved = await saving.save(handle, target) if target and generation.asset_id else None
        return conclude(ctx, generation, saved=saved)


async def estimate(image: Image, *, wish: Wish, ctx: Ctx) -> int:
    r"""Say what a video would cost, and whether it is allowed now.

    For example: stillmotion estimate examples/coffee.jpg \
    --prompt "steam rises slowly" --resolution 1080p
    """
    async with connected(ctx) as client:
        user_id = user_of(client.place, wish.user)
        quoted = await client.estimate_for(
            Operation.IMAGE_TO_VIDEO,
            image=image,
            user_id=user_id,
            audio=wish.audio,
            **wish.parameters(),
        )
    ctx.output.value(quoted, *_quote_blocks(quoted), bare=dollars(quoted.quote.cost_usd_micros))
    return DONE


def _waits(ctx: Context, *, wait: bool | None, timeout: float | None, save: Path | None) -> bool:
    """Whether to follow it: as said, else on a terminal or where a flag is no use without."""
    check_timeout(timeout)
    if wait is False and save is not None:
        raise Usage("--save: there is no video yet with --detach; allowed: with --wait.")
    if wait is False and timeout is not None:
        raise Usage("--timeout: nothing is waited for with --detach; allowed: with --wait.")
    if wait is not None:
        return wait
    return ctx.output.is_terminal or timeout is not None or save is not None


async def _is_known(client: "VideoClient", user_id: str, key: str | None) -> bool:
    """Whether the key names a generation already: a repeat costs nothing, so no quota stops it."""
    from activities.generations.repository import UnknownGeneration
    from workflows.contracts.failures import REFUSALS
    from workflows.contracts.ids import generation_id_for

    if key is None:
        return False
    try:
        known = await client.reader.read(generation_id_for(user_id, key), user_id)
    except UnknownGeneration:
        return False
    return known.error is None or known.error.kind not in REFUSALS


def _agreed(ctx: Context, quoted: "Estimate", *, yes: bool) -> bool:
    """Whether it may be started.

    Raises:
        RequestRefused: a limit stops it.
    """
    from workflows.contracts.failures import RequestRefused

    if quoted.refusal is not None:
        raise RequestRefused(quoted.refusal.kind, quoted.refusal.message)
    cost_usd_micros = quoted.quote.cost_usd_micros
    if yes or cost_usd_micros <= ASK_ABOVE_USD_MICROS or not ctx.output.can_ask:
        return True
    if ctx.output.ask(f"This will cost {dollars(cost_usd_micros)}. Start it?"):
        return True
    ctx.output.note("Not started. Nothing was charged.")
    return False


async def _started(
    ctx: Context, client: "VideoClient", image: str, given: dict[str, Any]
) -> "GenerationHandle":
    """Upload and start. Ctrl-C in the middle of the start lets it happen, then detaches."""
    request = await client.request(Operation.IMAGE_TO_VIDEO, image=image, **given)
    starting = asyncio.ensure_future(client.start(request))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        raise left(ctx, (await starting).id) from None


def _quoted(ctx: Context, quoted: "Estimate") -> int:
    from workflows.contracts.failures import RULES

    ctx.output.value(quoted, *_quote_blocks(quoted), bare=dollars(quoted.quote.cost_usd_micros))
    return DONE if quoted.refusal is None else RULES[quoted.refusal.kind].exit_code


def _quote_blocks(quoted: "Estimate") -> list[Block]:
    quote, usage, refusal = quoted.quote, quoted.usage, quoted.refusal
    videos = "unlimited" if usage.videos_remaining is None else str(usage.videos_remaining)
    left = usage.remaining_usd_micros
    money = "unlimited" if left is None else dollars(left)
    blocks: list[Block] = [
        Fields(
            [
                ("model", quote.model),
                ("cost", dollars(quote.cost_usd_micros)),
                (
                    "video",
                    f"{quote.duration_s:g} s, {quote.width}x{quote.height} ({quote.resolution})",
                ),
                ("usually takes", f"~{quote.expected_s} s"),
                ("allowed", "yes" if quoted.allowed else "no"),
                ("remaining", f"{videos} videos, {money} on plan {usage.plan} of {usage.user_id}"),
                ("stopped by", with_flag(f"{refusal.message} {refusal.hint}") if refusal else None),
            ]
        )
    ]
    return blocks


def _usd_micros(usd: str | None) -> int | None:
    if usd is None:
        return None
    try:
        usd_micros = Decimal(usd) * 1_000_000
    except InvalidOperation:
        usd_micros = Decimal("NaN")
    if not usd_micros.is_finite() or not 0 <= usd_micros <= _USD_MICROS_MAX:
        raise Usage(f"--max-cost: {usd[:40]!r}; allowed: an amount in USD, such as 0.60.")
    return int(usd_micros)
