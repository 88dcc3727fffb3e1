"""Text and numbers as every store of ours can hold them.

PostgreSQL refuses NUL in text, UTF-8 refuses lone surrogates, `bigint` ends at 2**63: each of them
would otherwise fail for ever in a retried activity, so they are refused where they come in.
"""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints


def storable(text: str) -> str:
    """Return `text` unchanged, or raise ValueError where it holds NUL or a lone surrogate."""
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be valid Unicode (it holds a lone surrogate)")
    return text


def _printable(text: str) -> str:
    if not storable(text).isprintable():
        raise ValueError("must be printable characters on one line")
    return text


Storable = Annotated[str, AfterValidator(storable)]
"""Text of any length that every store can hold."""

Prose = Annotated[Storable, StringConstraints(max_length=20_000)]
"""Text for a model. Each model's own, smaller limit stands in the catalogue."""

Name = Annotated[str, AfterValidator(_printable), StringConstraints(min_length=1, max_length=200)]
"""A short identifier from outside: a user id, an idempotency key, a workflow id."""

_TAGS = frozenset(
    {
        "by_id",
        "by_url",
        "inline",
        "stored",
        "image-to-video",
        "scene-animation",
        "talking-avatar",
        "MediaById",
        "MediaByUrl",
    }
)


def place_of(location: tuple[int | str, ...]) -> str:
    """Where a validation error is, as callers write it: without the tags of unions."""
    parts = [str(part) for part in location if part not in _TAGS]
    return ".".join(parts or map(str, location)) or "input"


Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1, strict=True)]
UsdMicros = Annotated[int, Field(ge=0, le=2**53, strict=True)]
"""Money in millionths of a US dollar; 2**53 keeps it exact in JSON readers that use doubles."""


def dollars(usd_micros: int) -> str:
    """`250_000` → `"$0.25"`; sub-cent amounts keep the digits that they need."""
    sign = "-" if usd_micros < 0 else ""
    whole, fraction = divmod(abs(usd_micros), 1_000_000)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole}.{digits}"


SUMMARY_BYTES_MAX = 200
"""What Temporal documents for a summary, which shows an activity's words on one line."""


def summary_of(text: str) -> str:
    """`text` as a summary in the Web UI: one line, cut to the documented length."""
    line = " ".join(text.split())
    if len(line.encode()) <= SUMMARY_BYTES_MAX:
        return line
    ellipsis = "…"
    room = SUMMARY_BYTES_MAX - len(ellipsis.encode())
    return line.encode()[:room].decode(errors="ignore") + ellipsis
