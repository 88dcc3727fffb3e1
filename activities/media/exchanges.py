"""One HTTP exchange with a stranger's server: at a checked address, and bounded in time.

Requests carry no key and no cookie, use no proxy and follow no redirect by themselves. They go
through httpcore rather than httpx, whose log lines would hold signed URLs.
"""

import asyncio
import functools
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpcore
import httpx

from activities.media.addresses import PinnedBackend
from activities.media.errors import FetchFailed
from activities.media.fetch_policies import FetchPolicy
from activities.media.locations import Location

Headers = Sequence[tuple[bytes, bytes]]


@asynccontextmanager
async def bounded(location: Location, policy: FetchPolicy) -> AsyncGenerator[None]:
    """Give the block the policy's whole time; what the network does to it is told by the host.

    Raises:
        FetchFailed: the time is over, or the connection failed.
    """
    try:
        async with asyncio.timeout(policy.total_timeout_s):
            yield
    except TimeoutError as error:
        limit = f"{policy.total_timeout_s:g} s"
        raise FetchFailed(f"{location.host} did not finish within {limit}") from error
    except httpcore.TimeoutException as error:
        raise FetchFailed(f"{location.host} stopped answering") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        kind = type(error).__name__
        raise FetchFailed(f"the connection to {location.host} failed: {kind}") from error


def connections(policy: FetchPolicy) -> httpcore.AsyncConnectionPool:
    """Connections to addresses that the policy allows, resolved once; a context manager."""
    return httpcore.AsyncConnectionPool(
        ssl_context=policy.ssl_context or _public_authorities(),
        max_connections=1,
        network_backend=PinnedBackend(policy.resolver, policy.address_rule),
    )


def exchange(
    pool: httpcore.AsyncConnectionPool,
    location: Location,
    policy: FetchPolicy,
    *,
    headers: Headers,
    content: bytes | None = None,
) -> AbstractAsyncContextManager[httpcore.Response]:
    """The answer to a GET, or to a POST of `content`; its body is read by the caller, or not."""
    timeouts = {
        "connect": policy.connect_timeout_s,
        "read": policy.idle_timeout_s,
        "write": policy.idle_timeout_s,
        "pool": policy.connect_timeout_s,
    }
    url = httpcore.URL(
        scheme=location.scheme.encode(),
        host=location.host.encode(),
        port=location.port,
        target=location.target.encode(),
    )
    always = [
        (b"Host", location.host_header.encode()),
        (b"Accept", b"*/*"),
        (b"User-Agent", b"stillmotion"),
    ]
    return pool.stream(
        "GET" if content is None else "POST",
        url,
        headers=[*always, *headers],
        content=content,
        extensions={"timeout": timeouts},
    )


@functools.cache
def _public_authorities() -> ssl.SSLContext:
    """Made once, since reading the authorities takes longer than a request."""
    return httpx.create_ssl_context(trust_env=False)
