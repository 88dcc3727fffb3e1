"""The sound of a rendered video: the given audio or a soft ambience, exactly as long as asked."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import av
import av.filter
from av.audio.frame import AudioFrame
from av.filter.context import FilterContext

SAMPLE_RATE = 44_100
_FORMAT = f"sample_fmts=fltp:sample_rates={SAMPLE_RATE}:channel_layouts=stereo"


@dataclass(frozen=True)
class Soundtrack:
    """What is heard: tracks together or one after the other, or an ambience when there are none."""

    tracks: tuple[Path, ...] = ()
    order: Literal["together", "in_turn"] = "together"
    ambience_seed: int = 0

    def frames(self, duration_s: float) -> Iterator[AudioFrame]:
        """Stereo frames that end after the duration; the tracks are cut or followed by silence."""
        samples = round(duration_s * SAMPLE_RATE)
        if self.tracks:
            yield from _mixed(self.tracks, self.order, samples)
        else:
            yield from _ambience(self.ambience_seed, samples)


def audio_duration_s(path: Path) -> float:
    """Seconds of sound in a file, counted by decoding it.

    Raises:
        av.error.FFmpegError: the file can't be read as audio.
        ValueError: it holds no audio.
    """
    with av.open(path) as container:
        if not container.streams.audio:
            raise ValueError("no audio stream")
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def _mixed(tracks: Sequence[Path], order: str, samples: int) -> Iterator[AudioFrame]:
    graph = av.filter.Graph()
    with ExitStack() as stack:
        inputs = [stack.enter_context(av.open(path)) for path in tracks]
        sources = [graph.add_abuffer(template=each.streams.audio[0]) for each in inputs]
        joined = _joined(graph, sources, order)
        sink = _trimmed(graph, joined, samples)
        for row in zip_longest(*(each.decode(audio=0) for each in inputs)):
            for source, frame in zip(sources, row, strict=True):
                if frame is not None:
                    source.push(frame)
            yield from _pull(sink)
        for source in sources:
            source.push(None)
        yield from _pull(sink)


def _joined(graph: av.filter.Graph, sources: Sequence[FilterContext], order: str) -> FilterContext:
    if order == "together":
        join = graph.add("amix", f"inputs={len(sources)}:duration=longest")
    else:
        join = graph.add("concat", f"n={len(sources)}:v=0:a=1")
    for index, source in enumerate(sources):
        uniform = graph.add("aformat", _FORMAT)
        source.link_to(uniform)
        uniform.link_to(join, 0, index)
    return join


def _ambience(seed: int, samples: int) -> Iterator[AudioFrame]:
    graph = av.filter.Graph()
    noise = graph.add(
        "anoisesrc", f"color=brown:amplitude=0.06:sample_rate={SAMPLE_RATE}:seed={seed}"
    )
    softer = graph.add("lowpass", "f=600")
    noise.link_to(softer)
    yield from _pull(_trimmed(graph, softer, samples))


def _trimmed(graph: av.filter.Graph, source: FilterContext, samples: int) -> FilterContext:
    """The end of every graph: silence after the sound, a cut at the last sample, one format."""
    chain = [
        graph.add("apad"),
        graph.add("atrim", f"end_sample={samples}"),
        graph.add("aformat", _FORMAT),
        graph.add("abuffersink"),
    ]
    previous = source
    for step in chain:
        previous.link_to(step)
        previous = step
    graph.configure()
    return previous


def _pull(sink: FilterContext) -> Iterator[AudioFrame]:
    while True:
        try:
            frame = sink.pull()
        except (BlockingIOError, EOFError):
            return
        assert isinstance(frame, AudioFrame)
        yield frame
