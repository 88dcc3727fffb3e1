"""Files as they stream in: a whole body, or the parts of `multipart/form-data`.

They go to a folder, block by block; in memory are one block and the small part that is JSON. Parts
come in any order, each once. What is refused is refused before the rest is read: a name that nobody
knows, a wrong media type, the first byte over a part's limit. How slowly a body may come is
watched by `bodies`.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from fastapi import Request

from activities.media.store_errors import translated
from starter.api.multipart import UNTYPED, Begun, Ended, Event, Parser, malformed
from starter.api.problems import Problem
from workflows.contracts.failures import FailureKind, RequestRefused

_BLOCK_SIZE_BYTES = 1024 * 1024
_FRAMING_SIZE_BYTES_MAX = 64 * 1024
_NAME_CHARACTERS_MAX = 80


class Allowed(NamedTuple):
    """What may stand in a part."""

    size_bytes_max: int
    media_types: tuple[str, ...]
    """Beginnings: `image/` is any picture."""
    is_file: bool = True
    """Whether it goes to the folder; else it is kept in memory."""


class Form(NamedTuple):
    """What came."""

    texts: dict[str, bytes]
    files: dict[str, Path]
    """Each is named like its part."""


def media_type_of(request: Request) -> str:
    """What the body is said to be, in lower case without parameters; empty where it isn't said."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_form(request: Request, folder: Path, allowed: Mapping[str, Allowed]) -> Form:
    """The parts of a `multipart/form-data` body; its files are in `folder` afterwards.

    Raises:
        RequestRefused: it is malformed or ends too early, or a part is unknown or comes twice.
        Problem: 413: a part is too large. 415: it is of another media type.
        ClientDisconnect: the sender has gone.
        StoreError: a file could not be written.
    """
    parser, reader = Parser(request), _Reader(folder, allowed)
    left = _FRAMING_SIZE_BYTES_MAX + sum(each.size_bytes_max for each in allowed.values())
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    # Each part has its own limit, so what is too long stands around them.
                    raise malformed("too much stands around its parts")
                for event in parser.feed(chunk):
                    await reader.take(event)
                if parser.has_ended:
                    break
    finally:
        reader.close()
    if not parser.has_ended:
        raise malformed("it ends before its last part does")
    return reader.form


async def read_file(request: Request, path: Path, allowed: Allowed) -> None:
    """The body itself as a file; errors call it by the name of `path`.

    Raises:
        Problem, ClientDisconnect, StoreError: as `read_form`.
    """
    _require_type(path.name, media_type_of(request) or UNTYPED, allowed)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > allowed.size_bytes_max:
        raise _too_large(path.name, allowed)
    file = _File(path, allowed)
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                await file.write(chunk)
        await file.finish()
    finally:
        file.close()


class _Reader:
    """Takes the parts, one after the other."""

    def __init__(self, folder: Path, allowed: Mapping[str, Allowed]) -> None:
        self.form = Form({}, {})
        self._folder = folder
        self._allowed = allowed
        self._part: _File | _Text | None = None

    async def take(self, event: Event) -> None:
        """What happens next."""
        if isinstance(event, Begun):
            self._part = self._begun(event.name, event.media_type)
            return
        assert self._part is not None, "a part begins before its data and its end"
        if isinstance(event, Ended):
            await self._part.finish()
            self._part = None
        else:
            await self._part.write(event)

    def close(self) -> None:
        """Let go of the part that did not end."""
        if self._part is not None:
            self._part.close()

    def _begun(self, name: str, media_type: str) -> "_File | _Text":
        allowed = self._allowed.get(name)
        if allowed is None:
            told = f"{name[:_NAME_CHARACTERS_MAX]!r}: no such part"
            known = ", ".join(self._allowed)
            raise RequestRefused(FailureKind.INVALID_REQUEST, f"{told}; allowed: {known}.")
        if name in self.form.files or name in self.form.texts:
            raise RequestRefused(FailureKind.INVALID_REQUEST, f"{name}: the part came twice.")
        _require_type(name, media_type, allowed)
        if not allowed.is_file:
            self.form.texts[name] = b""
            return _Text(name, allowed, self.form.texts)
        path = self.form.files[name] = self._folder / name
        return _File(path, allowed)


class _Text:
    """A small part, kept in memory."""

    def __init__(self, name: str, allowed: Allowed, texts: dict[str, bytes]) -> None:
        self._name = name
        self._allowed = allowed
        self._texts = texts
        self._content = bytearray()

    async def write(self, data: bytes) -> None:
        self._content += data
        if len(self._content) > self._allowed.size_bytes_max:
            raise _too_large(self._name, self._allowed)

    async def finish(self) -> None:
        self._texts[self._name] = bytes(self._content)

    def close(self) -> None:
        """Nothing is held."""


class _File:
    """A file, written by the block in a thread: a slow disk holds nobody else up."""

    def __init__(self, path: Path, allowed: Allowed) -> None:
        self._name = path.name
        self._allowed = allowed
        self._size_bytes = 0
        self._block = bytearray()
        with translated("receive a file"):
            self._file = path.open("xb")

    async def write(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._size_bytes > self._allowed.size_bytes_max:
            raise _too_large(self._name, self._allowed)
        self._block += data
        if len(self._block) >= _BLOCK_SIZE_BYTES:
            await self._write_block()

    async def finish(self) -> None:
        await self._write_block()
        with translated("receive a file"):
            await asyncio.to_thread(self._file.close)

    def close(self) -> None:
        # What is not finished is thrown away, so that it can't be written is no news.
        with suppress(OSError):
            self._file.close()

    async def _write_block(self) -> None:
        block, self._block = self._block, bytearray()
        with translated("receive a file"):
            await asyncio.to_thread(self._file.write, block)


def _require_type(name: str, media_type: str, allowed: Allowed) -> None:
    if media_type == UNTYPED or media_type.startswith(allowed.media_types):
        return
    known = ", ".join(f"{each}*" if each.endswith("/") else each for each in allowed.media_types)
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"{name}: {media_type[:_NAME_CHARACTERS_MAX]}; allowed: {known}.",
        kind="unsupported_media_type",
    )


def _too_large(name: str, allowed: Allowed) -> Problem:
    detail = f"{name}: too large; allowed: at most {allowed.size_bytes_max:,} bytes."
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, kind="too_large")
