"""Opens a foreign sound or video file with the one demuxer that its first bytes call for.

FFmpeg left to guess also takes playlists and scripts that make it read other files or call hosts;
it is therefore never asked to guess, and may open nothing but the file.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError

_HEAD_BYTES = 4096
_ID3_HEADER_BYTES = 10


@dataclass(frozen=True, slots=True)
class ContainerFormat:
    """A file format: FFmpeg's demuxer and the MIME types of its sound and its video."""

    demuxer: str
    audio_mime_type: str | None = None
    video_mime_type: str | None = None


WAV = ContainerFormat("wav", audio_mime_type="audio/wav")
OGG = ContainerFormat("ogg", audio_mime_type="audio/ogg")
FLAC = ContainerFormat("flac", audio_mime_type="audio/flac")
AAC = ContainerFormat("aac", audio_mime_type="audio/aac")
MP3 = ContainerFormat("mp3", audio_mime_type="audio/mpeg")
MP4 = ContainerFormat("mp4", audio_mime_type="audio/mp4", video_mime_type="video/mp4")
WEBM = ContainerFormat("webm", video_mime_type="video/webm")

_MAGIC = (
    (b"RIFF", 8, b"WAVE", WAV),
    (b"RF64", 8, b"WAVE", WAV),
    (b"OggS", 0, b"", OGG),
    (b"fLaC", 0, b"", FLAC),
    (b"", 4, b"ftyp", MP4),
    (b"\x1aE\xdf\xa3", 0, b"", WEBM),
)


class Undecodable(Exception):  # Named by its situation.
    """FFmpeg can't make sense of the file."""


def sniff(path: Path) -> ContainerFormat | None:
    """The file's format by its first bytes, None if it is none that is taken."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if head.startswith(b"ID3") and len(head) >= _ID3_HEADER_BYTES:
            file.seek(_ID3_HEADER_BYTES + _synchsafe(head[6:10]))
            # Sound behind a tag that is larger than the file can't be told from a cut MP3.
            head = file.read(_HEAD_BYTES) or b"\xff\xfb"
    return _by_magic(head)


def _by_magic(head: bytes) -> ContainerFormat | None:
    for start, offset, then, form in _MAGIC:
        if head.startswith(start) and head.startswith(then, offset):
            return form
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:  # noqa: PLR2004  # sync word
        # The two layer bits: 0 is ADTS (AAC), 1 to 3 are MPEG layers.
        return AAC if head[1] & 0x06 == 0 else MP3
    return None


def _synchsafe(size: bytes) -> int:
    """ID3's 28-bit size: seven bits a byte."""
    value = 0
    for byte in size:
        value = value << 7 | byte & 0x7F
    return value


@contextmanager
def opened(path: Path, form: ContainerFormat) -> Generator[InputContainer]:
    """The container, opened for reading.

    Raises:
        Undecodable: Here or in the block: the file is not of that form, or damaged.
    """
    url = f"file:{path.absolute()}"
    options = {"protocol_whitelist": "file"}
    try:
        with av.open(
            url, "r", format=form.demuxer, options=options, metadata_errors="replace"
        ) as container:
            yield container
    except FFmpegError as error:
        if isinstance(error, OSError | MemoryError):
            raise  # The machine's fault, not the file's.
        raise Undecodable(error.strerror or type(error).__name__) from error


def boxes_size_bytes(path: Path) -> int | None:
    """How long an MP4 should be by its top-level boxes; None if they break off or make no sense.

    This finds a file cut anywhere, also one whose index comes first and therefore opens and decodes
    without an error; it takes no time.
    """
    size_bytes = path.stat().st_size
    position = 0
    with path.open("rb") as file:
        while position < size_bytes:
            file.seek(position)
            header = file.read(16)
            if len(header) < 8:  # noqa: PLR2004  # a box header: 4 bytes of size, 4 of type
                return None
            length, smallest = int.from_bytes(header[:4]), 8
            if length == 1:
                length, smallest = int.from_bytes(header[8:16]), 16
            elif length == 0:
                length = size_bytes - position
            if length < smallest:
                return None
            position += length
    return position
