"""Renders a real MP4 from a real picture: H.264 with a camera move, AAC where the model has sound.

FFmpeg's `zoompan` runs through PyAV, three to five times faster than moving the picture frame by
frame in Python. The source is scaled to twice the target, since `zoompan` moves in whole pixels.
"""

import heapq
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import av.filter
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image, ImageOps

from workers.sandbox.camera import FPS, CameraMove
from workers.sandbox.sound import SAMPLE_RATE, Soundtrack

_TIME_BASE = Fraction(1, 90_000)
AnyPacket: TypeAlias = "Packet[VideoStream] | Packet[AudioStream]"
_OVERSAMPLING = 2
_BYTES_PER_PIXEL = 3


class RenderingStopped(Exception):
    """The job was deleted or the server stops; no file is left."""


@dataclass(frozen=True)
class Scene:
    """One video to render. Width and height in pixels, both even."""

    picture: Path
    width: int
    height: int
    duration_s: float
    camera: CameraMove
    soundtrack: Soundtrack | None = None


def render(scene: Scene, target: Path, stop: threading.Event) -> None:
    """Writes the scene to a file that appears only when it is complete.

    Raises:
        RenderingStopped: `stop` was set meanwhile.
        av.error.FFmpegError: an input can't be decoded.
        OSError: the picture can't be decoded, or the disk is full.
    """
    part = target.with_suffix(".part.mp4")
    try:
        with av.open(part, "w", format="mp4", options={"movflags": "+faststart"}) as output:
            tracks = [_video_packets(output.add_stream("libx264", rate=FPS), scene)]
            if scene.soundtrack is not None:
                stream = output.add_stream("aac", rate=SAMPLE_RATE)
                tracks.append(_audio_packets(stream, scene.soundtrack, scene.duration_s))
            for packet in heapq.merge(*tracks, key=_starts_at):
                if stop.is_set():
                    raise RenderingStopped
                output.mux(packet)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def even_size(picture_size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Width and height with the asked short side and the picture's shape, both even."""
    width, height = picture_size
    scale = short_side / min(width, height)
    return _even(width * scale), _even(height * scale)


def upright_picture(path: Path) -> Image.Image:
    """The picture as a person sees it: EXIF orientation applied, transparency on white.

    Raises:
        OSError: it can't be decoded.
    """
    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened)
        if not picture.has_transparency_data:
            return picture.convert("RGB")
        pixels = picture.convert("RGBA")
    white = Image.new("RGBA", pixels.size, "white")
    white.alpha_composite(pixels)
    return white.convert("RGB")


def _video_packets(stream: VideoStream, scene: Scene) -> Iterator[AnyPacket]:
    stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
    stream.codec_context.time_base = _TIME_BASE
    stream.codec_context.options = {"preset": "ultrafast", "crf": "28", "bf": "0", "threads": "1"}
    end = round(scene.duration_s / _TIME_BASE)
    previous: AnyPacket | None = None
    for packet in _encoded(stream, scene):
        if previous is not None:
            previous.duration = (packet.pts or 0) - (previous.pts or 0)
            yield previous
        previous = packet
    assert previous is not None
    # The last picture ends with the sound, not at the next multiple of 1/24 s.
    previous.duration = end - (previous.pts or 0)
    yield previous


def _encoded(stream: VideoStream, scene: Scene) -> Iterator[AnyPacket]:
    for index, frame in enumerate(_moving_pictures(scene)):
        frame.time_base = _TIME_BASE
        frame.pts = round(Fraction(index, FPS) / _TIME_BASE)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _moving_pictures(scene: Scene) -> Iterator[VideoFrame]:
    frames = max(1, math.ceil(round(scene.duration_s * FPS, 3)))
    still = _still(scene)
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=still.width, height=still.height, format=still.format, time_base=Fraction(1, FPS)
    )
    move = scene.camera.zoompan(frames=frames, width=scene.width, height=scene.height)
    chain = [graph.add("zoompan", move), graph.add("format", "yuv420p"), graph.add("buffersink")]
    previous = source
    for step in chain:
        previous.link_to(step)
        previous = step
    graph.configure()
    source.push(still)
    source.push(None)
    for _ in range(frames):
        frame = previous.pull()
        assert isinstance(frame, VideoFrame)
        yield frame


def _still(scene: Scene) -> VideoFrame:
    size = (scene.width * _OVERSAMPLING, scene.height * _OVERSAMPLING)
    picture = upright_picture(scene.picture).resize(size, Image.Resampling.BICUBIC)
    frame = VideoFrame(*size, "rgb24")
    frame.planes[0].update(_padded_rows(picture, frame.planes[0].line_size))
    # With full colour resolution the move is in whole pixels, not in pairs of them.
    still = frame.reformat(format="yuv444p")
    still.pts = 0
    return still


def _padded_rows(picture: Image.Image, line_size: int) -> bytes:
    """RGB rows as FFmpeg lays them out: each padded to the plane's line size."""
    row = picture.width * _BYTES_PER_PIXEL
    pixels = picture.tobytes()
    if line_size == row:
        return pixels
    padding = bytes(line_size - row)
    rows = (pixels[start : start + row] for start in range(0, len(pixels), row))
    return b"".join(each + padding for each in rows)


def _audio_packets(
    stream: AudioStream, soundtrack: Soundtrack, duration_s: float
) -> Iterator[AnyPacket]:
    stream.bit_rate = 96_000
    for frame in soundtrack.frames(duration_s):
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _starts_at(packet: AnyPacket) -> Fraction:
    assert packet.time_base is not None
    return (packet.dts or 0) * packet.time_base


def _even(pixels: float) -> int:
    return max(2, 2 * round(pixels / 2))
