"""Whatever a provider, a proxy or a forger sends is read, or refused as what it is: never a crash.

40 to 100 examples each, twenty times as many with STILLMOTION_EVIDENCE=1.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from activities.media.errors import UrlRefused
from activities.media.locations import parse_location
from activities.provider import errors
from activities.provider.amounts import billed_usd_micros, quoted_usd_micros, usd_micros
from activities.provider.models import (
    Billing,
    BillingPage,
    Envelope,
    Prediction,
    PredictionPage,
    UploadTicket,
    download_url,
    is_prediction_id,
)
from activities.provider.webhooks import NotSigned, is_fresh, stamp_of
from tests.security.conftest import TRICKS, a_few

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ID = "a1b2c3d4"

texts = st.text(max_size=20) | st.sampled_from([*TRICKS.values(), "\ud800", "\x00", ""])
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([2**63, -(2**63) - 1, 10**400, 1e308, float("inf"), float("nan"), -0.0])
)
times = st.sampled_from(
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-11-22T12:00:00.123456789Z",
        "2026-02-30T00:00:00Z",
        "99999999999999",
        "1e300",
        "-1",
    ]
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts | times,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
ids = st.just(ID) | texts
urls = st.sampled_from(
    [
        "https://cdn.test/a.mp4?sig=s3cret",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://[",
        "",
    ]
)


def an_object(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with these fields, right or anything, present or not; or anything at all."""
    given_or_any = {name: field | json_values for name, field in fields.items()}
    return st.fixed_dictionaries({}, optional=given_or_any) | json_values


predictions = an_object(
    id=ids,
    model=texts,
    status=st.sampled_from(["completed", "Created", "processing", "deleted", "new word"]),
    outputs=st.lists(urls | an_object(url=urls, video=urls)),
    has_nsfw_contents=st.lists(st.booleans()),
    error=texts,
    code=numbers,
    created_at=times,
    input=st.dictionaries(texts, json_values, max_size=3),
    executionTime=numbers,
    timings=an_object(inference=numbers),
)
bills = an_object(
    uuid=texts,
    prediction=an_object(uuid=ids),
    order=an_object(state=texts),
    price=numbers | st.sampled_from(["0.25", "24300", "1e5", "-0.25", "NaN", "٣", " 1"]),
    billing_type=st.sampled_from(["Refund", "prediction"]),
    created_at=times,
)
tickets = an_object(
    download_url=urls,
    upload=an_object(
        url=urls,
        method=st.sampled_from(["PUT", "put", "POST"]),
        headers=st.dictionaries(texts, texts, max_size=3),
    ),
)


