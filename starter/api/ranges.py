"""Which bytes a reader wants, and whether it has them already: RFC 9110's ranges and ETags.

If-None-Match names what there is   304, nothing is sent
If-Range names something else       the whole, whatever Range says
Range: bytes=0-99, 100-, -100       206, that part
… beyond the end                    416, and how long it is
… several parts, or no such form    the whole: a server may, and players ask for one part
"""

import re
from http import HTTPStatus
from typing import NamedTuple

from fastapi import Request

from starter.api.problems import Problem

_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?("[^"]*")')


class Part(NamedTuple):
    """The bytes from `start` up to, not including, `end`."""

    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """How many they are."""
        return self.end - self.start

    def of(self, size_bytes: int) -> str:
        """The header `Content-Range`."""
        return f"bytes {self.start}-{self.end - 1}/{size_bytes}"


def etag_of(digest: str) -> str:
    """The strong ETag of a file with this hash."""
    return f'"{digest}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the reader has it: its `If-None-Match` names it, weakly compared."""
    named = ",".join(request.headers.getlist("if-none-match"))
    return named.strip() == "*" or etag in _ETAG.findall(named)


def part_of(request: Request, etag: str, size_bytes: int) -> Part | None:
    """The part that is asked for; None where it is the whole.

    Raises:
        Problem: 416: there is nothing there.
    """
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or request.headers.get("if-range", etag).strip() != etag:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if first and last and int(last) < int(first):
        # No range at all, by the RFC; such a header is ignored.
        return None
    start = int(first) if first else max(0, size_bytes - int(last))
    end = min(size_bytes, int(last) + 1) if first and last else size_bytes
    if start >= end:
        raise Problem(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"Range: nothing is there; the file has {size_bytes} bytes.",
            headers={"Content-Range": f"bytes */{size_bytes}", "Accept-Ranges": "bytes"},
            kind="range_beyond_the_end",
        )
    return Part(start, end)
