"""How many files come in at once, and how many are decoded: each takes disk, and each a process.

A process has one `Intake`. Who comes when it is full is told to come again; who has sent a file
waits for the decoder, since sending it anew would cost more.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starter.api.problems import Problem

UPLOADS_MAX = 64
"""At 200 MB each they fill 13 GB of disk at worst."""

UPLOADS_PER_KEY_MAX = 32
"""Half of them, so that one product's slow uploads leave room for everybody else's."""

DECODINGS_MAX = 4
"""Each is a process with up to 2 GB of memory; pictures take a tenth of a second."""

RETRY_AFTER_S = 5


class Intake:
    """The places for uploads and for decoders of one process."""

    def __init__(
        self,
        uploads_max: int = UPLOADS_MAX,
        uploads_per_key_max: int = UPLOADS_PER_KEY_MAX,
        decodings_max: int = DECODINGS_MAX,
    ) -> None:
        self._uploads_max = uploads_max
        self._uploads_per_key_max = uploads_per_key_max
        self._uploads: Counter[str] = Counter()
        self._decodings = asyncio.Semaphore(decodings_max)

    @asynccontextmanager
    async def upload(self, key_id: str) -> AsyncGenerator[None]:
        """A place for the files of one request of a key, from their first byte until stored.

        Raises:
            Problem: 503: there is none now, or the key has its share.
        """
        has_share = self._uploads[key_id] >= self._uploads_per_key_max
        if has_share or self._uploads.total() >= self._uploads_max:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many files come in at once. Try again in a few seconds.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
                kind="overloaded",
            )
        self._uploads[key_id] += 1
        try:
            yield
        finally:
            self._uploads[key_id] -= 1
            if not self._uploads[key_id]:
                del self._uploads[key_id]

    @asynccontextmanager
    async def decoding(self) -> AsyncGenerator[None]:
        """A place for one decoder, when its turn comes; for whatever asks it, also for a URL."""
        async with self._decodings:
            yield
