"""Reads one file out of a multipart/form-data body as it streams in, never holding it whole."""

from collections.abc import AsyncIterator, Callable
from email.message import Message
from email.parser import HeaderParser

HEADERS_BYTES_MAX = 16 * 1024


class MultipartError(ValueError):
    """The body isn't multipart/form-data with the expected field."""


class FilePart:
    """The headers of the part that was found."""

    def __init__(self, headers: Message) -> None:
        self.filename = headers.get_filename() or "upload"
        self.content_type = headers.get_content_type()


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type header names.

    Raises:
        MultipartError: it is another type, or names none.
    """
    header = HeaderParser().parsestr(f"Content-Type: {content_type}\n\n")
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise MultipartError("the body must be multipart/form-data")
    return boundary.encode()


async def stream_file(
    chunks: AsyncIterator[bytes], boundary: bytes, field: str, write: Callable[[bytes], None]
) -> FilePart:
    """Hands the bytes of the named field to `write` as they come; other fields are skipped.

    Raises:
        MultipartError: the body is malformed or has no such field.
    """
    reader = _Reader(chunks, b"\r\n" + b"--" + boundary)
    # The first delimiter has no line break before it.
    reader.buffer = b"\r\n"
    await reader.until_delimiter(_skip)
    while await reader.another_part():
        headers = await reader.headers()
        if headers.get_param("name", header="content-disposition") == field:
            await reader.until_delimiter(write)
            return FilePart(headers)
        await reader.until_delimiter(_skip)
    raise MultipartError(f"there is no field {field!r}")


class _Reader:
    def __init__(self, chunks: AsyncIterator[bytes], delimiter: bytes) -> None:
        self._chunks = chunks
        self._delimiter = delimiter
        self.buffer = b""

    async def until_delimiter(self, write: Callable[[bytes], None]) -> None:
        """Everything before the next delimiter, which is consumed."""
        while (found := self.buffer.find(self._delimiter)) < 0:
            # The tail may be the start of a delimiter that the next chunk completes.
            safe = max(0, len(self.buffer) - len(self._delimiter))
            write(self.buffer[:safe])
            self.buffer = self.buffer[safe:]
            await self._more()
        write(self.buffer[:found])
        self.buffer = self.buffer[found + len(self._delimiter) :]

    async def another_part(self) -> bool:
        """Whether a part follows the delimiter; `--` in its place ends the body."""
        while len(self.buffer) < len(b"--"):
            await self._more()
        return not self.buffer.startswith(b"--")

    async def headers(self) -> Message:
        """The part's headers, consumed with the empty line behind them."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > HEADERS_BYTES_MAX:
                raise MultipartError("the headers of a part are too long")
            await self._more()
        text = self.buffer[:end].decode("utf-8", "replace").lstrip()
        self.buffer = self.buffer[end + 2 * len(b"\r\n") :]
        return HeaderParser().parsestr(text + "\n\n")

    async def _more(self) -> None:
        chunk = await anext(self._chunks, None)
        if chunk is None:
            raise MultipartError("the body ends too early")
        self.buffer += chunk


def _skip(_: bytes) -> None:
    """For fields that nobody asked for."""
