"""The keys of payloads, and who may have them decrypted, read from the environment."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from activities.encryption.keys import KeyFile, KeyRing, Keys, KeysUnusable, parse_keys

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")


class EncryptionSettings(BaseSettings):
    """Read from the environment when constructed; without keys, payloads stay as they are."""

    # A wrong key is not repeated in an error.
    model_config = SettingsConfigDict(
        env_prefix="STILLMOTION_",
        frozen=True,
        populate_by_name=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    payload_keys: SecretStr | None = Field(
        default=None,
        description="Keys of payloads in Temporal, as ID:BASE64 (32 bytes each), separated by"
        " commas: the first encrypts, each decrypts what bears its id; `none` first encrypts"
        " nothing any more",
    )
    payload_keys_file: Path | None = Field(
        default=None,
        description="A file that holds them, in place of STILLMOTION_PAYLOAD_KEYS; it is read"
        " again when it changes",
    )

    @field_validator("payload_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_keys(value.get_secret_value())
        return value

    @field_validator("payload_keys_file")
    @classmethod
    def _in_one_place(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("payload_keys") is not None:
            raise ValueError("STILLMOTION_PAYLOAD_KEYS is set too; allowed: one of them")
        return value

    def keys(self) -> Keys | None:
        """Gives the keys in force; None where there are none.

        Raises:
            KeysUnusable: the file can't be read, or holds no such keys.
        """
        if self.payload_keys_file is not None:
            try:
                return KeyFile(self.payload_keys_file)
            except KeysUnusable as error:
                raise KeysUnusable(f"STILLMOTION_PAYLOAD_KEYS_FILE: {error}.") from None
        if self.payload_keys is None:
            return None
        ring = parse_keys(self.payload_keys.get_secret_value())

        def fixed() -> KeyRing:
            return ring

        return fixed


class CodecServerSettings(BaseSettings):
    """Who may ask the codec server."""

    model_config = SettingsConfigDict(
        env_prefix="STILLMOTION_",
        frozen=True,
        populate_by_name=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    codec_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="What the codec server wants as `Authorization: Bearer …`; on a loopback"
        " address it may be left out",
    )
    codec_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins of the Web UIs that may ask the codec server, such as"
        " https://temporal.example.com, separated by commas",
    )

    @field_validator("codec_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("codec_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin[:80]!r}; allowed: https://host or http://host:port")
        return value
