"""Object keys: built here and nowhere else, from parts that no client can bend into a path.

Keys are addressed by content, so writing the same key twice writes the same bytes.
"""

import re

_PARTS = {
    "owner": re.compile(r"[0-9a-f]{8,64}"),
    "generation_digest": re.compile(r"[0-9a-f]{8,64}"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "suffix": re.compile(r"\.[a-z0-9]{2,5}"),
}
_SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_KEY = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*", re.ASCII)
_KEY_LENGTH_MAX = 512


def input_key(owner: str, sha256: str) -> str:
    """Where a user's input lies.

    Args:
        owner: The user's keyed hash, 8 to 64 lower-case hex digits.
        sha256: Of the file, 64 lower-case hex digits.

    Raises:
        ValueError: A part is not of its form.
    """
    return f"inputs/{_part('owner', owner)}/{_part('sha256', sha256)}"


def output_key(owner: str, generation_digest: str, sha256: str, suffix: str) -> str:
    """Where a generation's video lies; `suffix` is `.mp4` or the like. Else as `input_key`."""
    return f"outputs/{_place(owner, generation_digest)}/{_name(sha256, suffix)}"


def poster_key(owner: str, generation_digest: str, sha256: str, suffix: str = ".jpg") -> str:
    """Where the poster of a generation's video lies; the hash is the poster's own."""
    return f"posters/{_place(owner, generation_digest)}/{_name(sha256, suffix)}"


def digest_in(key: str) -> str | None:
    """The generation's digest in the key of an output or a poster; None in any other key."""
    match key.split("/"):
        case [("outputs" | "posters"), _, digest, _]:
            return digest
        case _:
            return None


def owner_in(key: str) -> str | None:
    """The owner's hash in the key of an output or a poster; None in any other key."""
    match key.split("/"):
        case [("outputs" | "posters"), owner, _, _]:
            return owner
        case _:
            return None


def is_key(path: str) -> bool:
    """Whether it is a relative path of plain segments."""
    return len(path) <= _KEY_LENGTH_MAX and _KEY.fullmatch(path) is not None


def check_key(key: str) -> str:
    """The key itself.

    Raises:
        ValueError: It is no relative path of plain segments.
    """
    if not is_key(key):
        raise ValueError(f"not an object key: {key[:_KEY_LENGTH_MAX]!r}")
    return key


def _place(owner: str, generation_digest: str) -> str:
    return f"{_part('owner', owner)}/{_part('generation_digest', generation_digest)}"


def _name(sha256: str, suffix: str) -> str:
    return f"{_part('sha256', sha256)}{_part('suffix', suffix)}"


def _part(name: str, value: str) -> str:
    if not _PARTS[name].fullmatch(value):
        raise ValueError(f"{name} must match {_PARTS[name].pattern}, not {value[:80]!r}")
    return value
