"""What every inspection needs of a file before it decodes anything: its size and its hash."""

import hashlib
from pathlib import Path

from activities.media.errors import TooLarge

INPUT_SIZE_BYTES_MAX = 200 * 1000 * 1000
"""The provider's upload limit, 200 MB (providers.md A8)."""

POSTER_FORMATS = {".jpg": "JPEG", ".webp": "WEBP"}
"""By the suffix of a poster's path; Pillow's names."""

Measured = dict[str, str | int | float | bool]
"""What decoding showed: the fields of `ImageFacts`, `AudioFacts` or `VideoFacts`.

Plain, since the process that decodes does not load what validates them.
"""

OUTPUT_SIZE_BYTES_MAX = 2 * 1024**3
"""Far above any video of the catalogue; a stream without end stops here."""


def size_within(path: Path, size_bytes_max: int) -> int:
    """The file's size in bytes.

    Raises:
        TooLarge: It is over the limit.
    """
    size_bytes = path.stat().st_size
    if size_bytes > size_bytes_max:
        raise TooLarge(path.name, f"has {size_bytes:,} bytes", f"at most {size_bytes_max:,} bytes")
    return size_bytes


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
