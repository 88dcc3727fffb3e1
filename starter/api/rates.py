"""How fast one key may ask, how much at once, and how often one address may fail to say who it is.

Token buckets in the memory of each process: where several serve a deployment, each grants as much.
A bucket holds a tenth of a minute's tokens, ten at least, and fills evenly; what is refused takes
none. There are never more buckets than `KEPT_MAX` of a kind: whoever comes back after so many
others begins with a full one.
"""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple

from activities.access.keys import Key
from starter.api.problems import Problem

BURST_MIN = 10
BURST_SHARE = 10
"""A tenth of a minute's."""

ATTEMPTS_PER_MINUTE = 600
"""Per address, behind which a whole office may be. Guessing 256 bits is hopeless at any rate: this
bounds the work that strangers make."""

AT_ONCE_MAX = 2000
"""Requests of one key under way, event streams among them: fewer than half of the connections, so
that no product locks the others out."""

KEPT_MAX = 4096
"""Buckets of a kind, about a megabyte."""

_IPV6_PREFIX = 64
"""What one subscriber has."""


class Allowance(NamedTuple):
    """What a caller may do."""

    per_minute: int
    burst: int
    remaining: int
    """How many requests it may send right now."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The same as headers of a reply: the limit is the bucket's size."""
        policy = f"{self.per_minute};w=60;burst={self.burst}"
        return [
            (b"ratelimit-limit", str(self.burst).encode()),
            (b"ratelimit-remaining", str(self.remaining).encode()),
            (b"ratelimit-policy", policy.encode()),
        ]


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


class _Buckets:
    """Buckets by name, those that were used last."""

    def __init__(self, clock: Callable[[], float], kept_max: int) -> None:
        self._clock = clock
        self._kept_max = kept_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def filled(self, name: str, per_minute: int) -> _Bucket:
        """The bucket of that name, as full as it is by now."""
        now, burst = self._clock(), burst_of(per_minute)
        bucket = self._buckets.setdefault(name, _Bucket(burst, now))
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._kept_max:
            self._buckets.popitem(last=False)
        grown = bucket.tokens + (now - bucket.filled_at) * per_minute / 60
        bucket.tokens, bucket.filled_at = min(burst, grown), now
        return bucket


class Rates:
    """One per process. `clock` counts seconds."""

    def __init__(
        self,
        *,
        attempts_per_minute: int = ATTEMPTS_PER_MINUTE,
        at_once_max: int = AT_ONCE_MAX,
        kept_max: int = KEPT_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attempts_per_minute = attempts_per_minute
        self._at_once_max = at_once_max
        self._keys = _Buckets(clock, kept_max)
        self._addresses = _Buckets(clock, kept_max)
        self._under_way: Counter[str] = Counter()

    def take(self, key: Key) -> Allowance:
        """One request of a key; what it may do after it.

        Raises:
            Problem: 429: the next one is granted after `Retry-After` seconds.
        """
        per_minute = key.requests_per_minute
        bucket = self._keys.filled(key.key_id, per_minute)
        if bucket.tokens < 1:
            detail = f"This key may send {per_minute} requests a minute."
            raise _too_many(detail, _wait_s(bucket, per_minute))
        bucket.tokens -= 1
        return Allowance(per_minute, burst_of(per_minute), int(bucket.tokens))

    @contextmanager
    def under_way(self, key_id: str) -> Generator[None]:
        """A request of a key, from its first to its last byte.

        Raises:
            Problem: 429: too many of them are under way.
        """
        if self._under_way[key_id] >= self._at_once_max:
            detail = f"This key has {self._at_once_max} requests under way: end some of them."
            raise _too_many(detail, 1)
        self._under_way[key_id] += 1
        try:
            yield
        finally:
            self._under_way[key_id] -= 1
            if not self._under_way[key_id]:
                del self._under_way[key_id]

    @property
    def kept(self) -> int:
        """How many keys' buckets are remembered, and how many keys have requests under way."""
        return len(self._keys) + len(self._under_way)

    def require_attempt(self, address: str | None) -> None:
        """Make sure that somebody at this address may still say who they are.

        Raises:
            Problem: 429: the address failed too often of late.
        """
        bucket = self._addresses.filled(_network_of(address), self._attempts_per_minute)
        if bucket.tokens < 1:
            detail = "Authorization: too many attempts of this address failed."
            raise _too_many(detail, _wait_s(bucket, self._attempts_per_minute))

    def count_attempt(self, address: str | None) -> None:
        """Somebody at this address could not say who they are.

        Raises:
            Problem: as `require_attempt`, instead of counting it.
        """
        self.require_attempt(address)
        self._addresses.filled(_network_of(address), self._attempts_per_minute).tokens -= 1


def burst_of(per_minute: int) -> int:
    """How many requests may come at once."""
    return max(BURST_MIN, math.ceil(per_minute / BURST_SHARE))


def _wait_s(bucket: _Bucket, per_minute: int) -> int:
    """Whole seconds until the bucket holds a token."""
    return max(1, math.ceil((1 - bucket.tokens) * 60 / per_minute))


def _too_many(detail: str, wait_s: int) -> Problem:
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"{detail} Try again in {wait_s} s.",
        headers={"Retry-After": str(wait_s)},
        kind="rate_limited",
    )


def _network_of(address: str | None) -> str:
    """Who shares a bucket: an IPv4 address, or the network of an IPv6 one."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        # A Unix socket has none.
        return address or ""
    if isinstance(parsed, IPv6Address):
        # A socket for both kinds tells an IPv4 address so.
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed.packed, _IPV6_PREFIX), strict=False))
    return str(parsed)
