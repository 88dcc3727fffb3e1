import pytest
from pydantic import ValidationError

from activities.media.settings import PROVIDER_HOSTS, MediaSettings


def test_the_environment_is_read_when_settings_are_constructed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STILLMOTION_MEDIA_URL", "s3://bucket/prefix")
    monkeypatch.setenv("STILLMOTION_DOWNLOAD_HOSTS", " cdn.example.com, *.Example.org ,")
    monkeypatch.setenv("STILLMOTION_DECODE_TIMEOUT_S", "12.5")

    settings = MediaSettings.model_validate({})

    assert settings.media_url == "s3://bucket/prefix"
    assert settings.download_hosts == ("cdn.example.com", "*.example.org")
    assert settings.decode_timeout_s == 12.5


def test_the_defaults_are_the_providers_hosts_and_its_upload_limit() -> None:
    settings = MediaSettings(media_url="file:///media")

    assert settings.download_hosts == PROVIDER_HOSTS
    assert settings.input_size_bytes_max == 200_000_000
    assert settings.output_size_bytes_max == 2 * 1024**3
    assert not settings.allow_private_inputs


def test_a_missing_media_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STILLMOTION_MEDIA_URL", raising=False)

    with pytest.raises(ValidationError, match="media_url"):
        MediaSettings.model_validate({})


@pytest.mark.parametrize("hosts", ["*", "*.com:443", "https://a.com", "a", "a.*.com", "*.", "a..b"])
def test_a_download_host_that_is_no_host_name_is_refused(hosts: str) -> None:
    with pytest.raises(ValidationError, match="is no host name"):
        MediaSettings.model_validate({"media_url": "file:///media", "download_hosts": hosts})


def test_every_setting_is_described() -> None:
    assert all(field.description for field in MediaSettings.model_fields.values())


def test_settings_do_not_change() -> None:
    settings = MediaSettings(media_url="file:///media")

    with pytest.raises(ValidationError, match="frozen"):
        settings.media_url = "file:///other"  # pyright: ignore[reportAttributeAccessIssue]