def pages(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return an_object(items=st.lists(rows, max_size=3), total=numbers)


READERS: list[tuple[Callable[[Any], object], st.SearchStrategy[Any]]] = [
    (Prediction.from_wire, predictions),
    (PredictionPage.from_wire, pages(predictions)),
    (Billing.from_wire, bills),
    (BillingPage.from_wire, pages(bills)),
    (UploadTicket.from_wire, tickets),
    (download_url, tickets),
    (quoted_usd_micros, an_object(price=numbers, discounted_price=numbers, currency=texts)),
    (billed_usd_micros, numbers | json_values),
    (usd_micros, numbers | json_values),
]


@pytest.mark.parametrize(
    ("read", "replies"), READERS, ids=[read.__qualname__ for read, _ in READERS]
)
def test_a_reply_is_read_or_is_a_value_error(
    read: Callable[[Any], object], replies: st.SearchStrategy[Any]
) -> None:
    @settings(max_examples=a_few(100), deadline=None)
    @given(replies)
    def reads(reply: JsonValue) -> None:
        with suppress(ValueError):
            read(reply)

    reads()


@pytest.mark.parametrize("created_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_at_the_end_of_the_calendar_is_no_time(created_at: str) -> None:
    reply: JsonValue = {"id": ID, "status": "completed", "created_at": created_at}

    assert Prediction.from_wire(reply).created_at is None


@settings(max_examples=a_few(100), deadline=None)
@given(predictions)
def test_a_prediction_that_is_read_has_an_id_fit_for_a_path_and_web_addresses(
    reply: JsonValue,
) -> None:
    with suppress(ValueError):
        read = Prediction.from_wire(reply)
        assert is_prediction_id(read.id)
        assert all(url.lower().startswith(("http://", "https://")) for url in read.outputs)
        assert read.created_at is None or read.created_at.utcoffset() is not None
        assert "s3cret" not in repr(read)


@settings(max_examples=a_few(100), deadline=None)
@given(bills)
def test_money_that_is_read_is_whole_and_a_refund_is_negative(reply: JsonValue) -> None:
    with suppress(ValueError):
        read = Billing.from_wire(reply)
        assert read is None or type(read.amount_usd_micros) is int
        assert read is None or (read.amount_usd_micros <= 0 or not read.is_refund)


envelopes = an_object(
    code=numbers, message=texts, error_code=numbers, data=an_object(code=numbers, id=ids)
)


@settings(max_examples=a_few(100), deadline=None)
@given(envelopes.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200))
@example(b"[" * 100_000)
@example(b'{"code": ' + b"9" * 5_000 + b"}")
@example(b'{"code": 1e999, "message": "\\ud800"}')
@example(b'{"code": "2\xd9\xa3"}')
@example(b"\xff\xfe{\x00}\x00")
def test_a_body_is_an_envelope_or_a_value_error_and_its_code_has_a_leaf(body: bytes) -> None:
    with suppress(ValueError):
        read = Envelope.from_wire(body)
        for status in (200, 302, 400, 403, 422, 429, 500):
            assert issubclass(errors.leaf_of(status, read.detail_code), errors.ProviderError)


@settings(max_examples=a_few(100), deadline=None)
@given(texts | st.text(alphabet="0123456789 .:,-+GMTSunovec", max_size=40))
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 20 Nov 2026 08:00:30 +99999999999")
@example("9" * 400)
@example("1e400")
@example(",,,,")
@example("20 Nov 2026 :: GMT")
def test_a_wait_is_between_none_and_ten_minutes(header: str) -> None:
    wait_s = errors.parse_retry_after_s(header, NOW)

    assert wait_s is None or 0 <= wait_s <= errors.RETRY_AFTER_S_MAX


@settings(max_examples=a_few(100), deadline=None)
@given(texts, texts, st.sampled_from(["ws-s3cret-key", "a.b*c", "k" * 64]))
def test_foreign_words_in_a_log_are_one_short_line_without_the_key(
    before: str, after: str, key: str
) -> None:
    words = f"{before}{key}{after} https://u:{key}@cdn.test/a?sig={key} Bearer {key} " + "x" * 400

    clean = errors.scrub(words, key)

    assert key not in clean
    assert "sig=" not in clean
    assert clean.isprintable()
    assert len(clean) <= errors.PROVIDER_MESSAGE_CHARS_MAX


@settings(max_examples=a_few(100), deadline=None)
@given(texts | urls | st.text(alphabet="https://[]:@\\.#?%0127a\t", max_size=40), texts | urls)
def test_an_address_and_what_it_redirects_to_are_read_or_refused(url: str, reference: str) -> None:
    with suppress(UrlRefused):
        parse_location(url)
    with suppress(UrlRefused):
        location = parse_location("https://cdn.test/a/b").joined(reference)
        assert location.scheme in {"http", "https"}


headers = st.tuples(
    st.sampled_from([b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"host"]),
    st.binary(max_size=80)
    | st.sampled_from([b"msg_1", b"1764000000", b"v3," + b"a" * 64, b"9" * 12, b"-1", b"1e9"]),
)


@settings(max_examples=a_few(100), deadline=None)
@given(st.lists(headers, max_size=6))
def test_a_webhooks_headers_are_a_stamp_or_are_not_signed(
    given_: list[tuple[bytes, bytes]],
) -> None:
    with suppress(NotSigned):
        stamp = stamp_of(given_)
        assert is_fresh(stamp, NOW) in {True, False}
        assert stamp.webhook_id.isprintable()


@settings(max_examples=a_few(40), deadline=None)
@given(tickets)
def test_a_tickets_headers_make_a_request_or_a_value_error(reply: JsonValue) -> None:
    with suppress(ValueError):
        ticket = UploadTicket.from_wire(reply)
        with suppress(httpx.InvalidURL):
            httpx.Request("PUT", ticket.put_url, headers=ticket.headers)
