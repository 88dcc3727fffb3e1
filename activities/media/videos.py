"""Whether a video is whole and playable, by decoding it to its last frame; and its poster.

A provider's download can be an error page, a file cut short or one with a hole in it, and players
and headers hide each of these. Four checks find them all: the boxes add up to the file's size,
every packet decodes, no frame of the index is missing, the last one ends where the header says.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from activities.media.containers import (
    MP4,
    ContainerFormat,
    Undecodable,
    boxes_size_bytes,
    opened,
    sniff,
)
from activities.media.errors import VideoCorrupt
from activities.media.files import (
    OUTPUT_SIZE_BYTES_MAX,
    POSTER_FORMATS,
    Measured,
    sha256_of,
    size_within,
)
from activities.media.images import MIME_TYPES

POSTER_SIDE_PX_MAX = 640

_ALLOWED = "a complete MP4 or WebM video"

# Encoders round the header's length to a frame or two; a cut is longer.
_SHORT_S_MAX = 0.5

# A short film is decoded before a second thread has its memory.
_SMALL_SIZE_BYTES = 1024 * 1024

# A fade from black is over in seconds; a film that is dark for longer gets its first frame.
_POSTER_FRAMES_MAX = 240
_THUMBNAIL_PX = 64
_BRIGHT_LUMA = 40
_BRIGHT_SHARE_MIN = 0.02


@dataclass(slots=True)
class _Seen:
    """What decoding has shown so far; times in the stream's time base."""

    frames: int = 0
    hidden: int = 0
    first: int | None = None
    end: int = 0
    width: int = 0
    height: int = 0

    def add(self, frame: VideoFrame, frame_length: int) -> None:
        if not self.frames:
            self.width, self.height = frame.width, frame.height
        self.frames += 1
        if frame.pts is not None:
            self.first = frame.pts if self.first is None else min(self.first, frame.pts)
            self.end = max(self.end, frame.pts + (frame.duration or frame_length))


class PosterFrame:
    """Picks the frame that stands for a film while that is decoded: the first that is not black.

    Give it to `inspect_video`, and `save` it when that has taken the film.
    """

    def __init__(self) -> None:
        self._frame: VideoFrame | None = None
        self._frames = 0
        self._is_found = False

    def offer(self, frame: VideoFrame) -> None:
        """Keep the frame if it is the best one so far; none is a reason to refuse the film."""
        if self._is_found:
            return
        self._frames += 1
        with suppress(FFmpegError, MemoryError):
            is_bright = _is_bright(frame)
            if is_bright or self._frame is None:
                self._frame = frame
            self._is_found = is_bright or self._frames >= _POSTER_FRAMES_MAX

    def save(self, out_path: Path) -> Measured:
        """Write the frame, its longest side 640 pixels at most; the fields of its `ImageFacts`.

        Args:
            out_path: Its suffix says the format: `.jpg` or `.webp`.

        Raises:
            ValueError: The suffix is another.
            VideoCorrupt: There is no frame to be had.
        """
        poster_format = POSTER_FORMATS.get(out_path.suffix)
        if poster_format is None:
            raise ValueError(f"a poster is a .jpg or a .webp file, not {out_path.suffix!r}")
        frame = self._frame
        if frame is None:
            raise _corrupt(out_path, "has no frame to show")
        scale = min(1.0, POSTER_SIDE_PX_MAX / max(frame.width, frame.height))
        size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
        try:
            image: Image.Image = frame.to_image(width=size[0], height=size[1])
        except FFmpegError as error:
            raise _corrupt(out_path, "has no frame to show") from error
        encoded = BytesIO()
        image.save(encoded, format=poster_format, quality=85)
        out_path.write_bytes(encoded.getbuffer())
        return Measured(
            kind="image",
            mime_type=MIME_TYPES[poster_format],
            size_bytes=encoded.tell(),
            sha256=hashlib.sha256(encoded.getbuffer()).hexdigest(),
            width=image.width,
            height=image.height,
            has_alpha=False,
        )


