"""Which callback URLs may be called, and at what cost: said early, and kept when it is done.

A caller names the URL, so it may lead anywhere: to public addresses only, by https on its own port.
A deployment may allow its own network, but never a cloud's metadata service.
"""

import ipaddress

from activities.callbacks.repository import SQL
from activities.callbacks.settings import CallbackSettings
from activities.database.pool import Pool
from activities.media.addresses import why_not_public
from activities.media.errors import UrlRefused
from activities.media.fetch_policies import FetchPolicy, require_https
from activities.media.locations import Location, parse_location
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.requests import GenerationRequest

_OWN_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("::1/128", "fc00::/7"),
    )
)
_METADATA = tuple(
    ipaddress.ip_network(network)
    for network in (
        "fd00:ec2::/32",  # Amazon's: of instances ::254, of EKS' pods ::23
        "fd20:ce::/32",  # Google's: ::254
        "fd00:c1::/32",  # Oracle's: ::a9fe:a9fe
    )
)
"""Clouds' metadata services inside private networks; the others lie outside of these."""

CONNECT_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 15.0
"""A receiver takes a message and works on it later: Standard Webhooks asks for 15 to 30 s."""


def callback_policy(settings: CallbackSettings) -> FetchPolicy:
    """Where a callback may lead; no redirect is followed and no answer's body read."""
    private = settings.allow_private_callbacks
    return FetchPolicy(
        check=_anywhere if private else require_https,
        address_rule=why_not_public_or_own if private else why_not_public,
        size_bytes_max=0,
        redirects_max=0,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        idle_timeout_s=TOTAL_TIMEOUT_S,
        total_timeout_s=TOTAL_TIMEOUT_S,
    )


def why_not_public_or_own(address: str) -> str | None:
    """The same as `why_not_public`, but this machine and private networks are fine."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return why_not_public(address)
    own = any(ip in network for network in _OWN_NETWORKS)
    metadata = any(ip in network for network in _METADATA)
    return None if own and not metadata else why_not_public(address)


async def require_callback(
    pool: Pool, request: GenerationRequest, settings: CallbackSettings
) -> None:
    """Refuse a request whose callbacks could never be told; one without a callback_url is fine.

    Raises:
        RequestRefused: `invalid_request`: the URL is not one that this deployment calls, or nothing
            signs for the request's source.
    """
    if request.callback_url is None:
        return
    try:
        _check(request.callback_url, callback_policy(settings))
    except UrlRefused as error:
        raise _refused(
            f"{error}, or an operator's STILLMOTION_ALLOW_PRIVATE_CALLBACKS."
            if not settings.allow_private_callbacks
            else f"{error}."
        ) from error
    if not await pool.fetchval(SQL["has_secret"], request.source.value):
        raise _refused(no_secret(request.source.value))


def no_secret(source: str) -> str:
    """What to do where nothing signs for a source."""
    return (
        f"nothing signs for the source {source} yet;"
        f" an operator makes its secret: stillmotion callbacks secret {source}"
    )


def _check(url: str, policy: FetchPolicy) -> None:
    location = parse_location(url)
    policy.check(location)
    # A name's addresses are judged when it is called; what is no name is judged at once.
    literal = "127.0.0.1" if location.host == "localhost" else location.host
    try:
        ipaddress.ip_address(literal)
    except ValueError:
        return
    if (reason := policy.address_rule(literal)) is not None:
        raise UrlRefused(f"the URL names {reason}; allowed: a public address")


def _anywhere(location: Location) -> None:
    """Any scheme and port: the address alone is judged."""
    del location


def _refused(told: str) -> RequestRefused:
    return RequestRefused(FailureKind.INVALID_REQUEST, f"callback_url: {told}")
