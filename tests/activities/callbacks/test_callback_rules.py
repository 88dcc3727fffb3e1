"""Which callback URLs may be called, said before anything is held."""

import pytest

from activities.callbacks.rules import (
    callback_policy,
    require_callback,
    why_not_public_or_own,
)
from activities.database.pool import Pool
from activities.media.errors import UrlRefused
from activities.media.locations import parse_location
from tests.activities.callbacks.conftest import settings_with
from tests.activities.conftest import a_request
from workflows.contracts.failures import FailureKind, RequestRefused

PUBLIC = "https://hooks.example.com/stillmotion?token=t0k3n"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://hooks.example.com/x", "begins with http://"),
        ("https://hooks.example.com:8443/x", "names port 8443"),
        ("https://127.0.0.1/x", "names this machine"),
        ("https://localhost/x", "names this machine"),
        ("https://10.1.2.3/x", "names a private network"),
        ("https://169.254.169.254/latest", "names a link-local or metadata address"),
        ("https://[fd00::1]/x", "not a public IPv6 address"),
        ("https://[::ffff:10.0.0.1]/x", "not a public IPv6 address"),
        ("https://hooks.example.com\\@10.0.0.1/x", "callback_url"),
    ],
)
async def test_a_url_that_this_deployment_does_not_call_is_refused_by_its_field(
    database: Pool, secret: str, url: str, told: str
) -> None:
    request = a_request().model_copy(update={"callback_url": url})

    with pytest.raises(RequestRefused, match="callback_url: ") as refused:
        await require_callback(database, request, settings_with(private=False))

    assert refused.value.failure.kind is FailureKind.INVALID_REQUEST
    assert told in refused.value.failure.message
    assert "STILLMOTION_ALLOW_PRIVATE_CALLBACKS" in refused.value.failure.message


@pytest.mark.parametrize("url", [PUBLIC, "https://93.184.216.34/x", "https://[2606:4700::1111]/x"])
async def test_a_public_url_with_a_secret_is_fine(
    starter_database: Pool, secret: str, url: str
) -> None:
    request = a_request(callback_url=url)

    await require_callback(starter_database, request, settings_with(private=False))


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000/x", "http://localhost:1/x", "http://10.1.2.3/x", "http://[fd00::1]/x"],
)
async def test_a_deployment_may_allow_its_own_network(
    database: Pool, secret: str, url: str
) -> None:
    request = a_request(callback_url=url)

    await require_callback(database, request, settings_with(private=True))


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "fd00:ec2::254%eth0",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "100.100.100.200",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
def test_a_clouds_metadata_is_no_network_of_ones_own(address: str) -> None:
    assert why_not_public_or_own(address) is not None


async def test_a_source_without_a_secret_is_refused_with_the_command_that_makes_one(
    starter_database: Pool, secret: str
) -> None:
    request = a_request(callback_url=PUBLIC, source="podcast_maker")

    with pytest.raises(RequestRefused, match="stillmotion callbacks secret podcast_maker"):
        await require_callback(starter_database, request, settings_with(private=False))


async def test_a_request_without_a_receiver_needs_none_of_it(starter_database: Pool) -> None:
    await require_callback(starter_database, a_request(), settings_with(private=False))


def test_a_policy_follows_no_redirect_and_takes_no_other_scheme_unless_allowed() -> None:
    strict, loose = (callback_policy(settings_with(private=private)) for private in (False, True))
    plain = parse_location("http://hooks.example.com/x")

    with pytest.raises(UrlRefused):
        strict.check(plain)
    loose.check(plain)
    assert strict.redirects_max == loose.redirects_max == 0
    assert strict.address_rule("10.0.0.1") is not None
    assert loose.address_rule("10.0.0.1") is None
