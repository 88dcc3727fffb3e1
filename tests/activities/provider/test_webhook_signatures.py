"""The provider's signature and the token of an address: three implementations, and what each takes.

VECTOR was computed by OpenSSL, not by us:

    printf '%s' '45b392b22c3b449fa935bd4dc.1758798328.{"id":…}' |
        openssl dgst -sha256 -hmac 'c3RpbGxtb3Rpb24tZXhhbXBsZS1zZWNyZXQ='

The secret's text is sound base64, so that decoding it would succeed and give another signature.
"""

from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from activities.provider.polling import interval_s
from activities.provider.settings import ProviderSettings
from activities.provider.webhooks import (
    FRESH_S,
    PATH,
    NotSigned,
    Stamp,
    is_fresh,
    is_signed,
    is_token,
    stamp_of,
    token_of,
    webhook_url,
)
from workers.sandbox.webhooks import sign

SECRET = SecretStr("whsec_c3RpbGxtb3Rpb24tZXhhbXBsZS1zZWNyZXQ=")
BODY = (
    b'{"id":"0123456789abcdef0123456789abcdef","status":"completed",'
    b'"outputs":["https://example.com/a.mp4"]}'
)
VECTOR = "6a9c0bfb748e1e634a4aa1b54a6006270ad6e1c2da828b49c3430ebf11d955b0"
STAMP = Stamp("45b392b22c3b449fa935bd4dc", "1758798328", VECTOR)
AT = datetime.fromtimestamp(1_758_798_328, UTC)
HASH_KEY = "00112233445566778899aabbccddeeff"
GENERATION = "gen_aaaaaaaaaaaaaaaaaaaaaaaaaa"
HEADERS = [
    (b"webhook-id", STAMP.webhook_id.encode()),
    (b"webhook-timestamp", STAMP.timestamp.encode()),
    (b"webhook-signature", b"v3," + VECTOR.encode()),
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def with_header(name: bytes, *values: bytes) -> list[tuple[bytes, bytes]]:
    kept = [header for header in HEADERS if header[0] != name]
    return [*kept, *((name, value) for value in values)]


def test_the_signature_that_openssl_made_is_the_providers() -> None:
    assert is_signed(SECRET, STAMP, BODY)


@given(secret=TEXTS, body=st.binary(max_size=200), seconds=st.integers(0, 10**11))
def test_what_the_sandbox_signs_is_verified_and_nothing_beside_it(
    secret: str, body: bytes, seconds: int
) -> None:
    signed = sign(f"whsec_{secret}", "an-id", seconds, body).removeprefix("v3,")
    stamp = Stamp("an-id", str(seconds), signed)
    key = SecretStr(f"whsec_{secret}")

    assert is_signed(key, stamp, body)
    assert not is_signed(key, stamp, body + b" ")
    assert not is_signed(key, stamp._replace(timestamp=str(seconds + 1)), body)
    assert not is_signed(key, stamp._replace(webhook_id="an-is"), body)
    assert not is_signed(SecretStr(f"whsec_{secret}x"), stamp, body)


def test_a_library_of_standard_webhooks_does_not_verify_it() -> None:
    now = int(datetime.now(UTC).timestamp())
    signed = sign(SECRET.get_secret_value(), "an-id", now, BODY)
    stamped = {"webhook-id": "an-id", "webhook-timestamp": str(now)}

    for signature in (signed, signed.replace("v3,", "v1,")):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET.get_secret_value()).verify(
                BODY, {**stamped, "webhook-signature": signature}
            )


def test_three_sound_headers_are_a_stamp() -> None:
    assert stamp_of([(b"host", b"x"), *HEADERS]) == STAMP


@pytest.mark.parametrize("name", [name for name, _ in HEADERS])
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((), "missing"),
        ((b"",), "malformed"),
        ((b"\xff\xfe",), "malformed"),
        ((b"two words",), "malformed"),
        ((b"1" * 200,), "malformed"),
        ((b"1", b"1"), "more than once"),
    ],
)
def test_a_header_that_is_not_as_it_should_be_is_refused_by_its_name(
    name: bytes, values: tuple[bytes, ...], told: str
) -> None:
    with pytest.raises(NotSigned, match=f"{name.decode()}: .*{told}"):
        stamp_of(with_header(name, *values))


