"""The demo's videos as they are on disk, decoded to the end: it promises what it has seen."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from starter.cli.samples import Sample
    from workflows.contracts.results import Generation

DURATION_TOLERANCE_S = 0.1
"""Under three frames, or some packets of sound."""


class Made(NamedTuple):
    """A video of the demo, as it was found on disk."""

    file: str
    operation: str
    source: str
    model: str
    title: str
    duration_s: float
    width: int
    height: int
    codec: str
    audio_s: float | None
    """Seconds of decoded sound; None where there is none."""
    cost_usd_micros: int
    took_s: float
    prompt_by: str | None
    generation_id: str
    problems: tuple[str, ...]
    """What is not as it was asked for."""


class _Pictures(NamedTuple):
    codec: str
    width: int
    height: int
    seconds: float


def inspected(sample: "Sample", generation: "Generation", path: Path, examples: Path) -> Made:
    """What became of a sample, by its file at `path`.

    Raises:
        av.error.FFmpegError: it does not decode.
    """
    pictures, audio_s = _pictures(path), sound_s(path)
    ended = generation.completed_at or generation.created_at
    return Made(
        file=str(path),
        operation=sample.operation.value,
        source=sample.source.value,
        model=generation.model or "",
        title=sample.title,
        duration_s=round(pictures.seconds, 3),
        width=pictures.width,
        height=pictures.height,
        codec=pictures.codec,
        audio_s=None if audio_s is None else round(audio_s, 3),
        cost_usd_micros=generation.cost_usd_micros or 0,
        took_s=round((ended - generation.created_at).total_seconds(), 1),
        prompt_by=generation.prompt_by,
        generation_id=generation.generation_id,
        problems=tuple(_problems(sample, pictures, audio_s, examples)),
    )


def sound_s(path: Path) -> float | None:
    """Seconds of all sound in a file, by decoding it; None where it has none.

    Raises:
        av.error.FFmpegError: it does not decode.
    """
    import av

    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def _pictures(path: Path) -> _Pictures:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        frames = sum(1 for _ in container.decode(stream))
        seconds = float(frames / rate) if rate else 0.0
        return _Pictures(stream.codec_context.name, stream.width, stream.height, seconds)


def _problems(
    sample: "Sample", pictures: _Pictures, audio_s: float | None, examples: Path
) -> list[str]:
    problems: list[str] = []
    wanted_s = sample.duration_s
    if wanted_s is None:
        wanted_s = sound_s(examples / sample.inputs["audio"]) or 0.0
        if audio_s is None:
            problems.append("no sound in it")
        elif _differ(audio_s, wanted_s):
            problems.append(f"{audio_s:.2f} s of sound, not {wanted_s:.2f} s")
    if _differ(pictures.seconds, wanted_s):
        problems.append(f"{pictures.seconds:.2f} s, not {wanted_s:.2f} s")
    if min(pictures.width, pictures.height) != sample.short_side_px:
        problems.append(f"{pictures.width}x{pictures.height}, not {sample.short_side_px}p")
    if pictures.codec != "h264":
        problems.append(f"{pictures.codec}, not h264")
    return problems


def _differ(seconds: float, wanted_s: float) -> bool:
    return abs(seconds - wanted_s) > DURATION_TOLERANCE_S
