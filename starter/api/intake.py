"""How many files come in at once, and how many are decoded: each takes disk, and each a process.

A process has one `Intake`. Who comes when it is full is told to come again; who has sent a file
waits for the decoder, since sending it anew would cost more.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starter.api.problems import Problem

UPLOADS_MAX = 64
"""At 200 MB each they fill 13 GB of disk at worst."""

DECODINGS_MAX = 4
"""Each is a process with up to 2 GB of memory; pictures take a tenth of a second."""

RETRY_AFTER_S = 5


class Intake:
    """The places for uploads and for decoders of one process."""

    def __init__(self, uploads_max: int = UPLOADS_MAX, decodings_max: int = DECODINGS_MAX) -> None:
        self._uploads_left = uploads_max
        self._decodings = asyncio.Semaphore(decodings_max)

    @asynccontextmanager
    async def upload(self) -> AsyncGenerator[None]:
        """A place for one request's files, from their first byte until they are stored.

        Raises:
            Problem: 503: there is none now.
        """
        if not self._uploads_left:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many files come in at once. Try again in a few seconds.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
                kind="overloaded",
            )
        self._uploads_left -= 1
        try:
            yield
        finally:
            self._uploads_left += 1

    @asynccontextmanager
    async def decoding(self) -> AsyncGenerator[None]:
        """A place for one decoder, when its turn comes; for whatever asks it, also for a URL."""
        async with self._decodings:
            yield
