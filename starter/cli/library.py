"""Files in and out: `upload`, `download`, `open`, and the asset library."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from starter.cli import saving
from starter.cli.context import Context, Ctx, connected, user_of
from starter.cli.describing import local, megabytes, one_line
from starter.cli.flags import SWITCH, WORDS, AssetId, GenerationId, Limit, Owner, User, Yes
from starter.cli.listing import web_ui
from starter.cli.output import Fields, Table
from starter.cli.page import open_page, open_with_desktop
from starter.cli.refusals import CANCELLED, DONE, NOT_FINISHED, NotDone, Usage
from workflows.contracts.requests import Operation, Source

Tag = Annotated[str | None, Parameter(help="Only those with this tag, such as scene_3")]

if TYPE_CHECKING:
    from activities.library.repository import Asset
    from starter.handles import GenerationHandle
    from workflows.contracts.media import Role


async def upload(
    file: Annotated[
        Path, Parameter(help="A picture; with its flag a sound, or the JSON of a scene or story")
    ],
    *,
    audio: Annotated[bool, SWITCH, Parameter(help="It is sound")] = False,
    scene: Annotated[bool, SWITCH, Parameter(help="It is a scene's JSON")] = False,
    story: Annotated[bool, SWITCH, Parameter(help="It is a story's JSON")] = False,
    user: Owner = None,
    ctx: Ctx,
) -> int:
    """Store an input and print its media id, for callers that have no files.

    A file that ends in .json is taken for a scene or story by itself.

    For example: stillmotion upload examples/coffee.jpg
    """
    from starter.tellings import check_story_file

    role = _role(file, audio=audio, scene=scene, story=story)
    if scene or story:
        check_story_file(role, file)
    async with connected(ctx) as client:
        owner = user_of(client.place, user)
        media_id = await client.upload(file, user_id=owner, role=role)
    ctx.output.value({"media_id": media_id, "user_id": owner}, media_id, bare=media_id)
    return DONE


def _role(file: Path, *, audio: bool, scene: bool, story: bool) -> "Role":
    if audio + scene + story > 1:
        raise Usage("A file is one of them; allowed: --audio, --scene or --story.")
    if audio:
        return "audio"
    if story:
        return "story_context"
    # Of a JSON file both are stored alike.
    return "scene" if scene or file.suffix.lower() == ".json" else "image"


async def download(
    generation: GenerationId,
    *,
    to: Annotated[
        Path | None, Parameter(help="A file or folder [default: here, named by the id]")
    ] = None,
    link: Annotated[
        bool, SWITCH, Parameter(help="Print an address of the video in its bucket instead")
    ] = False,
    expires: Annotated[
        int | None, Parameter(help="How many seconds --link is good for [default: 300]")
    ] = None,
    user: User = None,
    ctx: Ctx,
) -> int:
    """Copy a finished video to a file or folder, or print a link to it that ends soon.

    Whoever has a link can see the video, without a key of ours.

    For example: stillmotion download gen_4xk2 --to coffee.mp4
    """
    if link:
        return await _link(ctx, generation, user, _expires_s(to, expires))
    if expires is not None:
        raise Usage("--expires: only a link ends; allowed: together with --link.")
    target = saving.checked(to or Path(), flag="--to")
    async with connected(ctx) as client:
        handle = await client.get(generation, user_id=user)
        await _with_video(ctx, handle)
        path = await saving.save(handle, target)
    ctx.output.value({"generation_id": handle.id, "path": str(path)}, str(path), bare=str(path))
    return DONE


def _expires_s(to: Path | None, given: int | None) -> int:
    """The seconds of `--link`, looked at before anything is asked."""
    from activities.media.store import LINK_S, LINK_S_MAX

    if to is not None:
        raise Usage("--link: it writes no file; allowed: --link or --to.")
    expires_s = LINK_S if given is None else given
    if not 1 <= expires_s <= LINK_S_MAX:
        raise Usage(f"--expires: {expires_s}; allowed: 1 to {LINK_S_MAX} seconds, a week.")
    return expires_s


async def _link(ctx: Context, generation: str, user: str | None, expires_s: int) -> int:
    async with connected(ctx) as client:
        handle = await client.get(generation, user_id=user)
        await _with_video(ctx, handle)
        link = await handle.link(expires_s)
    if link is None:
        raise NotDone(
            "The media store is a folder, to which there are no links.",
            f"Copy the file: {ctx.command('download', handle.id, '--to', 'PATH')}",
        )
    document = {"generation_id": handle.id, "link": link, "expires_s": expires_s}
    ctx.output.value(document, link, bare=link)
    return DONE


async def open_video(
    generation: Annotated[
        str | None, Parameter(help="As for `show`; without it the page of all videos is opened")
    ] = None,
    *,
    user: User = None,
    ctx: Ctx,
) -> int:
    """Print where the page of all videos is, or a video; on a terminal also open it.

    The page is that of a `stillmotion dev`, signed in as its user. A video in a bucket is played by
    a link that ends after five minutes and is not printed.

    For example: stillmotion open gen_4xk2
    """
    if generation is None:
        if user is not None:
            raise Usage("--user: it says whose video is meant; allowed: together with an ID.")
        return await open_page(ctx)
    async with connected(ctx) as client:
        handle = await client.get(generation, user_id=user)
        await _with_video(ctx, handle)
        seen, page = await handle.read_generation(), web_ui(client, handle.id)
        plays = ctx.output.mode == "human" and ctx.output.is_terminal
        played = (seen.file_path or await handle.link()) if plays else None
    video = seen.file_path or seen.url or ""
    document = {"generation_id": handle.id, "file": video, "web_ui": page}
    ctx.output.value(document, Fields([("file", video), ("web ui", page)]), bare=video)
    if played is not None:
        await asyncio.to_thread(open_with_desktop, played)
    elif seen.file_path is None:
        ctx.output.note(f"A link to it: {ctx.command('download', handle.id, '--link')}")
    return DONE


async def list_assets(
    *,
    user: User = None,
    source: Annotated[Source | None, WORDS, Parameter(help="The product that asked")] = None,
    operation: Annotated[Operation | None, Parameter(help="What was asked for")] = None,
    tag: Tag = None,
    limit: Limit = 100,
    ctx: Ctx,
) -> int:
    """List finished videos, newest first.

    For example: stillmotion assets list --source story_writer --tag scene_3
    """
    async with connected(ctx) as client:
        found = await client.assets(
            user_id=user, source=source, operation=operation, tag=tag, limit=limit
        )
    return _list(ctx, found)


async def search_assets(
    words: Annotated[str, Parameter(help="All of them must occur")],
    *,
    user: User = None,
    tag: Tag = None,
    limit: Limit = 100,
    ctx: Ctx,
) -> int:
    """Find videos by words in title, description and prompt.

    For example: stillmotion assets search "steam coffee" --limit 5
    """
    async with connected(ctx) as client:
        found = await client.assets(user_id=user, words=words, tag=tag, limit=limit)
    return _list(ctx, found)


async def show_asset(asset: AssetId, *, user: User = None, ctx: Ctx) -> int:
    """Show a finished video's record.

    For example: stillmotion assets show ast_7ymz
    """
    async with connected(ctx) as client:
        found = await client.asset(asset, user_id=user)
    document = found.model_dump(mode="json")
    rows = [(name, _cell(value)) for name, value in document.items()]
    ctx.output.value(found, Fields(rows), bare=found.file_path or found.url)
    return DONE


async def delete_asset(
    asset: AssetId,
    *,
    user: Owner = None,
    yes: Yes = False,
    ctx: Ctx,
) -> int:
    """Delete a video and its files; what it cost stays booked.

    For example: stillmotion assets delete ast_7ymz --yes
    """
    async with connected(ctx) as client:
        owner = user_of(client.place, user)
        found = await client.asset(asset, user_id=owner)
        question = f"Delete {found.asset_id}, {one_line(found.title)!r}?"
        if not yes and ctx.output.can_ask and not ctx.output.ask(question):
            ctx.output.note("Nothing was deleted.")
            return CANCELLED
        await client.delete_asset(found.asset_id, user_id=owner)
    told = f"{found.asset_id} is deleted."
    ctx.output.value({"asset_id": found.asset_id, "deleted": True}, told, bare=found.asset_id)
    return DONE


async def _with_video(ctx: Context, handle: "GenerationHandle") -> None:
    """Raise NotDone where there is no video to read."""
    seen = await handle.read_generation()
    if seen.asset_id is not None:
        return
    show = f"See: {ctx.command('show', handle.id)}"
    if seen.completed_at is None:
        told = f"{handle.id} has no video yet: it is {seen.stage.value}."
        raise NotDone(told, f"Wait for it: {ctx.command('watch', handle.id)}", NOT_FINISHED)
    raise NotDone(f"{handle.id} has no video: it is {seen.status.value}.", show)


def _list(ctx: Context, found: "list[Asset]") -> int:
    table = Table(
        ("id", "model", "video", "size", "user", "made", "title"),
        [_row(asset) for asset in found],
        droppable=("user", "size", "model", "made"),
    )
    ctx.output.rows(
        found, table if found else "No assets.", bare=[asset.asset_id for asset in found]
    )
    return DONE


def _row(asset: "Asset") -> tuple[str, ...]:
    return (
        asset.asset_id,
        asset.model,
        f"{asset.duration_s:.1f} s {asset.width}x{asset.height}",
        megabytes(asset.file_size_bytes) or "",
        asset.user_id,
        local(asset.created_at),
        one_line(asset.title),
    )


def _cell(value: object) -> str | None:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(part) or '-'}" for name, part in value.items()) or None
    if isinstance(value, list):
        return ", ".join(map(str, value)) or None
    return None if value is None or value == "" else str(value)
