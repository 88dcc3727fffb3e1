"""Small files that would be large: each is valid by its form, and costs its reader far more."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.packet import Packet
from av.video.frame import VideoFrame
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ROWS_AT_ONCE = 256
_GREY, _RGBA = 0, 6
_FLAC_FRAME_SAMPLES = 16_384


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def flat_png(width: int, height: int, *extra: bytes, alpha: bool = False) -> bytes:
    """A PNG of one colour: 256 grey megapixels are a megabyte. `extra` are further chunks."""
    squeeze = zlib.compressobj(1)
    rows = bytes(width * (4 if alpha else 1) + 1) * _ROWS_AT_ONCE
    data = b"".join(squeeze.compress(rows) for _ in range(0, height, _ROWS_AT_ONCE))
    head = chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _RGBA if alpha else _GREY, 0, 0, 0)
    )
    pixels = chunk(b"IDAT", data + squeeze.flush())
    return b"".join((_SIGNATURE, head, *extra, pixels, chunk(b"IEND", b"")))


def squeezed(size_bytes: int) -> bytes:
    """So many zeros, packed a thousandfold."""
    return zlib.compress(bytes(size_bytes), 9)


def animation_header(frames: int) -> bytes:
    """An APNG's promise of its frames."""
    return chunk(b"acTL", struct.pack(">II", frames, 0))


def jpeg_of_many_scans(path: Path, side_px: int, scans: int) -> Path:
    """A progressive JPEG that refines the same pixels again and again."""
    Image.effect_noise((64, 64), 50).resize((side_px, side_px)).save(
        path, "JPEG", progressive=True, quality=30
    )
    data = path.read_bytes()
    last = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + last * scans + b"\xff\xd9")
    return path


def video_of_wide_frames(path: Path, picture: bytes, frames: int) -> Path:
    """An MP4 whose header says 16 x 16 and whose frames are this PNG."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("png", rate=1)
        stream.width = stream.height = 16
        stream.pix_fmt = "gray"
        for number in range(frames):
            packet = Packet(picture)
            packet.stream = stream
            packet.pts = packet.dts = number
            packet.time_base = Fraction(1, 1)
            packet.is_keyframe = True
            container.mux(packet)
    return path


def video_of_many_streams(path: Path, streams: int) -> Path:
    """An MP4 with three small frames in each of its tracks."""
    frame = VideoFrame.from_image(Image.new("RGB", (16, 16)))
    with av.open(str(path), "w", format="mp4") as container:
        tracks = [container.add_stream("mpeg4", rate=24) for _ in range(streams)]
        for track in tracks:
            track.width = track.height = 16
        for track in tracks:
            for number in range(3):
                frame.pts = number
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path


def with_table(path: Path, name: bytes, offset: int, *numbers: int) -> Path:
    """The MP4 with other numbers in the first table of this name, `offset` bytes behind it."""
    data = bytearray(path.read_bytes())
    at = data.index(name) + 4 + offset
    data[at : at + 4 * len(numbers)] = struct.pack(f">{len(numbers)}I", *numbers)
    path.write_bytes(data)
    return path


def silence(path: Path, hours: float) -> Path:
    """A FLAC of silence: an hour is some 700 kB."""
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=8000)
        stream.layout = "mono"
        frame = AudioFrame(format="s16", layout="mono", samples=_FLAC_FRAME_SAMPLES)
        frame.sample_rate = 8000
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        for number in range(int(hours * 3600 * 8000 / _FLAC_FRAME_SAMPLES)):
            frame.pts = number * _FLAC_FRAME_SAMPLES
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
