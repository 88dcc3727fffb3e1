"""Where strangers' URLs lead: inputs, callbacks and outputs, both when said and when fetched."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from activities.callbacks.rules import callback_policy
from activities.callbacks.settings import CallbackSettings
from activities.media.addresses import any_address, system_resolver, why_not_public
from activities.media.errors import FetchExpired, FetchFailed, UrlRefused
from activities.media.fetching import fetch, guarded_input_policy, output_policy
from activities.media.settings import PROVIDER_HOSTS
from activities.provider.errors import MalformedReply
from activities.provider.settings import ProviderSettings
from activities.provider.wire import Wire
from tests.security.conftest import THIS_MACHINE, Recorder, Resolver, anywhere, ok, redirect
from workflows.contracts.media import MediaByUrl
from workflows.contracts.requests import ImageToVideoRequest

LOOPBACK = guarded_input_policy(allow_loopback=True)

ELSEWHERE_INSIDE = (
    *("10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "198.18.0.1"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "240.0.0.1", "0xa9fea9fe"),
    *("255.255.255.255", "2852039166", "0251.0376.0251.0376", "[fd00:ec2::254]", "[fe80::1]"),
    *("[fec0::1]", "[fc00::1]", "[ff02::1]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]"),
    *("[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[2001:db8::1]", "[100::1]", "[5f00::1]"),
)

UNCLEAR = (
    *("https://public.test\t/x", "https://public.test\n/x", "https://public.test /x"),
    *("https://public.test\\@127.0.0.1/", "https:\\\\127.0.0.1\\x", "https:///127.0.0.1/"),
    *("https://user@127.0.0.1/", "https://user:pw@public.test/", "https://public.test@127.0.0.1/"),
    *("https://public.test%2f@127.0.0.1/", "https://127.0.0.1%00.public.test/", "https://-/"),
    *("https://127.0.0.1./", "https://public.test../", "https://[::1%25lo]/", "https://.../"),
    *("https://[fe80::1%lo]/", "https://[::1]evil/", "https://public.test?@127.0.0.1\\"),
    *("https://127.0.0.1:443:80/", "https://127.0.0.1:0443x/", "https://public.test:+443/"),
    # Digits, full stops and letters that some parsers fold into ASCII.
    *("https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", "https://127\u30020\u30020\u30021/"),
    *("https://\u24db\u24de\u24d2\u24d0\u24db/", "https://public.test:\u0664\u0664\u0663/"),
)
"""What two parsers could read differently."""

OTHER_SCHEMES = (
    *("file:///etc/passwd", "FILE:///etc/passwd", "gopher://127.0.0.1:70/_x", "ftp://127.0.0.1/x"),
    *("dict://127.0.0.1:11211/stat", "ldap://127.0.0.1/x", "javascript:alert(1)", "/etc/passwd"),
    *("data:image/png;base64,aGk=", "ws://127.0.0.1/", "unix:///var/run/docker.sock"),
    *("//public.test/", "tftp://127.0.0.1/x", "httpss://public.test/", "jar:file:///x!/"),
    "h\u0442tps://public.test/",
)


@pytest.mark.parametrize("host", THIS_MACHINE)
async def test_this_machine_is_not_reached_however_it_is_written(
    recorder: Recorder, to: Path, host: str
) -> None:
    recorder.answers["/x"] = ok(b"internal")
    policy = replace(guarded_input_policy(), check=anywhere)

    with pytest.raises((UrlRefused, FetchFailed)):
        await fetch(f"http://{host}:{recorder.port}/x", to, policy=policy)

    assert recorder.requests == []
    assert not to.exists()


async def test_the_same_fetch_arrives_where_loopback_is_allowed(
    recorder: Recorder, to: Path
) -> None:
    recorder.answers["/x"] = ok(b"internal")

    await fetch(f"{recorder.url}/x", to, policy=LOOPBACK)

    assert to.read_bytes() == b"internal"


@pytest.mark.parametrize("host", ELSEWHERE_INSIDE)
async def test_what_is_inside_is_refused_before_a_connection_is_tried(host: str, to: Path) -> None:
    with pytest.raises(UrlRefused, match="leads to"):
        await fetch(f"https://{host}/latest/meta-data", to, policy=guarded_input_policy())


@pytest.mark.parametrize("url", UNCLEAR + OTHER_SCHEMES)
async def test_what_is_no_plain_https_url_is_refused_by_every_policy(url: str, to: Path) -> None:
    callbacks = callback_policy(CallbackSettings(allow_private_callbacks=True))
    outputs = output_policy(PROVIDER_HOSTS, "https://api.test/v3")

    for policy in (guarded_input_policy(), LOOPBACK, callbacks, outputs):
        with pytest.raises(UrlRefused) as refused:
            await fetch(url, to, policy=policy)
        assert "127.0.0.1" not in str(refused.value)


@pytest.mark.parametrize("url", OTHER_SCHEMES)
def test_a_request_takes_no_other_scheme(url: str) -> None:
    fields: dict[str, Any] = {"user_id": "ann", "prompt": "x", "image": {"url": url}}

    with pytest.raises(ValidationError):
        MediaByUrl(url=url)
    with pytest.raises(ValidationError):
        ImageToVideoRequest.model_validate(fields)
    image = {"url": "https://public.test/a.jpg"}
    with pytest.raises(ValidationError):
        ImageToVideoRequest.model_validate(fields | {"image": image, "callback_url": url})


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("http://10.0.0.1/", "another host"),
        ("http://169.254.169.254/latest/meta-data", "another host"),
        ("http://[::1]:{port}/x", "another host"),
        ("http://127.1:{port}/x", "another host"),
        ("http://2130706433:{port}/x", "another host"),
        ("//localhost:{port}/x", "another host"),
        ("https://127.0.0.1:{port}/x", "another host"),
        ("http://127.0.0.1/x", "another host"),
        ("HTTP://LOCALHOST:{port}/x", "another host"),
        ("http://user:pw@127.0.0.1:{port}/x", "user name or password"),
        ("http://127.0.0.1:{port}\\@evil.example/x", "not a plain https address"),
        ("/x y", "not a plain https address"),
        ("/x\ty", "not a plain https address"),
        ("//127.0.0.1:{port}\t/x", "not a plain https address"),
        ("http://[::1/x", "not a plain https address"),
        ("//[", "not a plain https address"),
        ("file:///etc/passwd", "begins with file://"),
        ("FiLe:///etc/passwd", "begins with file://"),
        ("gopher://127.0.0.1:{port}/_x", "begins with gopher://"),
        ("ftp://127.0.0.1:{port}/x", "begins with ftp://"),
        ("javascript:alert(1)", "not a plain https address"),
        ("data:text/plain,x", "not a plain https address"),
    ],
)
async def test_a_redirect_leads_nowhere_but_to_its_own_origin(
    recorder: Recorder, to: Path, target: str, told: str
) -> None:
    recorder.answers |= {
        "/a": redirect(target.format(port=recorder.port)),
        "/x": ok(b"internal"),
    }

    with pytest.raises(UrlRefused, match=told):
        await fetch(f"{recorder.url}/a", to, policy=LOOPBACK)

    assert len(recorder.requests) == 1
    assert not to.exists()


async def test_a_redirect_of_a_public_name_to_a_private_one_is_not_even_looked_up(
    recorder: Recorder, to: Path
) -> None:
    recorder.answers["/a"] = redirect(f"http://inside.test:{recorder.port}/x")
    resolver = Resolver(["127.0.0.1"])
    policy = replace(LOOPBACK, check=anywhere, resolver=resolver)

    with pytest.raises(UrlRefused, match=r"redirects to another host, inside\.test"):
        await fetch(f"http://public.test:{recorder.port}/a", to, policy=policy)

    assert resolver.asked == ["public.test"]


async def test_a_loop_over_two_addresses_ends(recorder: Recorder, to: Path) -> None:
    recorder.answers |= {"/a": redirect("/b", 307), "/b": redirect("/a", 308)}

    with pytest.raises(UrlRefused, match="redirects more than 3 times"):
        await fetch(f"{recorder.url}/a", to, policy=LOOPBACK)

    assert len(recorder.requests) == 4


async def test_each_fetch_judges_a_name_anew_and_keeps_to_the_address_that_it_judged(
    recorder: Recorder, to: Path
) -> None:
    recorder.answers |= {"/a": redirect("/b"), "/b": redirect("/c"), "/c": ok(b"public")}
    # The first fetch follows two redirects over fresh connections; the second is another fetch.
    resolver = Resolver(["127.0.0.1"], ["10.0.0.1"])
    policy = replace(LOOPBACK, check=anywhere, resolver=resolver)
    url = f"http://rebinding.test:{recorder.port}/a"

    await fetch(url, to, policy=policy)
    with pytest.raises(UrlRefused, match="leads to a private network"):
        await fetch(url, to, policy=policy)

    assert resolver.asked == ["rebinding.test", "rebinding.test"]
    assert len(recorder.requests) == 3


@pytest.mark.parametrize(
    "answer",
    ["::ffff:10.0.0.1", "fe80::1%lo", "64:ff9b::7f00:1", "", "127.0.0.1 ", "0x7f.1", "localhost"],
)
async def test_a_nameserver_that_answers_oddly_leads_nowhere(answer: str, to: Path) -> None:
    policy = guarded_input_policy(resolver=Resolver(["93.184.216.34", answer]))

    with pytest.raises(UrlRefused, match="which is not visited"):
        await fetch("https://public.test/", to, policy=policy)


@pytest.mark.parametrize("url", ["https://{name}/x", "https://{name}:443/x"])
async def test_a_name_too_long_for_the_resolver_is_not_found(url: str, to: Path) -> None:
    with pytest.raises(FetchFailed, match="was not found"):
        await fetch(url.format(name="a" * 64 + ".test"), to, policy=guarded_input_policy())


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}@evil.example/x",
        "http://evil.example#@127.0.0.1:{port}/x",
        "http://evil.example/?@127.0.0.1:{port}/x",
        "http://127.0.0.1:{port}.evil.example/x",
        "http://localhost:{port}/x",
        "https://static.wavespeed.ai.evil.example/x",
        "https://static.wavespeed.ai%2eevil.example/x",
        "https://evil.example/static.wavespeed.ai",
        "http://static.wavespeed.ai/x",
        "https://static.wavespeed.ai:8443/x",
        "https://cloudfront.net.evil.example/x",
        "https://10.0.0.1/x",
    ],
)
async def test_an_output_comes_from_no_look_alike(recorder: Recorder, to: Path, url: str) -> None:
    policy = output_policy(PROVIDER_HOSTS, f"{recorder.url}/api/v3", resolver=Resolver([]))

    with pytest.raises(UrlRefused):
        await fetch(url.format(port=recorder.port), to, policy=policy)

    assert recorder.requests == []


@pytest.mark.parametrize(
    "target", ["http://10.0.0.1/x", "https://static.wavespeed.ai/x", "file:///etc/passwd"]
)
async def test_an_output_that_redirects_to_another_host_is_refused(
    recorder: Recorder, to: Path, target: str
) -> None:
    recorder.answers["/out.mp4"] = redirect(target)
    policy = output_policy(PROVIDER_HOSTS, f"{recorder.url}/api/v3")

    with pytest.raises(UrlRefused):
        await fetch(f"{recorder.url}/out.mp4", to, policy=policy)

    assert len(recorder.requests) == 1


async def test_no_cookie_and_no_referrer_follows_a_redirect(recorder: Recorder, to: Path) -> None:
    cookie = b"HTTP/1.1 302 X\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\nLocation: /b\r\n\r\n"
    recorder.answers |= {"/a?sig=s3cret": cookie, "/b": ok(b"x")}

    await fetch(f"{recorder.url}/a?sig=s3cret", to, policy=LOOPBACK)

    assert "cookie" not in recorder.requests[1].lower()
    assert "s3cret" not in recorder.requests[1]


@pytest.mark.parametrize(
    ("base_url", "put_url", "is_taken"),
    [
        ("https://api.test/v3", "https://bucket.test/a?sig=s3cret", True),
        ("https://api.test/v3", "http://bucket.test/a?sig=s3cret", False),
        ("https://api.test/v3", "HTTP://bucket.test/a", False),
        ("https://api.test/v3", "file:///etc/passwd", False),
        ("https://api.test/v3", "//bucket.test/a", False),
        ("http://127.0.0.1:1/v3", "http://127.0.0.1:1/a", True),
    ],
)
async def test_a_users_file_goes_to_the_provider_in_the_clear_only_where_all_does(
    base_url: str, put_url: str, *, is_taken: bool
) -> None:
    wire = Wire(ProviderSettings(api_key=SecretStr("key"), base_url=base_url), "key")

    try:
        request = wire.transfer("PUT", put_url, {}, nothing())
    except MalformedReply as refusal:
        told = str(refusal)
    else:
        told = ""
        assert request.url == put_url
    await wire.aclose()

    assert (told == "") is is_taken
    assert "s3cret" not in told


async def nothing() -> AsyncIterator[bytes]:
    for part in ():
        yield part


async def test_an_input_that_is_gone_says_the_host_and_nothing_else_of_its_address(
    recorder: Recorder, to: Path
) -> None:
    with pytest.raises(FetchExpired) as expired:
        await fetch(f"{recorder.url}/private/path?sig=s3cret", to, policy=LOOPBACK)

    assert str(expired.value) == "127.0.0.1 no longer has the file (HTTP 404)"


def test_the_systems_own_resolver_is_behind_the_rule_too() -> None:
    assert guarded_input_policy().resolver is system_resolver
    assert guarded_input_policy().address_rule is why_not_public
    assert output_policy((), "https://api.test").address_rule is any_address
