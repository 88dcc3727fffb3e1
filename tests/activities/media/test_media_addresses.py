import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.media.addresses import (
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
