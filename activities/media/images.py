"""What an image is, by decoding it to its last pixel.

A header proves nothing: a JPEG cut in half opens and verifies, and fails only when its pixels are
read. Foreign files go through `decoding`, which runs this in a process that can be killed.
"""

import struct
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from activities.media.errors import Damaged, ManyFrames, NotAnImage, TooManyPixels, Truncated
from activities.media.files import INPUT_SIZE_BYTES_MAX, Measured, sha256_of, size_within

PIXELS_MAX = 64_000_000

MIME_TYPES = {
    "JPEG": "image/jpeg",
    # A JPEG with more pictures behind the first (many phones write them): the first is the photo.
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
}
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_ALLOWED = "one complete JPEG, PNG, WebP or BMP picture"
_SIDEWAYS = (5, 6, 7, 8)

# What Pillow's decoders raise on bad data, besides OSError and warnings.
_DECODER_ERRORS = (
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Warning,
)


def inspect_image(path: Path, *, size_bytes_max: int = INPUT_SIZE_BYTES_MAX) -> Measured:
    """Decode the picture and say what it is: the fields of `ImageFacts`.

    Animated PNG and WebP are refused, since which of their frames is meant is anyone's guess.

    Raises:
        MediaInvalid: Its leaf says what is wrong: TooLarge, NotAnImage, TooManyPixels, ManyFrames,
            Truncated or Damaged.
    """
    size_bytes = size_within(path, size_bytes_max)
    with _refusing(path):
        with Image.open(path, formats=_FORMATS) as image:
            _check_header(path, image)
            image.verify()
        # `verify` leaves nothing to decode, and a JPEG's pixels are read by `load` alone.
        with Image.open(path, formats=_FORMATS) as image:
            image.load()
            width, height = image.size
            if image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS:
                width, height = height, width
            return Measured(
                kind="image",
                mime_type=MIME_TYPES[image.format or ""],
                size_bytes=size_bytes,
                sha256=sha256_of(path),
                width=width,
                height=height,
                has_alpha=image.has_transparency_data,
            )


def _check_header(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if width * height > PIXELS_MAX:
        raise TooManyPixels(
            path.name, f"has {width} x {height} pixels", f"at most {PIXELS_MAX:,} pixels"
        )
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1 and image.format != "MPO":
        raise ManyFrames(path.name, f"is an animation of {frames} frames", _ALLOWED)


@contextmanager
def _refusing(path: Path) -> Generator[None]:
    """Our refusals for whatever the decoders raise on bad data; its warnings count as bad data."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("error", RuntimeWarning)
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        seen = f"has more than {Image.MAX_IMAGE_PIXELS or PIXELS_MAX:,} pixels"
        raise TooManyPixels(path.name, seen, f"at most {PIXELS_MAX:,} pixels") from error
    except (OSError, *_DECODER_ERRORS) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The disk's fault, not the file's.
        if _is_cut(path):
            raise Truncated(path.name, "is cut short: its end is missing", _ALLOWED) from error
        if isinstance(error, UnidentifiedImageError):
            raise NotAnImage(path.name, _looks_like(path), _ALLOWED) from error
        raise Damaged(path.name, "is damaged: it does not decode", _ALLOWED) from error


def _is_cut(path: Path) -> bool:
    """Whether a file that failed to decode begins as one of our formats and lacks its end."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(max(0, size_bytes - 64))
        tail = file.read().rstrip(b"\0")
    if head.startswith(b"\xff\xd8"):
        return not tail.endswith(b"\xff\xd9")
    if head.startswith(b"\x89PNG"):
        return b"IEND" not in tail
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return size_bytes < 8 + int.from_bytes(head[4:8], "little")
    if head.startswith(b"BM"):
        return size_bytes < int.from_bytes(head[2:6], "little")
    return False


def _looks_like(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "is empty"
    if head.lstrip()[:1] == b"<":
        return "is a web page or another text, not a picture"
    return "is not a picture in a format that is taken"
