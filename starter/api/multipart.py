"""From the bytes of a `multipart/form-data` body to what happens in it.

A part begins, some of its data comes, it ends. Sizes and names are judged by who asks (`forms`).
"""

import logging
from email.message import Message
from typing import NamedTuple

from fastapi import Request

from workflows.contracts.failures import FailureKind, RequestRefused

MEDIA_TYPE = "multipart/form-data"

UNTYPED = "application/octet-stream"
"""What senders say who don't know; what it is, decoding shows."""

PART_HEADERS_SIZE_BYTES_MAX = 8 * 1024
"""Of one part: its name, a file's name, a media type."""

_BOUNDARY_CHARACTERS_MAX = 70
"""RFC 2046."""

_CONTENT_TYPE_CHARACTERS_MAX = 1000
"""To take a long one apart takes the square of its length: 60,000 quotes held all others up for two
seconds."""


# Its warnings quote what was sent.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


class Begun(NamedTuple):
    """A part begins."""

    name: str
    media_type: str


class Ended(NamedTuple):
    """The part is whole."""


Event = Begun | bytes | Ended


class Parser:
    """Turns chunks, cut anywhere, into events.

    Raises:
        RequestRefused: from any method: the body is malformed.
    """

    def __init__(self, request: Request) -> None:
        # Imported when a form comes: all else works without it.
        from python_multipart.multipart import MultipartParser  # noqa: PLC0415

        self.has_ended = False
        """Whether the last part is whole; what comes after it is nothing."""
        self._events: list[Event] = []
        self._headers = Message()
        self._headers_size_bytes = 0
        self._field, self._value = bytearray(), bytearray()
        self._parser = MultipartParser(
            _boundary_of(request),
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._part_data,
                "on_part_end": self._part_ends,
                "on_end": self._all_ends,
            },
        )

    def feed(self, chunk: bytes) -> list[Event]:
        """What happens in the next chunk."""
        from python_multipart.exceptions import FormParserError  # noqa: PLC0415

        try:
            self._parser.write(chunk)
        except FormParserError:
            raise malformed("its parts can't be told apart") from None
        events, self._events = self._events, []
        return events

    def _part_begins(self) -> None:
        self._headers = Message()
        self._headers_size_bytes = 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, size_bytes: int) -> None:
        self._headers_size_bytes += size_bytes
        if self._headers_size_bytes > PART_HEADERS_SIZE_BYTES_MAX:
            raise malformed("the headers of a part are too long")

    def _header_ends(self) -> None:
        self._headers[self._field.decode("latin-1")] = self._value.decode("latin-1")
        self._field, self._value = bytearray(), bytearray()

    def _headers_end(self) -> None:
        try:
            name = self._headers.get_param("name", header="content-disposition")
        except ValueError:
            # It is in pieces, which are counted beyond all numbers.
            name = None
        if not isinstance(name, str):
            raise malformed("a part has no name")
        typed = "content-type" in self._headers
        media_type = self._headers.get_content_type() if typed else UNTYPED
        self._events.append(Begun(name, media_type))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _part_ends(self) -> None:
        self._events.append(Ended())

    def _all_ends(self) -> None:
        self.has_ended = True


def malformed(why: str) -> RequestRefused:
    """The refusal of a body that is not what its Content-Type says."""
    told = f"The body is not {MEDIA_TYPE} as it should be: {why}."
    return RequestRefused(FailureKind.INVALID_REQUEST, told)


def _boundary_of(request: Request) -> bytes:
    header, said = Message(), request.headers.get("content-type", "")
    header["content-type"] = said[:_CONTENT_TYPE_CHARACTERS_MAX]
    try:
        boundary = header.get_boundary("")
    except ValueError:
        # It names a coding that can't be undone, or counts its pieces beyond all numbers.
        boundary = ""
    if not 0 < len(boundary) <= _BOUNDARY_CHARACTERS_MAX:
        raise malformed("its Content-Type names no boundary")
    return boundary.encode("latin-1", "replace")
