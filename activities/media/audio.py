"""What an audio file is, by decoding it to its last sample.

The price of a talking avatar follows its audio's length, so the length is counted, never read from
a header. Foreign files go through `decoding`, which runs this in a process that can be killed.
"""

from fractions import Fraction
from pathlib import Path

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from activities.media.containers import (
    FLAC,
    MP3,
    MP4,
    WAV,
    ContainerFormat,
    Undecodable,
    boxes_size_bytes,
    opened,
    sniff,
)
from activities.media.errors import Damaged, NotAudio, Truncated
from activities.media.files import INPUT_SIZE_BYTES_MAX, Measured, sha256_of, size_within

_ALLOWED = "complete MP3, WAV, OGG, AAC, FLAC or M4A sound"

# Encoders pad and headers round: less than this short is not a cut.
_SHORT_S_MAX = 0.25

_CUT = "is cut short: its end is missing"
_RIFF_SIZE_UNKNOWN = (0, 0xFFFFFFFF)


def inspect_audio(path: Path, *, size_bytes_max: int = INPUT_SIZE_BYTES_MAX) -> Measured:
    """Decode the sound and say what it is: the fields of `AudioFacts`.

    A cover picture is fine, a video is not.

    Raises:
        MediaInvalid: Its leaf says what is wrong: TooLarge, NotAudio, Truncated or Damaged.
    """
    size_bytes = size_within(path, size_bytes_max)
    form = sniff(path)
    if form is None or form.audio_mime_type is None:
        reason = "is not sound in a format that is taken" if size_bytes else "is empty"
        raise NotAudio(path.name, reason, _ALLOWED)
    if _is_cut(path, form, size_bytes):
        raise Truncated(path.name, _CUT, _ALLOWED)
    try:
        with opened(path, form) as container:
            stream = _sound(path, container)
            claimed_s = _claimed_s(path, form, stream)
            duration_s, whole = _decoded(container, stream)
            rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    except Undecodable as error:
        raise Damaged(path.name, "is damaged: it does not decode", _ALLOWED) from error
    if claimed_s - duration_s > _SHORT_S_MAX:
        reason = f"is cut short: it holds {duration_s:.1f} s of {claimed_s:.1f} s"
        raise Truncated(path.name, reason, _ALLOWED)
    # FFmpeg marks the last packet of a WAV with an open size; plain samples can't be damaged.
    if not whole and form is not WAV:
        raise Damaged(path.name, "is damaged: a part of it is unreadable", _ALLOWED)
    if not duration_s:
        raise NotAudio(path.name, "holds no sound", _ALLOWED)
    return Measured(
        kind="audio",
        mime_type=form.audio_mime_type,
        size_bytes=size_bytes,
        sha256=sha256_of(path),
        duration_s=duration_s,
        sample_rate=rate,
        channels=channels,
    )


def _is_cut(path: Path, form: ContainerFormat, size_bytes: int) -> bool:
    if form is MP4:
        return boxes_size_bytes(path) != size_bytes
    if form is WAV:
        with path.open("rb") as file:
            head = file.read(8)
        claimed = int.from_bytes(head[4:8], "little")
        # A WAV written to a pipe leaves its size open, an RF64 has it elsewhere.
        known = head.startswith(b"RIFF") and claimed not in _RIFF_SIZE_UNKNOWN
        # Some writers count a last padding byte that they leave out.
        return known and size_bytes + 1 < 8 + claimed
    return False


def _sound(path: Path, container: InputContainer) -> AudioStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            raise NotAudio(path.name, "is a video", _ALLOWED)
    if not container.streams.audio:
        raise NotAudio(path.name, "holds no sound", _ALLOWED)
    return container.streams.audio[0]


def _claimed_s(path: Path, form: ContainerFormat, stream: AudioStream) -> float:
    """The header's length in seconds, 0 where it would be a guess from the bit rate."""
    if form not in (FLAC, MP3, MP4) or not stream.duration or not stream.time_base:
        return 0.0
    if form is MP3 and not _has_frame_count(path):
        return 0.0
    return float(stream.duration * stream.time_base)


def _has_frame_count(path: Path) -> bool:
    """Whether an MP3 begins with the Xing header that gives its number of frames."""
    with path.open("rb") as file:
        head = file.read(64 * 1024)
    return b"Xing" in head or b"Info" in head


def _decoded(container: InputContainer, stream: AudioStream) -> tuple[float, bool]:
    """Seconds of sound, and whether every packet was whole."""
    total, whole = Fraction(0), True
    for packet in container.demux(stream):
        whole = whole and not packet.is_corrupt
        for frame in packet.decode():
            total += Fraction(frame.samples, frame.sample_rate)
    return float(total), whole
