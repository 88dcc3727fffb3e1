"""What the provider client must be told: the key, the address and how long to wait.

Constructing the model reads the environment, importing it doesn't: an entry point does so once and
hands the frozen model on.
"""

import ipaddress
from typing import Annotated

import httpx
from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

POLL_INTERVAL_S = 3.0
POLL_INTERVAL_S_MAX = 15.0
"""Between two looks at a young job, and at one of five minutes."""

DEFAULT_BASE_URL = "https://api.wavespeed.ai/api/v3"

PORT_MAX = 65_535
"""httpx lets larger ones through to the socket, which fails with an `OverflowError`."""


def _plain_address(value: str) -> str:
    """The address without a trailing slash.

    It is shown to people and frozen in histories, so it must hold no secret: neither user info nor
    a query.
    """
    try:
        url = httpx.URL(value.strip())
    except httpx.InvalidURL as error:
        raise ValueError("the provider's base URL is not a URL") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(
            "the provider's base URL must start with https:// or http:// and name a host"
        )
    if (url.port or 0) > PORT_MAX:
        raise ValueError("the provider's base URL names a port that does not exist")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("the provider's base URL must hold no user, no query and no fragment")
    return str(url).rstrip("/")


def _public_address(value: str) -> str:
    """Where the provider calls us: over TLS, since the address is a secret, but for loopback."""
    try:
        address = _plain_address(value)
    except ValueError as error:
        raise ValueError(str(error).replace("the provider's base URL", "the public URL")) from error
    url = httpx.URL(address)
    if url.scheme == "http" and not _is_loopback(url.host):
        raise ValueError("the public URL must start with https://; http:// only on loopback")
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


PlainAddress = Annotated[str, AfterValidator(_plain_address)]
PublicAddress = Annotated[str, AfterValidator(_public_address)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PacingSettings(BaseSettings):
    """How fast the provider's account may be used; its level says how fast it takes jobs.

    All workers of a deployment are given the same: the pace is the account's, not theirs.
    """

    model_config = SettingsConfigDict(
        frozen=True, populate_by_name=True, extra="ignore", env_ignore_empty=True
    )

    starts_per_minute: int | None = Field(
        default=None,
        ge=1,
        validation_alias="STILLMOTION_STARTS_PER_MINUTE",
        description="Submissions a minute, of all workers together; unset = as the provider takes",
    )
    jobs_in_flight_max: int | None = Field(
        default=None,
        ge=1,
        validation_alias="STILLMOTION_JOBS_IN_FLIGHT_MAX",
        description="Jobs at the provider at once, of all workers together; unset = no limit",
    )


class ProviderSettings(BaseSettings):
    """Settings of `WaveSpeed`; field names and environment variables are both accepted.

    The waiting times are the provider's own client's (PyPI `wavespeed` 2.0.5: 10 s to connect, 30 s
    for a GET, 60 s for a submission, 120 s for an upload).
    """

    model_config = SettingsConfigDict(
        frozen=True, populate_by_name=True, extra="ignore", env_ignore_empty=True
    )

    api_key: SecretStr | None = Field(
        default=None,
        validation_alias="WAVESPEED_API_KEY",
        description="The provider's key, sent as a bearer token; nothing works without one.",
    )
    base_url: PlainAddress = Field(
        default=DEFAULT_BASE_URL,
        validation_alias="WAVESPEED_BASE_URL",
        description="Where the provider's API is, with its version path.",
    )
    settle_delay_s: float = Field(
        default=900,
        ge=0,
        allow_inf_nan=False,
        validation_alias="STILLMOTION_SETTLE_DELAY_S",
        description=(
            "Seconds after the last moment a submission could have been sent before the provider's "
            "listings count as evidence that it made no prediction."
        ),
    )
    poll_interval_s: float = Field(
        default=POLL_INTERVAL_S,
        ge=0.1,
        le=300,
        allow_inf_nan=False,
        validation_alias="STILLMOTION_POLL_INTERVAL_S",
        description=(
            "Seconds between the first looks at a job; they grow to 15 with its age, and stay as"
            " they are where they are longer."
        ),
    )
    public_url: PublicAddress | None = Field(
        default=None,
        validation_alias="STILLMOTION_PUBLIC_URL",
        description=(
            "Where the provider reaches `stillmotion api`, as https://video.example.com; with it,"
            " each submission asks for a webhook there."
        ),
    )
    price_check: bool = Field(
        default=False,
        validation_alias="STILLMOTION_PRICE_CHECK",
        description=(
            "Whether the provider is asked for its price before each submission; one above the"
            " quote is not submitted."
        ),
    )
    connect_timeout_s: Seconds = Field(
        default=10,
        validation_alias="STILLMOTION_PROVIDER_CONNECT_TIMEOUT_S",
        description="Seconds to open a connection to the provider, TLS included.",
    )
    read_timeout_s: Seconds = Field(
        default=30,
        validation_alias="STILLMOTION_PROVIDER_READ_TIMEOUT_S",
        description="Seconds to answer a call that reads and can be repeated freely.",
    )
    submit_timeout_s: Seconds = Field(
        default=60,
        validation_alias="STILLMOTION_PROVIDER_SUBMIT_TIMEOUT_S",
        description="Seconds to answer the one paid POST; after them its outcome is unknown.",
    )
    upload_timeout_s: Seconds = Field(
        default=120,
        validation_alias="STILLMOTION_PROVIDER_UPLOAD_TIMEOUT_S",
        description="Seconds without any progress before an upload is given up.",
    )

    @field_validator("api_key")
    @classmethod
    def _key_fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        """A key pasted with its line break is cleaned; one that can't be a header is refused."""
        if key is None:
            return None
        text = key.get_secret_value().strip()
        if not text:
            return None
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("the provider's key holds a space or an unprintable character")
        return SecretStr(text)
