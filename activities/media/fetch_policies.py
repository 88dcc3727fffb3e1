"""Where a URL may lead and what following it may cost.

A caller's URL may name any host of the internet, and therefore none behind our own walls; the
provider's results come from a few hosts that an operator has named.
"""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from activities.media.addresses import (
    AddressRule,
    Resolver,
    any_address,
    system_resolver,
    trusted_resolver,
    why_not_public,
    why_not_public_or_loopback,
)
from activities.media.errors import UrlRefused
from activities.media.files import INPUT_SIZE_BYTES_MAX, OUTPUT_SIZE_BYTES_MAX
from activities.media.locations import Location, parse_location

_HTTPS_PORT = 443
_LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Where a URL may lead and what the answer may cost."""

    check: Callable[[Location], None]
    """Raises UrlRefused for a URL that is not visited; called again for each redirect."""
    address_rule: AddressRule
    size_bytes_max: int
    resolver: Resolver = system_resolver
    ssl_context: ssl.SSLContext | None = None
    """None trusts the public authorities."""
    redirects_max: int = 3
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 60.0
    """Between two reads: a server that stalls."""
    total_timeout_s: float = 1800.0
    """For everything: a server that drips. 2 GiB in half an hour is 1.2 MB/s."""


def guarded_input_policy(
    *,
    size_bytes_max: int = INPUT_SIZE_BYTES_MAX,
    allow_loopback: bool = False,
    resolver: Resolver = system_resolver,
    ssl_context: ssl.SSLContext | None = None,
) -> FetchPolicy:
    """For URLs from callers: https on port 443, and only to public addresses.

    Args:
        size_bytes_max: The largest file that is taken.
        allow_loopback: Also http and any port on this machine: the setting `allow_private_inputs`.
        resolver: Asked once per fetch.
        ssl_context: For a private authority.
    """

    def check(location: Location) -> None:
        if allow_loopback and location.host in _LOOPBACK_HOSTS:
            return
        require_https(location)

    rule = why_not_public_or_loopback if allow_loopback else why_not_public
    return FetchPolicy(check, rule, size_bytes_max, resolver, ssl_context)


def require_https(location: Location) -> None:
    """The one way to a stranger's server.

    Raises:
        UrlRefused: not https, or not on its own port.
    """
    if location.scheme != "https":
        raise UrlRefused("the URL begins with http://; allowed: https://")
    if location.port != _HTTPS_PORT:
        raise UrlRefused(f"the URL names port {location.port}; allowed: {_HTTPS_PORT}")


def output_policy(
    download_hosts: Sequence[str],
    base_url: str,
    *,
    size_bytes_max: int = OUTPUT_SIZE_BYTES_MAX,
    resolver: Resolver = trusted_resolver,
    ssl_context: ssl.SSLContext | None = None,
) -> FetchPolicy:
    """For the provider's results: https from the named hosts, or its base URL's own origin.

    An operator named these hosts, so their addresses are not judged.

    Args:
        download_hosts: The setting: `name`, or `*.name` for every host below it.
        base_url: The provider's, with its scheme and port.
        size_bytes_max: The largest file that is taken.
        resolver: Asked once per fetch.
        ssl_context: For a private authority.

    Raises:
        UrlRefused: The base URL is no URL.
    """
    own = parse_location(base_url).origin

    def check(location: Location) -> None:
        known = any(_matches(location.host, pattern) for pattern in download_hosts)
        https = (location.scheme, location.port) == ("https", _HTTPS_PORT)
        if location.origin != own and not (known and https):
            raise UrlRefused(
                f"{location.scheme}://{location.host_header} is not a host that outputs come from; "
                "allowed: https and STILLMOTION_DOWNLOAD_HOSTS"
            )

    return FetchPolicy(check, any_address, size_bytes_max, resolver, ssl_context)


def _matches(host: str, pattern: str) -> bool:
    pattern = pattern.lower()
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return host == pattern
