"""Starting a generation of each operation, and what it would cost.

`image-to-video`, `animate-scene`, `talking-avatar` differ in what they take; the rest is one path.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from starter.cli import saving
from starter.cli.context import Context, Ctx, connected, user_of
from starter.cli.flags import SWITCH, Audio, Image
from starter.cli.following import check_timeout, conclude, detached, follow, left
from starter.cli.output import Fields
from starter.cli.refusals import CANCELLED, DONE, Usage
from starter.cli.spending import agreed, not_refused, quote_code, tell_quote
from starter.cli.wishes import (
    ANY_DEFAULT,
    AVATAR_DEFAULT,
    LAUNCH_DEFAULT,
    AnyWish,
    AvatarWish,
    ImageToVideoWish,
    Launch,
    SceneWish,
)
from workflows.contracts.requests import Operation

if TYPE_CHECKING:
    from starter.client import VideoClient
    from starter.handles import GenerationHandle


async def image_to_video(
    image: Image, *, wish: ImageToVideoWish, launch: Launch = LAUNCH_DEFAULT, ctx: Ctx
) -> int:
    r"""Make a video of an image and a prompt.

    For example: stillmotion image-to-video examples/coffee.jpg \
    --prompt "steam rises slowly" --max-cost 0.60 --save coffee.mp4
    """
    given = {"image": image, **wish.fields()}
    return await _start(ctx, Operation.IMAGE_TO_VIDEO, wish.user, given, launch)


async def animate_scene(
    image: Image,
    *,
    wish: SceneWish,
    prompt_only: Annotated[
        bool, SWITCH, Parameter(help="Write the prompt and show it; starts and spends nothing")
    ] = False,
    launch: Launch = LAUNCH_DEFAULT,
    ctx: Ctx,
) -> int:
    r"""Animate a scene's picture; the prompt is written from the scene and its story.

    For example: stillmotion animate-scene examples/chelsea.jpg \
    --scene examples/scene.json --story examples/story.json --duration 10
    """
    given = {"image": image, **wish.fields()}
    if prompt_only:
        return await _show_prompt(ctx, wish.user, given)
    return await _start(ctx, Operation.SCENE_ANIMATION, wish.user, given, launch)


async def talking_avatar(
    image: Image,
    audio: Annotated[str, Parameter(help="What is spoken: a file, an https URL or a media id")],
    *,
    wish: AvatarWish = AVATAR_DEFAULT,
    launch: Launch = LAUNCH_DEFAULT,
    ctx: Ctx,
) -> int:
    r"""Make a face speak a sound, for as long as that lasts.

    For example: stillmotion talking-avatar examples/portrait.jpg examples/speech.wav \
    --resolution 720p --max-cost 0.50
    """
    given = {"image": image, "audio": audio, **wish.fields()}
    return await _start(ctx, Operation.TALKING_AVATAR, wish.user, given, launch)


async def estimate(
    image: Image,
    audio: Audio = None,
    *,
    operation: Annotated[
        Operation, Parameter(help="What would be made; it says which flags are taken")
    ] = Operation.IMAGE_TO_VIDEO,
    wish: AnyWish = ANY_DEFAULT,
    ctx: Ctx,
) -> int:
    r"""Say what a video would cost, and whether it is allowed now.

    For example: stillmotion estimate examples/portrait.jpg examples/speech.wav \
    --operation talking-avatar --resolution 720p
    """
    given = {"image": image, "audio": audio, **wish.fields()}
    async with connected(ctx) as client:
        user_id = user_of(client.place, wish.user)
        quoted = await client.estimate_for(operation, user_id=user_id, **given)
    tell_quote(ctx, quoted)
    return DONE


async def _start(
    ctx: Context, operation: Operation, user: str | None, given: dict[str, Any], launch: Launch
) -> int:
    """Quote, ask, start, and follow to the end, as far as `launch` says."""
    waits = _waits(ctx, launch)
    target = saving.checked(launch.save) if launch.save is not None else None
    async with connected(ctx) as client:
        user_id = user_of(client.place, user)
        given |= {"user_id": user_id, "callback_url": launch.callback_url}
        if launch.dry_run:
            quoted = await client.estimate_for(operation, **given)
            tell_quote(ctx, quoted)
            return quote_code(quoted)
        known = await _is_known(client, user_id, launch.key)
        if not known:
            quoted = await client.estimate_for(operation, **given)
            not_refused(quoted)
            if not agreed(ctx, quoted.quote.cost_usd_micros, yes=launch.yes):
                return CANCELLED
        handle = await _started(ctx, client, operation, given | {"idempotency_key": launch.key})
        if not waits:
            return await detached(ctx, handle)
        ctx.output.note(f"{handle.id} {'was started before' if known else 'is accepted'}.")
        generation = await follow(ctx, handle, launch.timeout)
        saved: Path | None = None
        if target is not None and generation.asset_id is not None:
            saved = await saving.save(handle, target)
        return conclude(ctx, generation, saved=saved)


async def _show_prompt(ctx: Context, user: str | None, given: dict[str, Any]) -> int:
    async with connected(ctx) as client:
        user_id = user_of(client.place, user)
        made = await client.prompt_for(Operation.SCENE_ANIMATION, user_id=user_id, **given)
    document = {
        "prompt": made.prompt,
        "prompt_by": made.prompt_by,
        "warnings": list(made.warnings),
    }
    rows = [
        ("prompt", made.prompt),
        ("prompt by", made.prompt_by),
        *(("warning", warning) for warning in made.warnings),
    ]
    ctx.output.value(document, Fields(rows), bare=made.prompt or "")
    return DONE


def _waits(ctx: Context, launch: Launch) -> bool:
    """Whether to follow it: as said, else on a terminal or where a flag is no use without."""
    check_timeout(launch.timeout)
    if launch.wait is False and launch.save is not None:
        raise Usage("--save: there is no video yet with --detach; allowed: with --wait.")
    if launch.wait is False and launch.timeout is not None:
        raise Usage("--timeout: nothing is waited for with --detach; allowed: with --wait.")
    if launch.wait is not None:
        return launch.wait
    return ctx.output.is_terminal or launch.timeout is not None or launch.save is not None


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


async def _started(
    ctx: Context, client: "VideoClient", operation: Operation, given: dict[str, Any]
) -> "GenerationHandle":
    """Upload and start. Ctrl-C in the middle of the start lets it happen, then detaches."""
    request = await client.request(operation, **given)
    starting = asyncio.ensure_future(client.start(request))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        raise left(ctx, (await starting).id) from None
