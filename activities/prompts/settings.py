"""What the LLM's client must be told: the key, the address, the model and how long to wait.

Constructing the model reads the environment, importing it doesn't: an entry point does so once and
hands the frozen model on.
"""

from typing import Annotated

import httpx
from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from activities.provider.settings import PORT_MAX

DEFAULT_BASE_URL = "https://api.openai.com/v1"
"""The SDK's own; named here, since it would look into the environment by itself."""


def _address(value: str) -> str:
    """The address without a trailing slash; `doctor` shows it, so it must hold no secret."""
    try:
        url = httpx.URL(value.strip())
    except httpx.InvalidURL as error:
        raise ValueError("the LLM's base URL is not a URL") from error
    if url.scheme not in {"http", "https"} or not url.host or (url.port or 0) > PORT_MAX:
        raise ValueError("the LLM's base URL must be https:// or http:// with a host and its port")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("the LLM's base URL must hold no user, no query and no fragment")
    return str(url).rstrip("/")


class LlmSettings(BaseSettings):
    """Settings of `Llm`; field names and environment variables are both accepted."""

    # A key that is refused is not repeated in the error.
    model_config = SettingsConfigDict(
        frozen=True,
        populate_by_name=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    api_key: SecretStr | None = Field(
        default=None,
        validation_alias="OPENAI_API_KEY",
        description="The key of the LLM that writes prompts; without key and address a rule does",
    )
    base_url: Annotated[str, AfterValidator(_address)] | None = Field(
        default=None,
        validation_alias="OPENAI_BASE_URL",
        description="Any OpenAI-compatible endpoint, with its version path; unset = OpenAI's own",
    )
    # The models that cost more reason about two sentences; this one answers by schema at once.
    model: str = Field(
        default="gpt-4.1-mini",
        min_length=1,
        max_length=200,
        validation_alias="STILLMOTION_LLM_MODEL",
        description="The model that writes prompts, by the endpoint's own name for it",
    )
    timeout_s: float = Field(
        default=60,
        gt=0,
        # The activity's own limit is 90 s (`workflows.timeouts.BUILD_PROMPT`).
        le=75,
        allow_inf_nan=False,
        validation_alias="STILLMOTION_LLM_TIMEOUT_S",
        description="Seconds for a whole answer of the LLM; at most 75",
    )

    @property
    def address(self) -> str | None:
        """Where it is asked; None where nobody is."""
        return (self.base_url or DEFAULT_BASE_URL) if self.is_configured else None

    @property
    def is_configured(self) -> bool:
        """Whether there is an LLM to be asked: a key or an address says so."""
        return self.api_key is not None or self.base_url is not None

    @field_validator("api_key")
    @classmethod
    def _key_fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        """A key pasted with its line break is cleaned; one that can't be a header is refused."""
        text = key.get_secret_value().strip() if key is not None else ""
        if not text:
            return None
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("the LLM's key holds a space or an unprintable character")
        return SecretStr(text)
