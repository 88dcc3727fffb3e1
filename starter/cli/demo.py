"""`demo`: a real video by every operation, on a stack of its own that spends nothing."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from starter.cli import saving
from starter.cli.context import LOCAL_USER, Context, Ctx, connected
from starter.cli.inspecting import Made, inspected
from starter.cli.listing import web_ui
from starter.cli.output import Table, View
from starter.cli.refusals import DONE, FAILED, NOT_FINISHED, NOT_REACHABLE, NotDone, Usage
from starter.cli.samples import SAMPLES, Sample, examples_folder
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.stages import PARKED
from workflows.contracts.texts import dollars

if TYPE_CHECKING:
    from starter.client import VideoClient
    from starter.handles import GenerationHandle
    from workflows.contracts.results import Generation

DATA_DIR = Path(".stillmotion-demo")
PATIENCE_S = 300.0
"""The sandbox takes seconds; on a slow machine rendering and decoding take some more."""

_SPENDING = ("WAVESPEED_", "OPENAI_", "TEMPORAL_", "STILLMOTION_")
_ATTEMPTS_MAX = 20


class Seen(NamedTuple):
    """Where the videos can be looked at while their stack runs."""

    web_uis: list[str | None]
    """A page of Temporal's Web UI for each."""
    page: str | None
    """Our own, of all of them; None where the stack has no API."""


async def demo(
    *,
    to: Annotated[Path, Parameter(help="The folder for the videos")] = Path("demo-output"),
    ctx: Ctx,
) -> int:
    """Make a video by every operation on a stack of its own; spends nothing, needs no key.

    For example: stillmotion demo --to demo-output
    """
    _forget_what_could_spend()
    ctx = Context(ctx.output, ctx.given_data_dir or DATA_DIR)
    examples = examples_folder()
    _make_folder(to)
    async with _stack(ctx), connected(ctx) as client:
        with ctx.output.following() as view:
            made = await asyncio.gather(
                *(_make(client, sample, examples, to, view) for sample in SAMPLES)
            )
        links = [web_ui(client, one.generation_id) for one in made]
        page = client.place.stack.api if client.place.stack is not None else None
    _report(ctx, made, Seen(links, page), to)
    return FAILED if any(one.problems for one in made) else DONE


def _forget_what_could_spend() -> None:
    """The demo must reach no other stack and no provider, whatever is set for daily work."""
    for name in list(os.environ):
        if name.startswith(_SPENDING) and name != "STILLMOTION_DEBUG":
            del os.environ[name]


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        told = f"--to: {str(path)!r}: {error.strerror}; allowed: a folder that can be written to."
        raise Usage(told) from error


@asynccontextmanager
async def _stack(ctx: Context) -> AsyncGenerator[None]:
    """The stack of the data directory: the one that runs there, else one of ours that ends with us.

    Raises:
        Usage: the one that runs there spends real money.
        NotDone: it did not start.
    """
    from starter.places import NotReachable

    try:
        async with connected(ctx) as client:
            if client.place.stack is None or client.place.stack.live:
                told = f"--data-dir: the stack of {ctx.data_dir} uses a real provider"
                raise Usage(f"{told}; allowed: another folder, since a demo spends nothing.")
    except NotReachable:
        async with _started(ctx):
            yield
    else:
        yield


@asynccontextmanager
async def _started(ctx: Context) -> AsyncGenerator[None]:
    _make_folder(ctx.data_dir)
    log = ctx.data_dir / "demo.log"
    ctx.output.note(f"Starting the stack in {ctx.data_dir} (a few seconds) …")
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *dev_under_guard(ctx.data_dir),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=written,
            # Ctrl-C is for us: the stack is stopped in order afterwards.
            start_new_session=True,
        )
    assert process.stdin is not None, "asked for"
    assert process.stdout is not None, "asked for"
    try:
        if not await process.stdout.readline():
            lines = log.read_text("utf-8", errors="replace").splitlines()
            why = lines[-1] if lines else "it said nothing"
            raise NotDone(f"The stack did not start: {why}", f"Its log: {log}", NOT_REACHABLE)
        yield
    finally:
        # The guard takes the closed pipe, however it was closed, as the order to stop the stack.
        process.stdin.close()
        await process.wait()


