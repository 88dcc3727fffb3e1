"""Fetches a file from a URL to the disk: counted, hashed, bounded, and only from where it may come.

Two policies say from where: `guarded_input_policy` for URLs that callers send, `output_policy` for
the provider's results. What goes over the network is `exchanges`'s.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import httpcore

from activities.media.errors import (
    FetchExpired,
    FetchFailed,
    FetchTooLarge,
    StoreFull,
    UrlRefused,
    is_disk_full,
)
from activities.media.exchanges import bounded, connections, exchange
from activities.media.fetch_policies import FetchPolicy, guarded_input_policy, output_policy
from activities.media.locations import Location, parse_location

__all__ = ["FetchPolicy", "Fetched", "fetch", "guarded_input_policy", "output_policy"]

_OK = 200
_REDIRECTS = (301, 302, 303, 307, 308)
_EXPIRED = (403, 404, 410)
_BLOCK_SIZE_BYTES = 1024 * 1024
_MIME_TYPE = re.compile(r"[a-z0-9.+-]{1,64}/[a-z0-9.+-]{1,64}")
_MIME_TYPE_UNKNOWN = "application/octet-stream"
_AS_IT_IS = ((b"Accept-Encoding", b"identity"),)
"""The bytes are hashed and measured as they come."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came. The MIME type is the server's claim; only decoding tells."""

    size_bytes: int
    sha256: str
    mime_type: str


async def fetch(
    url: str,
    to: Path,
    *,
    policy: FetchPolicy,
    on_bytes: Callable[[int], None] | None = None,
) -> Fetched:
    """Stream the file at `url` to `to`; nothing is left there on failure.

    The file is not synced: the store does that with its own copy.

    Args:
        url: Followed through redirects on its own host only.
        to: Overwritten.
        policy: One of the two above.
        on_bytes: Told the number of bytes so far after each block of a megabyte.

    Raises:
        UrlRefused: The URL, its host's address or a redirect is against the policy.
        FetchTooLarge: More than `size_bytes_max`.
        FetchExpired: 403, 404 or 410.
        FetchFailed: Anything that another try may mend.
        StoreFull: The local disk is full.
    """
    location = parse_location(url)
    policy.check(location)
    with _cleaned_up(to):
        async with bounded(location, policy), _answer(location, policy) as answer:
            return await _save(answer, location, to, policy.size_bytes_max, on_bytes)
    raise AssertionError("the block returns or raises")


@contextmanager
def _cleaned_up(to: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        to.unlink(missing_ok=True)
        if is_disk_full(error):
            raise StoreFull("could not save a download: the disk is full") from error
        raise
    except BaseException:
        to.unlink(missing_ok=True)
        raise


@asynccontextmanager
async def _answer(location: Location, policy: FetchPolicy) -> AsyncGenerator[httpcore.Response]:
    """The 200 at the end of the redirects."""
    async with connections(policy) as pool:
        for _ in range(policy.redirects_max + 1):
            async with exchange(pool, location, policy, headers=_AS_IT_IS) as answer:
                if answer.status not in _REDIRECTS:
                    _check_status(location, answer)
                    yield answer
                    return
                location = _redirected(location, answer, policy)
    raise UrlRefused(f"{location.host} redirects more than {policy.redirects_max} times")


def _header(answer: httpcore.Response, name: bytes) -> str:
    values = [value for key, value in answer.headers if key.lower() == name]
    return values[0].decode("latin-1").strip() if values else ""


def _check_status(location: Location, answer: httpcore.Response) -> None:
    status = answer.status
    if status in _EXPIRED:
        raise FetchExpired(f"{location.host} no longer has the file (HTTP {status})", status)
    if status != _OK:
        raise FetchFailed(f"{location.host} answered with HTTP {status}", status)
    if _header(answer, b"content-encoding").lower() not in ("", "identity"):
        raise FetchFailed(f"{location.host} sent the file in an encoding that was not asked for")


def _redirected(location: Location, answer: httpcore.Response, policy: FetchPolicy) -> Location:
    target = location.joined(_header(answer, b"location"))
    if target.origin != location.origin:
        raise UrlRefused(f"{location.host} redirects to another host, {target.host_header}")
    policy.check(target)
    return target


async def _save(
    answer: httpcore.Response,
    location: Location,
    to: Path,
    size_bytes_max: int,
    on_bytes: Callable[[int], None] | None,
) -> Fetched:
    promised = _header(answer, b"content-length")
    if promised.isdecimal() and int(promised) > size_bytes_max:
        raise _too_large(location, size_bytes_max)
    file = await asyncio.to_thread(to.open, "wb")
    with file:
        async with _Sink(file) as sink:
            async for chunk in answer.aiter_stream():
                if sink.size_bytes + len(chunk) > size_bytes_max:
                    raise _too_large(location, size_bytes_max)
                if await sink.add(chunk) and on_bytes:
                    on_bytes(sink.size_bytes)
            await sink.finish()
    if promised.isdecimal() and int(promised) != sink.size_bytes:
        raise FetchFailed(f"{location.host} sent {sink.size_bytes} of {promised} bytes")
    if on_bytes:
        on_bytes(sink.size_bytes)
    mime_type = _header(answer, b"content-type").partition(";")[0].strip().lower()
    known = _MIME_TYPE.fullmatch(mime_type)
    return Fetched(sink.size_bytes, sink.digest(), mime_type if known else _MIME_TYPE_UNKNOWN)


def _too_large(location: Location, size_bytes_max: int) -> FetchTooLarge:
    limit = f"at most {size_bytes_max:,} bytes"
    return FetchTooLarge(f"the file at {location.host} is too large; allowed: {limit}")


class _Sink:
    """Counts, hashes and writes; a thread has one block while the loop reads the next one.

    Leaving its block waits for that thread: the file is not closed under its hands.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._block = bytearray()
        self._writing: asyncio.Future[None] | None = None
        self.size_bytes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._writing is not None:
            await asyncio.wait({self._writing})
            # Whatever ended the block comes first; a failed write beside it is no news.
            self._writing.exception()

    async def add(self, chunk: bytes) -> bool:
        """Whether a block is on its way to the disk."""
        self._block += chunk
        self.size_bytes += len(chunk)
        if len(self._block) < _BLOCK_SIZE_BYTES:
            return False
        await self._hand_over()
        return True

    async def finish(self) -> None:
        """Have the rest written."""
        await self._hand_over()
        await self._written()

    async def _hand_over(self) -> None:
        await self._written()
        block, self._block = self._block, bytearray()
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, block)

    async def _written(self) -> None:
        if self._writing is not None:
            # A cancel would end the future and not the thread.
            await asyncio.shield(self._writing)
            self._writing = None

    def _write(self, block: bytearray) -> None:
        self._sha256.update(block)
        self._file.write(block)

    def digest(self) -> str:
        return self._sha256.hexdigest()
