"""`demo`: two real videos from two real pictures, on a stack of its own that spends nothing."""

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
from starter.cli.listing import web_ui
from starter.cli.output import Table, View
from starter.cli.refusals import DONE, FAILED, NOT_FINISHED, NOT_REACHABLE, NotDone, Usage
from workflows.contracts.requests import Source
from workflows.contracts.stages import PARKED
from workflows.contracts.texts import dollars

if TYPE_CHECKING:
    from starter.client import VideoClient
    from starter.handles import GenerationHandle
    from workflows.contracts.results import Generation

DATA_DIR = Path(".stillmotion-demo")
PATIENCE_S = 180.0
"""The sandbox takes seconds; on a slow machine rendering and decoding take some more."""

DURATION_TOLERANCE_S = 0.1
_SPENDING = ("WAVESPEED_", "OPENAI_", "TEMPORAL_", "STILLMOTION_")
_ATTEMPTS_MAX = 20


class Scene(NamedTuple):
    """One video of the demo."""

    key: str
    image: str
    prompt: str
    model: str
    title: str
    resolution: str
    short_side_px: int
    """What the model really makes of that resolution."""
    file: str
    duration_s: int = 5


SCENES = (
    Scene(
        key="demo-image-to-video-wan",
        image="coffee.jpg",
        prompt="Steam rises slowly from the cup while the light of the morning wanders over it",
        model="alibaba/wan-2.5/image-to-video",
        title="WAN 2.5",
        resolution="720p",
        short_side_px=720,
        file="image-to-video-wan.mp4",
    ),
    Scene(
        key="demo-image-to-video-kandinsky",
        image="rocket.jpg",
        prompt="The camera moves slowly towards the rocket on its pad",
        model="wavespeed/kandinsky5-pro/image-to-video",
        title="Kandinsky 5 Pro",
        resolution="480p",
        short_side_px=512,
        file="image-to-video-kandinsky.mp4",
    ),
)


class Made(NamedTuple):
    """A video of the demo, as it was found on disk."""

    file: str
    model: str
    duration_s: float
    width: int
    height: int
    codec: str
    title: str
    cost_usd_micros: int
    took_s: float
    generation_id: str
    problems: tuple[str, ...]


async def demo(
    *,
    to: Annotated[Path, Parameter(help="The folder for the videos")] = Path("demo-output"),
    ctx: Ctx,
) -> int:
    """Make two videos on a stack of its own; spends nothing, needs no key.

    For example: stillmotion demo --to demo-output
    """
    _forget_what_could_spend()
    ctx = Context(ctx.output, ctx.given_data_dir or DATA_DIR)
    examples = examples_folder()
    _make_folder(to)
    async with _stack(ctx), connected(ctx) as client:
        with ctx.output.following() as view:
            made = await asyncio.gather(
                *(_make(client, scene, examples, to, view) for scene in SCENES)
            )
        links = [web_ui(client, one.generation_id) for one in made]
    _report(ctx, made, links, to)
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


def examples_folder() -> Path:
    """The folder of sample pictures: of the working directory, else of this code's repository."""
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if all((folder / "examples" / scene.image).is_file() for scene in SCENES):
            return folder / "examples"
    raise Usage("The sample pictures were not found; allowed: run it in the repository.")


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


async def _make(client: "VideoClient", scene: Scene, examples: Path, to: Path, view: View) -> Made:
    """One video, made now or found from an earlier demo, copied to the folder and looked at."""
    generation = await _generated(client, scene, examples, view)
    handle = await client.get(generation.generation_id)
    path = await saving.save(handle, saving.Target(to / scene.file, is_folder=False))
    return await asyncio.to_thread(_looked_at, scene, generation, path)


async def _generated(
    client: "VideoClient", scene: Scene, examples: Path, view: View
) -> "Generation":
    for attempt in range(1, _ATTEMPTS_MAX + 1):
        handle = await client.image_to_video(
            examples / scene.image,
            scene.prompt,
            user_id=LOCAL_USER,
            source=Source.VIDEO_STUDIO,
            # A demo that was killed or failed before must not be found again for ever.
            idempotency_key=scene.key if attempt == 1 else f"{scene.key}-{attempt}",
            model=scene.model,
            resolution=scene.resolution,
            duration_s=scene.duration_s,
        )
        known = await handle.read_generation()
        if known.completed_at is None or known.asset_id is not None:
            return await _followed(handle, scene, view)
    raise NotDone(f"{scene.file}: every try so far has failed.", f"Remove {DATA_DIR}.")


async def _followed(handle: "GenerationHandle", scene: Scene, view: View) -> "Generation":
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for seen in handle.updates():
                view.show(scene.file, seen)
                if seen.stage in PARKED:
                    break
    except TimeoutError:
        told = f"{scene.file} is not finished after {PATIENCE_S:g} s."
        raise NotDone(told, "Run the demo again: it goes on.", NOT_FINISHED) from None
    generation = await handle.read_generation()
    if generation.asset_id is None:
        error = generation.error
        told = f"{scene.file}: {error.message if error else generation.status.value}"
        raise NotDone(told, error.hint if error else "Run the demo again.")
    return generation


def _looked_at(scene: Scene, generation: "Generation", path: Path) -> Made:
    """The file as it is on disk, decoded to its end: the demo promises what it has seen."""
    codec, width, height, duration_s = _decoded(path)
    problems: list[str] = []
    if abs(duration_s - scene.duration_s) > DURATION_TOLERANCE_S:
        problems.append(f"{duration_s:.2f} s, not {scene.duration_s} s")
    if min(width, height) != scene.short_side_px:
        problems.append(f"{width}x{height}, not {scene.short_side_px}p")
    if codec != "h264":
        problems.append(f"{codec}, not h264")
    ended = generation.completed_at or generation.created_at
    return Made(
        file=str(path),
        model=scene.model,
        duration_s=round(duration_s, 3),
        width=width,
        height=height,
        codec=codec,
        title=scene.title,
        cost_usd_micros=generation.cost_usd_micros or 0,
        took_s=round((ended - generation.created_at).total_seconds(), 1),
        generation_id=generation.generation_id,
        problems=tuple(problems),
    )


def _decoded(path: Path) -> tuple[str, int, int, float]:
    """Codec, width, height and the seconds of all frames."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        frames = sum(1 for _ in container.decode(stream))
        seconds = float(frames / rate) if rate else 0.0
        return stream.codec_context.name, stream.width, stream.height, seconds


def _report(ctx: Context, made: list[Made], web_uis: list[str | None], to: Path) -> None:
    rows = [
        (
            Path(one.file).name,
            one.title,
            f"{one.duration_s:.1f} s",
            f"{one.width}x{one.height}",
            one.codec,
            dollars(one.cost_usd_micros),
            f"{one.took_s:.1f} s",
        )
        for one in made
    ]
    headings = ("file", "model", "length", "size", "codec", "cost", "took")
    document: dict[str, Any] = {
        "videos": [
            one._asdict() | {"web_ui": link} for one, link in zip(made, web_uis, strict=True)
        ],
        "data_dir": str(ctx.data_dir),
    }
    ctx.output.value(
        document, Table(headings, rows, wraps=("model",)), bare="\n".join(one.file for one in made)
    )
    for one in made:
        for problem in one.problems:
            ctx.output.note(f"✗ {one.file}: {problem}")
    ctx.output.note(f"The videos are in {to}. They cost nothing: the provider was our sandbox.")
    links = ", ".join(link for link in web_uis if link)
    ctx.output.note(f"Temporal's Web UI had them at {links}")
    ctx.output.note(f"Look at it again: {ctx.command('dev')}")
