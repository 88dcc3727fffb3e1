import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.media.errors import UrlRefused
from activities.media.fetch_policies import guarded_input_policy, output_policy
from activities.media.locations import Location, parse_location
from activities.media.settings import PROVIDER_HOSTS


def test_a_callers_url_may_name_any_host_over_https() -> None:
    guarded_input_policy().check(parse_location("https://public.test/x?y=z"))
    guarded_input_policy().check(parse_location("https://public.test:443/"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://public.test/", "allowed: https://"),
        ("http://127.0.0.1:8080/", "allowed: https://"),
        ("https://public.test:80/", "names port 80"),
        ("https://public.test:8443/", "names port 8443; allowed: 443"),
    ],
)
def test_a_callers_url_must_be_https_on_its_usual_port(url: str, reason: str) -> None:
    with pytest.raises(UrlRefused, match=reason):
        guarded_input_policy().check(parse_location(url))


def test_the_loopback_exception_is_for_loopback_hosts_alone() -> None:
    policy = guarded_input_policy(allow_loopback=True)

    policy.check(parse_location("http://127.0.0.1:8080/"))
    policy.check(parse_location("http://[::1]:8080/"))
    with pytest.raises(UrlRefused):
        policy.check(parse_location("http://public.test:8080/"))
    assert policy.address_rule("127.0.0.1") is None
    assert policy.address_rule("10.0.0.1")
    assert guarded_input_policy().address_rule("127.0.0.1")


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.wavespeed.ai/x.mp4",
        "https://static.wavespeed.ai/x.mp4",
        "https://d1.cloudfront.net/x.mp4",
        "https://a.b.cloudfront.net/x.mp4",
        "http://127.0.0.1:8080/files/x.mp4",
    ],
)
def test_outputs_come_from_the_named_hosts_and_the_providers_own(url: str) -> None:
    policy = output_policy(PROVIDER_HOSTS, "http://127.0.0.1:8080/api/v3")

    policy.check(parse_location(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://cdn.wavespeed.ai/x.mp4",
        "https://cdn.wavespeed.ai:8443/x.mp4",
        "https://cloudfront.net/x.mp4",
        "https://evilcloudfront.net/x.mp4",
        "https://cdn.wavespeed.ai.evil.com/x.mp4",
        "https://127.0.0.1:8080/x.mp4",
        "http://127.0.0.1:8081/x.mp4",
        "http://127.0.0.1/x.mp4",
    ],
)
def test_outputs_do_not_come_from_anywhere_else(url: str) -> None:
    policy = output_policy(PROVIDER_HOSTS, "http://127.0.0.1:8080/api/v3")

    with pytest.raises(UrlRefused, match="not a host that outputs come from"):
        policy.check(parse_location(url))


@given(st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}(\.cdn\.net)?", fullmatch=True))
def test_a_wildcard_takes_hosts_below_its_name_and_no_others(host: str) -> None:
    policy = output_policy(["*.cdn.net"], "https://api.test")

    try:
        policy.check(Location("https", host, 443, "/"))
    except UrlRefused:
        assert not host.endswith(".cdn.net")
    else:
        assert host == "api.test" or host.endswith(".cdn.net")
