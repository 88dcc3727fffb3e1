"""The settings of everything that touches media, read from the environment when constructed.

Environment names are the field names in capitals after `STILLMOTION_`.
"""

import re
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from activities.media.files import INPUT_SIZE_BYTES_MAX, OUTPUT_SIZE_BYTES_MAX

PROVIDER_HOSTS = ("*.cloudfront.net", "static.wavespeed.ai", "cdn.wavespeed.ai")
"""Where the provider's outputs have been seen (providers.md A11)."""

_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_HOST_PATTERN = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})+")


class MediaSettings(BaseSettings):
    """Where media lives, how large it may be and what decoding it may cost."""

    model_config = SettingsConfigDict(
        env_prefix="STILLMOTION_", frozen=True, populate_by_name=True, extra="ignore"
    )

    media_url: str = Field(
        min_length=1,
        description="The media store: `file:///folder` or `s3://bucket/prefix`.",
    )
    download_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=PROVIDER_HOSTS,
        description="Hosts that outputs may come from, separated by commas; `*.name` is any host "
        "below `name`. The provider's base URL is always allowed.",
    )
    output_size_bytes_max: int = Field(
        default=OUTPUT_SIZE_BYTES_MAX, gt=0, description="The largest video that is downloaded."
    )
    input_size_bytes_max: int = Field(
        default=INPUT_SIZE_BYTES_MAX, gt=0, description="The largest image or audio that is taken."
    )
    decode_timeout_s: float = Field(
        default=300.0,
        gt=0,
        description="Wall clock for decoding one file; 10 minutes of 1080p take 12 to 52 s.",
    )
    decode_memory_bytes_max: int = Field(
        default=2 * 1024**3,
        ge=256 * 1024**2,
        description="Address space of the decoding process; 64 megapixels take about 0.5 GB.",
    )
    allow_private_inputs: bool = Field(
        default=False,
        description="For tests only: input URLs may be http and on the loopback address.",
    )

    @field_validator("download_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("download_hosts")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(host.lower() for host in value)
        for host in hosts:
            if not _HOST_PATTERN.fullmatch(host):
                raise ValueError(f"{host!r} is no host name; write `cdn.name.com` or `*.name.com`")
        return hosts
