"""Reads pages and times from the bodies of search requests."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import JsonValue

from workers.sandbox.replies import Refusal

PAGE_SIZE = 10
PAGE_SIZE_MAX = 100


class Page(NamedTuple):
    """Which part of the found rows is asked for; the first page has number 1."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        """Rows before the page."""
        return (self.number - 1) * self.size


def page_of(body: Mapping[str, JsonValue]) -> Page:
    """The page asked for.

    Raises:
        Refusal: 400, a number is out of range.
    """
    number, size = body.get("page", 1), body.get("page_size", PAGE_SIZE)
    if not isinstance(number, int) or number < 1:
        raise Refusal(400, "property 'page' must be at least 1", 1401)
    if not isinstance(size, int) or not 1 <= size <= PAGE_SIZE_MAX:
        raise Refusal(400, f"property 'page_size' must be from 1 to {PAGE_SIZE_MAX}", 1401)
    return Page(number, size)


def time_of(body: Mapping[str, JsonValue], name: str) -> datetime | None:
    """A time given as ISO 8601 or as milliseconds since 1970 (number or text), in UTC.

    Raises:
        Refusal: 400, it is neither.
    """
    value = body.get(name)
    if value is None or value == "":
        return None
    text = str(value)
    try:
        if text.isdecimal():
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        parsed = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Refusal(400, f"property {name!r} is not a time", 1401) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
