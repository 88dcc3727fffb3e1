"""The settings of callbacks, read from the environment when constructed, and only then."""

import base64
import binascii
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

KEY_SIZE_BYTES = 32
"""AES-256."""

MAKE_A_KEY = "`openssl rand -base64 32` makes one"


class SecretKeyUnusable(Exception):
    """The deployment's key is not there or is none. The message names the variable to set."""


class CallbackSettings(BaseSettings):
    """Which receivers are called, and the key that the signing secrets are encrypted with."""

    # A wrong key is not repeated in an error.
    model_config = SettingsConfigDict(
        env_prefix="STILLMOTION_",
        frozen=True,
        populate_by_name=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    allow_private_callbacks: bool = Field(
        default=False,
        description="Callback URLs may be http, on any port and in private networks.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description=f"Encrypts the callbacks' secrets: {KEY_SIZE_BYTES} bytes in base64;"
        f" {MAKE_A_KEY}.",
    )
    secret_key_file: Path | None = Field(
        default=None, description="A file that holds STILLMOTION_SECRET_KEY in its place."
    )

    @field_validator("secret_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _decoded(value.get_secret_value())
        return value

    def key(self) -> bytes:
        """The deployment's key.

        Raises:
            SecretKeyUnusable: there is none, or its file can't be used.
        """
        if self.secret_key is not None:
            return _decoded(self.secret_key.get_secret_value())
        if self.secret_key_file is None:
            raise SecretKeyUnusable(f"STILLMOTION_SECRET_KEY is not set; {MAKE_A_KEY}.")
        try:
            return _decoded(self.secret_key_file.read_text("ascii"))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it holds no such key"
            raise SecretKeyUnusable(f"STILLMOTION_SECRET_KEY_FILE: {why}; {MAKE_A_KEY}.") from None


def _decoded(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_SIZE_BYTES:
        raise ValueError(f"not {KEY_SIZE_BYTES} bytes in base64; {MAKE_A_KEY}")
    return key
