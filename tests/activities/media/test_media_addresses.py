import asyncio
import ipaddress
import socket
import sys
from collections.abc import Iterator
from threading import Event, Lock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.media.addresses import (
    RESOLVING_THREADS,
    system_resolver,
    why_not_public,
    why_not_public_or_loopback,
)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",  # Alibaba's metadata
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",  # Azure's metadata
        "169.254.169.254",  # everyone else's metadata
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",  # Oracle's metadata
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",  # Amazon's metadata
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "not-an-address",
        "",
    ],
)
def test_an_address_that_is_not_public_is_refused_with_a_reason(address: str) -> None:
    assert why_not_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1"]
)
def test_a_public_address_is_visited(address: str) -> None:
    assert why_not_public(address) is None


@given(st.ip_addresses())
def test_no_address_passes_that_the_standard_library_knows_not_to_be_global(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if why_not_public(str(address)) is None:
        assert address.is_global
        assert not address.is_multicast


def test_for_tests_only_the_loopback_address_is_added() -> None:
    assert why_not_public_or_loopback("127.0.0.1") is None
    assert why_not_public_or_loopback("::1") is None
    assert why_not_public_or_loopback("10.0.0.1")
    assert why_not_public_or_loopback("::ffff:127.0.0.1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost"])
async def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    addresses = await system_resolver(host, 443)

    assert addresses
    assert all(why_not_public(address) for address in addresses)


class SilentNameserver:
    """The system's look-up where nobody answers, until `answering` is set."""

    def __init__(self) -> None:
        self.answering = Event()
        self.asked = 0
        self.lock = Lock()

    def getaddrinfo(self, *_host: object, **_kind: object) -> list[object]:
        with self.lock:
            self.asked += 1
        self.answering.wait()
        raise socket.gaierror


@pytest.fixture
def nameserver(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentNameserver]:
    silent = SilentNameserver()
    monkeypatch.setattr(socket, "getaddrinfo", silent.getaddrinfo)
    yield silent
    silent.answering.set()


async def test_a_nameserver_that_never_answers_holds_only_its_own_threads(
    nameserver: SilentNameserver,
) -> None:
    # More than the event loop's own executor has threads for, on any machine.
    asking = [asyncio.create_task(system_resolver("slow.example", 443)) for _ in range(40)]
    await asyncio.sleep(0)

    # Each of these would wait for ever in a thread pool that is held.
    async with asyncio.timeout(10):
        while nameserver.asked < RESOLVING_THREADS:
            await asyncio.to_thread(lambda: None)

    assert nameserver.asked == RESOLVING_THREADS
    nameserver.answering.set()
    assert all(
        isinstance(one, OSError) for one in await asyncio.gather(*asking, return_exceptions=True)
    )
    assert nameserver.asked == len(asking)


async def test_a_look_up_that_nobody_waits_for_any_more_is_not_made(
    nameserver: SilentNameserver,
) -> None:
    asking = [asyncio.create_task(system_resolver("slow.example", 443)) for _ in range(40)]
    async with asyncio.timeout(10):
        while nameserver.asked < RESOLVING_THREADS:
            await asyncio.sleep(0.01)
    for one in asking:
        one.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    nameserver.answering.set()

    with pytest.raises(socket.gaierror):
        await system_resolver("next.example", 443)

    assert nameserver.asked == RESOLVING_THREADS + 1


ENDS_WITH_A_LOOK_UP_UNDER_WAY = """
import asyncio, socket, threading
from activities.media.addresses import system_resolver

asked = threading.Event()

def getaddrinfo(*_, **__):
    asked.set()
    threading.Event().wait()

async def main():
    asking = asyncio.create_task(system_resolver("slow.example", 443))
    while not asked.is_set():
        await asyncio.sleep(0.01)

socket.getaddrinfo = getaddrinfo
asyncio.run(main())
"""


async def test_a_process_ends_though_a_nameserver_never_answers() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ENDS_WITH_A_LOOK_UP_UNDER_WAY
    )

    try:
        code = await asyncio.wait_for(process.wait(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert code == 0
