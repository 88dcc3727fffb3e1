"""Which network addresses a stranger's URL may lead to, and a connection to exactly those.

A host name is resolved once, every address it has is checked, and the connection is made to a
checked address itself: a name that changes its answer between the check and the connection gains
nothing. TLS still asks for the host by its name.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import cache
from queue import SimpleQueue
from threading import Thread
from typing import cast

import httpcore

from activities.media.errors import FetchFailed, UrlRefused

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to IP addresses in text; raises OSError."""

AddressRule = Callable[[str], str | None]
"""An IP address to the reason why it is refused, None if it is fine."""

_ADDRESSES_TRIED_MAX = 3

RESOLVING_THREADS = 8
"""Look-ups at once in a process. A nameserver that never answers holds one of them for as long as
the system tries, often 10 to 30 s; whoever waits behind it has their own connect timeout."""

_REFUSED_V4 = {
    "this network": "0.0.0.0/8",
    "a private network": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
    "a carrier's private network": "100.64.0.0/10",
    "this machine": "127.0.0.0/8",
    "a link-local or metadata address": "169.254.0.0/16 168.63.129.16/32",
    "a reserved address": "192.0.0.0/24 192.88.99.0/24 198.18.0.0/15 240.0.0.0/4",
    "a documentation address": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24",
    "a multicast address": "224.0.0.0/4",
}
"""IANA's special-purpose registry, and Azure's metadata address, which looks public."""

_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
"""All that is routed; mapped IPv4, NAT64, link-local, unique-local and multicast lie outside."""

_REFUSED_V6 = {
    "a reserved or tunnelled address": "2001::/23 2002::/16",
    "a documentation address": "2001:db8::/32 3fff::/20",
}


def _networks(
    table: dict[str, str],
) -> list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, str]]:
    return [
        (ipaddress.ip_network(network), reason)
        for reason, networks in table.items()
        for network in networks.split()
    ]


_REFUSED = _networks(_REFUSED_V4) + _networks(_REFUSED_V6)


def why_not_public(address: str) -> str | None:
    """What a non-public IP address is, None for a public one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "no IP address"
    for network, reason in _REFUSED:
        if ip.version == network.version and ip in network:
            return reason
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_V6:
        return "not a public IPv6 address"
    return None


def why_not_public_or_loopback(address: str) -> str | None:
    """The same, but this machine's own address is fine: for tests."""
    return None if address in ("127.0.0.1", "::1") else why_not_public(address)


def any_address(address: str) -> str | None:
    """For hosts that an operator has named."""
    del address


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The system's answer, in its order of preference.

    Strangers choose the names and their nameservers, so these are looked up in threads of their
    own: in the event loop's they would hold up the provider's look-ups and every `to_thread`.
    """
    return await asyncio.wrap_future(_look_ups().ask(host, port))


async def trusted_resolver(host: str, port: int) -> Sequence[str]:
    """The same for hosts that an operator named: no stranger's name is waited for before theirs."""
    return await asyncio.to_thread(_addresses_of, host, port)


class _LookUps:
    """A few threads that look names up.

    They are daemons, which an executor's threads are not: a process ends without waiting for an
    answer that never comes.
    """

    def __init__(self) -> None:
        self._asked = SimpleQueue[tuple[Future[list[str]], str, int]]()
        for number in range(RESOLVING_THREADS):
            Thread(target=self._work, name=f"resolving-{number}", daemon=True).start()

    def ask(self, host: str, port: int) -> Future[list[str]]:
        """The host's addresses; one that is cancelled before its turn is not looked up."""
        answer = Future[list[str]]()
        self._asked.put((answer, host, port))
        return answer

    def _work(self) -> None:
        while True:
            answer, host, port = self._asked.get()
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(_addresses_of(host, port))
            except Exception as error:  # noqa: BLE001 - whoever asked raises it; the thread goes on
                answer.set_exception(error)


@cache
def _look_ups() -> _LookUps:
    """Started with the first name: many processes look none up."""
    return _LookUps()


def _addresses_of(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were resolved once and passed the rule, all of them.

    Raises:
        UrlRefused: From `connect_tcp`: an address of the host is not allowed.
        FetchFailed: The host has no address.
    """

    def __init__(self, resolver: Resolver, rule: AddressRule) -> None:
        self._resolver = resolver
        self._rule = rule
        self._pinned: dict[tuple[str, int], Sequence[str]] = {}
        # Its type is a union with what stands in for it where anyio is missing.
        self._network = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the host's first address that answers."""
        addresses = await self._checked(host, port, timeout)
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # The next address of the same host; the last one's error counts.
        return await self._network.connect_tcp(
            addresses[-1], port, timeout, local_address, socket_options
        )

    async def sleep(self, seconds: float) -> None:
        """As httpcore asks."""
        await asyncio.sleep(seconds)

    async def _checked(self, host: str, port: int, timeout_s: float | None) -> Sequence[str]:
        known = self._pinned.get((host, port))
        if known:
            return known
        try:
            async with asyncio.timeout(timeout_s):
                addresses = await self._resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise FetchFailed(f"the host {host} was not found") from error
        if not addresses:
            raise FetchFailed(f"the host {host} was not found")
        for address in addresses:
            reason = self._rule(address)
            if reason:
                raise UrlRefused(f"the host {host} leads to {reason}, which is not visited")
        self._pinned[host, port] = addresses[:_ADDRESSES_TRIED_MAX]
        return self._pinned[host, port]
