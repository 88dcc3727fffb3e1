"""The keys of payloads."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class EncryptionSettings(BaseSettings):
    """Read from the environment when constructed; without keys, payloads stay as they are."""

    model_config = SettingsConfigDict(
        env_prefix="STILLMOTION_", frozen=True, populate_by_name=True, extra="ignore"
    )

    payload_keys: SecretStr | None = Field(
        default=None,
        description="Keys of payloads in Temporal, as ID:BASE64 (32 bytes each), separated by"
        " commas: the first encrypts, each decrypts what bears its id",
    )
    payload_keys_file: Path | None = Field(
        default=None, description="A file that holds them, in place of STILLMOTION_PAYLOAD_KEYS"
    )