def dev_under_guard(data_dir: Path) -> list[str]:
    """`dev` that ends when our end of its standard input is closed, even by our death."""
    dev = [sys.executable, "-m", "workers", "dev", "--json", "--data-dir", str(data_dir)]
    return [sys.executable, "-m", "workers.embedded.guard", "SIGTERM", *dev]


async def _make(
    client: "VideoClient", sample: Sample, examples: Path, to: Path, view: View
) -> Made:
    """One video, made now or found from an earlier demo, copied to the folder and looked at."""
    handle = await _started_or_found(client, sample, examples)
    generation = await _followed(handle, sample, view)
    path = await saving.save(handle, saving.Target(to / sample.file, is_folder=False))
    return await asyncio.to_thread(inspected, sample, generation, path, examples)


async def _started_or_found(
    client: "VideoClient", sample: Sample, examples: Path
) -> "GenerationHandle":
    fields = sample.fields(examples)
    request = await client.request(sample.operation, user_id=LOCAL_USER, **fields)
    for attempt in range(1, _ATTEMPTS_MAX + 1):
        key = sample.key if attempt == 1 else f"{sample.key}-{attempt}"
        try:
            handle = await client.start(request.model_copy(update={"idempotency_key": key}))
        except RequestRefused as error:
            if error.failure.kind is not FailureKind.KEY_REUSED:
                raise
            # The samples were others when the demo ran last.
            continue
        known = await handle.read_generation()
        # A demo that was killed or failed before must not be found again for ever.
        if known.completed_at is None or known.asset_id is not None:
            return handle
    raise NotDone(f"{sample.file}: every try so far has failed.", f"Remove {DATA_DIR}.")


async def _followed(handle: "GenerationHandle", sample: Sample, view: View) -> "Generation":
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for seen in handle.updates():
                view.show(sample.file, seen)
                if seen.stage in PARKED:
                    break
    except TimeoutError:
        told = f"{sample.file} is not finished after {PATIENCE_S:g} s."
        raise NotDone(told, "Run the demo again: it goes on.", NOT_FINISHED) from None
    generation = await handle.read_generation()
    if generation.asset_id is None:
        error = generation.error
        told = f"{sample.file}: {error.message if error else generation.status.value}"
        raise NotDone(told, error.hint if error else "Run the demo again.")
    return generation


def _report(ctx: Context, made: list[Made], seen: Seen, to: Path) -> None:
    rows = [
        (
            Path(one.file).name,
            one.operation,
            f"{one.duration_s:.1f} s",
            f"{one.width}x{one.height}",
            "none" if one.audio_s is None else f"{one.audio_s:.1f} s",
            dollars(one.cost_usd_micros),
            f"{one.took_s:.1f} s",
            one.prompt_by or "none",
        )
        for one in made
    ]
    headings = ("file", "operation", "length", "size", "sound", "cost", "took", "prompt by")
    document: dict[str, Any] = {
        "videos": [
            one._asdict() | {"web_ui": link} for one, link in zip(made, seen.web_uis, strict=True)
        ],
        "page": seen.page,
        "data_dir": str(ctx.data_dir),
    }
    ctx.output.value(
        document,
        # The files' names tell the operation too.
        Table(headings, rows, droppable=("operation",)),
        bare="\n".join(one.file for one in made),
    )
    for one in made:
        for problem in one.problems:
            ctx.output.note(f"✗ {one.file}: {problem}")
    ctx.output.note(f"The videos are in {to}. They cost nothing: the provider was our sandbox.")
    links = ", ".join(link for link in seen.web_uis if link)
    ctx.output.note(f"Temporal's Web UI had them at {links}")
    if seen.page is not None:
        ctx.output.note(f"The page had them at {seen.page}")
    again = f"{ctx.command('dev')}, and beside it {ctx.command('open')}"
    ctx.output.note(f"Look at them again: {again}")
