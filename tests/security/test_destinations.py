"""Where strangers' URLs lead: inputs, callbacks and outputs, both when said and when fetched."""

import base64
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook

from activities.callbacks.rules import callback_policy
from activities.callbacks.settings import CallbackSettings
from activities.callbacks.signing import Signers
from activities.callbacks.telling import Teller
from activities.media.addresses import any_address, system_resolver, why_not_public
from activities.media.errors import FetchExpired, FetchFailed, UrlRefused
from activities.media.fetching import FetchPolicy, fetch, guarded_input_policy, output_policy
from activities.media.settings import PROVIDER_HOSTS
from activities.provider.errors import MalformedReply
from activities.provider.settings import ProviderSettings
from activities.provider.wire import Wire
from tests.security.conftest import Recorder, Resolver, anywhere, ok, redirect
from workflows.contracts.callbacks import CallbackMessage, StageChange
from workflows.contracts.media import MediaByUrl
from workflows.contracts.requests import ImageToVideoRequest, Operation, Source
from workflows.contracts.stages import Stage, Status

LOOPBACK = guarded_input_policy(allow_loopback=True)

THIS_MACHINE = (
    *("127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7F.1"),
    *("0177.0.0.1", "0177.0.0.01", "017700000001", "0", "0.0.0.0", "localhost", "LOCALHOST"),
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[::127.0.0.1]", "[::7f00:1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:127.0.0.1]", "[::ffff:0:127.0.0.1]"),
    *("[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]"),
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
)
"""This machine, as it can be written: short, octal, hexadecimal, mapped, tunnelled."""

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
    *("https://public.test%2f@127.0.0.1/", "https://127.0.0.1%00.public.test/"),
    *(
        "https://127.0.0.1./",
        "https://public.test../",
        "https://[::1%25lo]/",
        "https://[fe80::1%lo]/",
    ),
    *(
        "https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
        "https://127\u30020\u30020\u30021/",
        "https://\u24db\u24de\u24d2\u24d0\u24db/",
        "https://[::1]evil/",
    ),
    *("https://127.0.0.1:443:80/", "https://127.0.0.1:0443x/", "https://public.test:+443/"),
    *(
        "https://public.test:\u0664\u0664\u0663/",
        "https://-/",
        "https://.../",
        "https://public.test?@127.0.0.1\\",
    ),
)
"""What two parsers could read differently."""

OTHER_SCHEMES = (
    *("file:///etc/passwd", "FILE:///etc/passwd", "gopher://127.0.0.1:70/_x", "ftp://127.0.0.1/x"),
    *(
        "dict://127.0.0.1:11211/stat",
        "ldap://127.0.0.1/x",
        "javascript:alert(1)",
        "jar:file:///x!/",
    ),
    *(
        "data:image/png;base64,aGk=",
        "ws://127.0.0.1/",
        "unix:///var/run/docker.sock",
        "//public.test/",
    ),
    *("/etc/passwd", "tftp://127.0.0.1/x", "httpss://public.test/", "h\u0442tps://public.test/"),
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


class FixedSecret(Signers):
    """Signs without a database."""

    def __init__(self) -> None:
        pass

    async def of(self, source: Source) -> Sequence[Webhook]:
        del source
        return (Webhook(base64.b64encode(bytes(32)).decode()),)


def metadata_alone_is_refused(address: str) -> str | None:
    return "a metadata address" if address == "169.254.169.254" else None


MESSAGE = CallbackMessage(
    timestamp=datetime(2026, 11, 22, tzinfo=UTC),
    data=StageChange(
        generation_id="gen_one",
        seq=1,
        stage=Stage.ACCEPTED,
        status=Status.RUNNING,
        at=datetime(2026, 11, 22, tzinfo=UTC),
        operation=Operation.IMAGE_TO_VIDEO,
        source=Source.API,
    ),
)


def told_to(recorder: Recorder, policy: FetchPolicy) -> tuple[Teller, str]:
    """A teller under `policy`, and a URL with a name in it that leads to `recorder`."""
    return Teller(FixedSecret(), policy), f"http://hooks.test:{recorder.port}/x?token=s3cret"


async def test_a_callback_is_judged_when_it_is_told_and_again_at_the_next_one(
    recorder: Recorder,
) -> None:
    recorder.answers["/x?token=s3cret"] = ok(b"")
    strict = callback_policy(CallbackSettings(allow_private_callbacks=False))
    resolver = Resolver(["127.0.0.1"], ["169.254.169.254"])
    rule = metadata_alone_is_refused
    policy = replace(strict, check=anywhere, resolver=resolver, address_rule=rule)
    teller, url = told_to(recorder, policy)

    answers = [await teller.tell(url, MESSAGE) for _ in range(2)]

    assert [answer.state for answer in answers] == ["taken", "refused"]
    assert "metadata" in answers[1].evidence
    assert "s3cret" not in answers[1].evidence
    assert len(recorder.requests) == 1


@pytest.mark.parametrize("host", THIS_MACHINE)
async def test_a_callback_reaches_nothing_on_this_machine_however_it_is_written(
    recorder: Recorder, host: str
) -> None:
    strict = callback_policy(CallbackSettings(allow_private_callbacks=False))
    teller = Teller(FixedSecret(), replace(strict, check=anywhere))

    answer = await teller.tell(f"http://{host}:{recorder.port}/x", MESSAGE)

    assert answer.state in {"refused", "failed"}
    assert recorder.requests == []


@pytest.mark.parametrize("target", ["http://10.0.0.1/", "/y", "file:///etc/passwd"])
async def test_a_callback_follows_no_redirect_at_all(recorder: Recorder, target: str) -> None:
    recorder.answers |= {"/x?token=s3cret": redirect(target), "/y": ok(b"")}
    loose = callback_policy(CallbackSettings(allow_private_callbacks=True))
    teller, url = told_to(recorder, replace(loose, resolver=Resolver(["127.0.0.1"])))

    answer = await teller.tell(url, MESSAGE)

    assert (answer.state, len(recorder.requests)) == ("failed", 1)
    assert "redirects are not followed" in answer.evidence


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
