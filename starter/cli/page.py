"""The live page of a `stillmotion dev`: its address, and a browser that is signed in.

The link that signs in holds a key. On a command line every user of the machine could read it, as
long as the browser runs; so the browser is given a file that only its owner can read, which leads
there.
"""

import asyncio
import html
import os
import shutil
import subprocess
import sys
from pathlib import Path

from starter.cli.context import Context
from starter.cli.output import Fields
from starter.cli.refusals import DONE, NOT_REACHABLE, NotDone, Usage
from workflows.contracts.stack import StackAddress, read_stack, sign_in_link

LINK_FILE = "open.html"
"""In the data directory, readable by its owner only."""

ANSWER_WITHIN_S = 5.0


async def open_page(ctx: Context) -> int:
    """Print where the page is; on a terminal also the link that signs in, and open it."""
    origin, link = await _found(ctx)
    person = ctx.output.mode == "human" and ctx.output.is_terminal
    shown = link if person else None
    ctx.output.value(
        {"page": origin}, Fields([("page", origin), ("signed in", shown)]), bare=origin
    )
    if shown is not None:
        leading = await asyncio.to_thread(_write_link, ctx.data_dir / LINK_FILE, shown)
        await asyncio.to_thread(open_with_desktop, leading.resolve().as_uri())
    return DONE


def open_with_desktop(place: str) -> None:
    """Hand a file or an address to the desktop's own program for it, where there is one."""
    if sys.platform == "win32":
        return
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if opener is not None:
        subprocess.run([opener, place], check=False, stdin=subprocess.DEVNULL)  # noqa: S603


async def _found(ctx: Context) -> tuple[str, str | None]:
    """The page's origin and its link that signs in.

    Raises:
        Usage: the environment names a stack that is no `dev`, whose page we don't know.
        NotReachable: no `dev` runs there.
        NotDone: it runs without its API, or that doesn't answer.
    """
    stack = _stack_of(ctx)
    if stack.api is None:
        told = f"The stack of {ctx.data_dir} runs without its API, and so without its page."
        hint = f"Start it with `{ctx.command('dev')}` and the extra: pip install 'stillmotion[api]'"
        raise NotDone(told, hint, NOT_REACHABLE)
    if not await _answers(stack.api):
        told = f"The page does not answer at {stack.api}."
        raise NotDone(told, f"Start the stack again: {ctx.command('dev')}", NOT_REACHABLE)
    return stack.api, sign_in_link(stack)


def _stack_of(ctx: Context) -> StackAddress:
    from starter.places import NotReachable

    if "STILLMOTION_DATABASE_URL" in os.environ:
        raise Usage(
            "ID: missing; allowed: the id of a generation. Without one the page of a"
            " `stillmotion dev` is opened, and STILLMOTION_DATABASE_URL names another stack."
        )
    stack = read_stack(ctx.data_dir)
    if stack is None:
        raise NotReachable(
            f"No stillmotion stack runs in {ctx.data_dir}: start one with `{ctx.command('dev')}`."
        )
    return stack


async def _answers(origin: str) -> bool:
    import httpx

    async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_WITHIN_S) as http:
        try:
            return (await http.get(f"{origin}/livez")).is_success
        except httpx.HTTPError:
            return False


def _write_link(path: Path, link: str) -> Path:
    """A file that leads a browser to `link`, readable by its owner only, whole at any moment."""
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    aside.touch(mode=0o600)
    aside.write_text(
        '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="refresh" content="0; url={html.escape(link)}">'
        f'<title>Stillmotion</title><a href="{html.escape(link)}">Open the page</a>\n',
        "utf-8",
    )
    aside.replace(path)
    return path
