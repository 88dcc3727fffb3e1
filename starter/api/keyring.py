"""The keys that were found lately, so that a busy product doesn't cost a query a request.

A key is good here for up to `KEPT_S` after it was revoked, or its secret ended, in each process:
that is how long nobody asks PostgreSQL again. What is not good is never kept, so a new key works at
once, and no stranger fills the memory. Secrets are not kept either, only their hashes.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from activities.access.keys import Key, hash_of
from activities.access.repository import find, find_by_id
from activities.database.pool import Pool

KEPT_S = 5.0
"""Short enough to be told to a person who has just revoked a leaked key ("it ends within seconds"),
long enough that a page's two dozen requests cost one query."""

KEPT_MAX = 1024
"""Less than a megabyte. A deployment has a key per product, and a session per person."""


class _Kept(NamedTuple):
    key: Key
    asked_at: float


class Keyring:
    """One per process. `clock` counts seconds."""

    def __init__(
        self, *, kept_max: int = KEPT_MAX, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kept_max = kept_max
        self._clock = clock
        self._kept: OrderedDict[bytes | str, _Kept] = OrderedDict()

    def knows(self, secret: str) -> bool:
        """Whether this secret was good here before; it need not be any more."""
        return hash_of(secret) in self._kept

    async def of_secret(self, pool: Pool, secret: str) -> Key | None:
        """The key of a secret, as it was `KEPT_S` ago at most; None where there is none."""
        return await self._found(hash_of(secret), lambda: find(pool, secret))

    async def of_id(self, pool: Pool, key_id: str) -> Key | None:
        """The same by its id, for a session, which began with the secret."""
        return await self._found(key_id, lambda: find_by_id(pool, key_id))

    async def _found(
        self, name: bytes | str, ask: Callable[[], Awaitable[Key | None]]
    ) -> Key | None:
        # Counted from the question: the answer may be as old.
        now = self._clock()
        kept = self._kept.get(name)
        if kept is not None and now - kept.asked_at < KEPT_S:
            self._kept.move_to_end(name)
            return kept.key
        key = await ask()
        if key is None:
            self._kept.pop(name, None)
            return None
        self._kept[name] = _Kept(key, now)
        self._kept.move_to_end(name)
        if len(self._kept) > self._kept_max:
            self._kept.popitem(last=False)
        return key
