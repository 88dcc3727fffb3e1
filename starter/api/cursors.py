"""Pages of lists: how many, and where the next one goes on.

A cursor is the last id of a page, written so that nobody takes it for anything to build himself.
What it names is looked at by the list's own query, of the same owner and products: a cursor of
somebody else's finds an empty page, as one of nothing does.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, TypeVar

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from starter.api.problems import Problem
from workflows.contracts.failures import FailureKind
from workflows.contracts.texts import storable

LIMIT = 20
LIMIT_MAX = 100

CURSOR_CHARACTERS_MAX = 1100
"""An id of 200 characters, four bytes each, in base64."""


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _as_written(given: object) -> object:
    """A bare number is no time: pydantic takes one for seconds or milliseconds, by its size."""
    if isinstance(given, str) and _DATE.match(given) is None:
        raise ValueError("must be a time as in 2026-11-23T09:30:00Z")
    return given


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time of the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_as_written), AfterValidator(_in_utc)]
"""A time that a list is narrowed by."""

Item = TypeVar("Item")
_STANDARD = str.maketrans("-_", "+/")


def encode(last_id: str) -> str:
    """The cursor of the page that goes on after an item; safe in a URL."""
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def decode(cursor: str) -> str:
    """The id in a cursor.

    Raises:
        Problem: 422: it is none of ours.
    """
    try:
        # The standard alphabet is strict; the other one leaves out what it doesn't know.
        text = cursor.translate(_STANDARD) + "=" * (-len(cursor) % 4)
        last_id = storable(base64.b64decode(text, validate=True).decode())
    except (binascii.Error, ValueError):
        raise _refused() from None
    if not last_id or encode(last_id) != cursor:
        raise _refused()
    return last_id


def after_of(cursor: str | None) -> str | None:
    """The id that a page goes on after; None for the first page. Raises as `decode`."""
    return None if cursor is None else decode(cursor)


def page_of(found: Sequence[Item], limit: int) -> tuple[Sequence[Item], bool]:
    """Of up to `limit` + 1 items that were looked for, those of the page, and whether more come."""
    return found[:limit], len(found) > limit


def _refused() -> Problem:
    detail = "cursor: not the `next_cursor` of a page."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind=FailureKind.INVALID_REQUEST.value)
