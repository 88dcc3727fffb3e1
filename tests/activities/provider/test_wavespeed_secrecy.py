"""Errors, logs and settings give away neither the key, nor signed URLs, nor foreign words."""

import hashlib
import logging
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from pydantic import JsonValue, SecretStr, ValidationError

from activities.provider import errors
from activities.provider.settings import DEFAULT_BASE_URL, ProviderSettings
from activities.provider.wavespeed import WaveSpeed
from tests.activities.provider.conftest import (
    ID,
    KEY,
    MODEL,
    OddServer,
    envelope,
    http,
    settings_for,
)

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


async def test_the_providers_words_are_kept_scrubbed_beside_a_safe_message(
    odd: OddServer, provider: WaveSpeed
) -> None:
    words = (
        f"key {KEY} of Bearer sk-other may\n not read https://user:pw@cdn.example/a.jpg?sig=s3cret "
        f"whsec_hidden {'long ' * 100}"
    )
    odd.will(envelope(None, 403, 403, words))

    with pytest.raises(errors.AccessDenied) as raised:
        await provider.prediction(ID)

    error = raised.value
    assert str(error) == errors.AccessDenied.sentence
    assert error.provider_message.startswith(
        "key *** of Bearer *** may  not read https://cdn.example/a.jpg?*** whsec_*** long"
    )
    assert len(error.provider_message) == 300


@pytest.mark.parametrize("paid", [True, False])
async def test_no_traceback_of_a_garbled_reply_quotes_it(
    odd: OddServer, provider: WaveSpeed, *, paid: bool
) -> None:
    odd.will(b"s3cret: https://cdn.example/?sig=s3cret\r\n\r\n")

    with pytest.raises(errors.ProviderError) as raised:
        await (provider.submit(MODEL, {}) if paid else provider.prediction(ID))

    lines = traceback.format_exception(raised.value)
    assert "s3cret" not in "".join(lines)


async def test_no_log_line_has_the_key_a_query_or_a_reply(
    odd: OddServer, provider: WaveSpeed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "a.jpg"
    path.write_bytes(b"a")
    put = f"http://127.0.0.1:{odd.port}/put?sig=s3cret"
    ticket: JsonValue = {"download_url": f"{put}2", "upload": {"method": "PUT", "url": put}}
    odd.will(envelope({"id": ID}), envelope(ticket), http(""))

    await provider.submit(MODEL, {}, webhook_url="https://us.example/hook?t=s3cret")
    await provider.upload(path, filename="a.jpg", content_type="image/jpeg")

    assert len(odd.received) == 3
    assert "s3cret" not in caplog.text
    assert KEY not in caplog.text


def test_a_fingerprint_is_the_start_of_the_keys_hash() -> None:
    provider = WaveSpeed(settings_for("http://127.0.0.1:1/api/v3"))

    assert provider.key_fingerprint == hashlib.sha256(KEY.encode()).hexdigest()[:12]
    assert provider.base_url == "http://127.0.0.1:1/api/v3"


def test_a_client_without_a_key_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", "  ")

    with pytest.raises(errors.KeyRefused, match="WAVESPEED_API_KEY"):
        WaveSpeed(ProviderSettings())


async def test_a_refusal_says_how_long_to_wait(odd: OddServer, provider: WaveSpeed) -> None:
    odd.will(envelope(None, 429, 429, headers={"Retry-After": "8"}))

    with pytest.raises(errors.Overloaded) as raised:
        await provider.submit(MODEL, {})

    assert (raised.value.retry_after_s, raised.value.http_status, raised.value.code) == (
        8,
        429,
        429,
    )


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("8", 8),
        (" 1.5 ", 1.5),
        ("86400", 600),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30),
        (format_datetime(NOW - timedelta(seconds=30), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=30), usegmt=True), 600),
        ("Fri, 20 Nov 2026 08:00:30 -0000", 30),
        ("Fri, 99 Nov 2026 08:00:30 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_capped(
    value: str | None, wait_s: float | None
) -> None:
    assert errors.parse_retry_after_s(value, NOW) == wait_s


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("WAVESPEED_BASE_URL", "https://proxy.example/api/v3/")
    monkeypatch.setenv("STILLMOTION_SETTLE_DELAY_S", "5")
    monkeypatch.setenv("STILLMOTION_PROVIDER_SUBMIT_TIMEOUT_S", "7")

    settings = ProviderSettings()

    assert settings.api_key == SecretStr(KEY)
    assert settings.base_url == "https://proxy.example/api/v3"
    assert (settings.settle_delay_s, settings.submit_timeout_s) == (5, 7)
    assert KEY not in repr(settings)


def test_what_code_gives_by_field_name_beats_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", "the-real-key")
    monkeypatch.setenv("WAVESPEED_BASE_URL", DEFAULT_BASE_URL)

    given = ProviderSettings(api_key=SecretStr(KEY), base_url="http://127.0.0.1:1/api/v3")

    assert given.api_key == SecretStr(KEY)
    assert given.base_url == "http://127.0.0.1:1/api/v3"
    assert ProviderSettings(api_key=None).api_key is None


def test_every_setting_is_described() -> None:
    assert [
        name for name, field in ProviderSettings.model_fields.items() if not field.description
    ] == []


@pytest.mark.parametrize(
    "base_url",
    [
        "api.wavespeed.ai",
        "ftp://host",
        "https://host:99999",
        "https://",
        "https://u:p@host/v3",
        "https://host/v3?key=k",
    ],
)
def test_a_base_url_that_is_none_or_holds_a_secret_is_refused(base_url: str) -> None:
    with pytest.raises(ValidationError):
        ProviderSettings(base_url=base_url)


@pytest.mark.parametrize("key", ["a b", "schlüssel", "a\nb"])
def test_a_key_that_can_not_be_a_header_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        ProviderSettings(api_key=SecretStr(key))

    assert key not in str(raised.value)