@pytest.mark.parametrize(
    "signature",
    [
        f"v1,{VECTOR}",
        f"v3,{VECTOR.upper()}",
        f"v3,{VECTOR[:-1]}",
        f"v3,{VECTOR}0",
        f"v3,{VECTOR} v3,{VECTOR}",
        f" v3,{VECTOR}",
        VECTOR,
    ],
)
def test_a_signature_of_another_form_is_none(signature: str) -> None:
    with pytest.raises(NotSigned, match="webhook-signature"):
        stamp_of(with_header(b"webhook-signature", signature.encode()))


def test_five_minutes_either_way_are_fresh_and_a_second_more_is_not() -> None:
    limit, second = timedelta(seconds=FRESH_S), timedelta(seconds=1)

    assert all(is_fresh(STAMP, at) for at in (AT, AT + limit, AT - limit))
    assert not is_fresh(STAMP, AT + limit + second)
    assert not is_fresh(STAMP, AT - limit - second)


def test_a_token_is_the_keyed_hash_that_openssl_makes_of_context_and_generation() -> None:
    # printf 'provider webhook\0gen_aaa…' | openssl dgst -sha256 -hmac "$HASH_KEY", cut to 32
    assert token_of(HASH_KEY, GENERATION) == "5bf04acf9df27906545ab9a6bba85ab9"


@given(ours=TEXTS, other=TEXTS)
def test_a_token_opens_its_own_generation_only(ours: str, other: str) -> None:
    token = token_of(HASH_KEY, ours)

    assert is_token(token, HASH_KEY, ours)
    assert is_token(token, HASH_KEY, other) == (ours == other)
    assert not is_token(token, HASH_KEY + "0", ours)
    assert not is_token(token[:-1], HASH_KEY, ours)
    assert not is_token(other, HASH_KEY, ours)


@given(generation_id=TEXTS)
def test_any_id_is_one_segment_of_an_address_and_comes_back_out_of_it(generation_id: str) -> None:
    url = webhook_url("https://video.example.com/stillmotion", HASH_KEY, generation_id)

    base, segment, token = url.rsplit("/", 2)
    assert base == f"https://video.example.com/stillmotion{PATH}"
    assert unquote(segment) == generation_id
    assert is_token(token, HASH_KEY, generation_id)
    assert url.isascii()
    assert not set(url) & set("?# \n")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://video.example.com", "https://video.example.com"),
        (" https://video.example.com/a/ ", "https://video.example.com/a"),
        ("http://127.0.0.1:8780", "http://127.0.0.1:8780"),
        ("http://localhost:8780", "http://localhost:8780"),
        ("http://[::1]:8780", "http://[::1]:8780"),
        ("", None),
    ],
)
def test_a_public_url_is_https_or_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, given: str, kept: str | None
) -> None:
    monkeypatch.setenv("STILLMOTION_PUBLIC_URL", given)

    assert ProviderSettings().public_url == kept


@pytest.mark.parametrize(
    "given",
    [
        "http://video.example.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "ftp://127.0.0.1",
        "https://me:pass@video.example.com",
        "https://video.example.com?a=b",
        "https://video.example.com#a",
        "https://video.example.com:99999",
        "https://",
        "video.example.com",
    ],
)
def test_any_other_public_url_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("STILLMOTION_PUBLIC_URL", given)

    with pytest.raises(ValidationError, match=r"STILLMOTION_PUBLIC_URL\n.*the public URL"):
        ProviderSettings()


def test_an_interval_above_the_usual_longest_is_kept_at_every_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STILLMOTION_POLL_INTERVAL_S", "30")
    shortest_s = ProviderSettings().poll_interval_s

    assert {interval_s(age_s, 0.5, shortest_s=shortest_s) for age_s in (0, 60, 1e6)} == {30.0}