def inspect_video(
    path: Path,
    *,
    size_bytes_max: int = OUTPUT_SIZE_BYTES_MAX,
    poster: PosterFrame | None = None,
) -> Measured:
    """Decode the video with its sound to the end: the fields of `VideoFacts`, its size as coded.

    `poster` is offered each frame.

    Raises:
        TooLarge: It is over the limit.
        VideoCorrupt: Anything else is wrong with it; the reason says what.
    """
    size_bytes = size_within(path, size_bytes_max)
    form = _form(path, size_bytes)
    try:
        with opened(path, form) as container:
            stream = _pictures(path, container)
            seen = _decode(path, container, stream, poster)
            duration_s = _checked_duration_s(path, container, stream, seen)
            codec, has_audio = stream.codec_context.name, bool(container.streams.audio)
    except Undecodable as error:
        raise _corrupt(path, "is damaged: it does not decode to its end") from error
    return Measured(
        kind="video",
        mime_type=form.video_mime_type or "video/mp4",
        size_bytes=size_bytes,
        sha256=sha256_of(path),
        duration_s=duration_s,
        width=seen.width,
        height=seen.height,
        codec=codec,
        frames=seen.frames,
        has_audio=has_audio,
    )


def _form(path: Path, size_bytes: int) -> ContainerFormat:
    if not size_bytes:
        raise _corrupt(path, "is empty")
    form = sniff(path)
    if form is None or form.video_mime_type is None:
        raise _corrupt(path, "is not a video in a format that is taken")
    if form is MP4:
        boxes = boxes_size_bytes(path)
        if boxes is None:
            raise _corrupt(path, f"is cut short or damaged: {size_bytes:,} bytes do not add up")
        if boxes != size_bytes:
            raise _corrupt(path, f"is cut short: it has {size_bytes:,} of {boxes:,} bytes")
    return form


def _pictures(path: Path, container: InputContainer) -> VideoStream:
    if not container.streams.video:
        raise _corrupt(path, "holds no pictures")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    stream.thread_count = 2 if path.stat().st_size > _SMALL_SIZE_BYTES else 1
    return stream


def _decode(
    path: Path, container: InputContainer, stream: VideoStream, poster: PosterFrame | None
) -> _Seen:
    seen = _Seen()
    rate, base = stream.average_rate, stream.time_base
    frame_length = round(1 / (rate * base)) if rate and base else 0
    tracks: list[VideoStream | AudioStream] = [stream, *container.streams.audio]
    for packet in container.demux(*tracks):
        if packet.is_corrupt:
            raise _corrupt(path, "is damaged: a part of it is unreadable")
        decoded = packet.decode()
        if packet.stream_index != stream.index:
            continue
        # An edit list hides frames that are there, say those before a trimmed start.
        seen.hidden += bool(packet.size) and packet.is_discard
        for frame in decoded:
            if not isinstance(frame, VideoFrame):
                continue
            if frame.is_corrupt:
                raise _corrupt(path, f"is damaged: frame {seen.frames + 1} is not whole")
            seen.add(frame, frame_length)
            if poster is not None:
                poster.offer(frame)
    return seen


def _checked_duration_s(
    path: Path, container: InputContainer, stream: VideoStream, seen: _Seen
) -> float:
    """Seconds from the first frame's start to the last one's end, if the header says the same."""
    if not seen.frames or seen.first is None or not stream.time_base:
        raise _corrupt(path, "holds no pictures")
    # A fragmented MP4 and a WebM give no number.
    if seen.frames + seen.hidden < stream.frames:
        missing = stream.frames - seen.frames - seen.hidden
        raise _corrupt(path, f"is damaged: {missing} of {stream.frames} frames do not decode")
    duration_s = float((seen.end - seen.first) * stream.time_base)
    if stream.duration is not None:
        claimed_s = float(stream.duration * stream.time_base)
    else:
        claimed_s = (container.duration or 0) / av.time_base
    if claimed_s - duration_s > _SHORT_S_MAX:
        raise _corrupt(path, f"is cut short: it plays {duration_s:.1f} s of {claimed_s:.1f} s")
    return duration_s


def _is_bright(frame: VideoFrame) -> bool:
    small = frame.reformat(width=_THUMBNAIL_PX, height=_THUMBNAIL_PX, format="gray")
    luma = bytes(small.planes[0])
    return sum(value > _BRIGHT_LUMA for value in luma) >= _BRIGHT_SHARE_MIN * len(luma)


def _corrupt(path: Path, reason: str) -> VideoCorrupt:
    return VideoCorrupt(path.name, reason, _ALLOWED)
