"""What can be set about a sandbox. Nothing is read from the environment."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

UPLOAD_BYTES_MAX = 200 * 1024 * 1024
"""The provider's limit of one upload (its own client 2.0.5 names the same number)."""


class SandboxSettings(BaseModel):
    """One sandbox: where its state lives and how it behaves without faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path
    """Predictions, uploads, outputs, bills and log. Made if missing; for one process at a time."""
    work_s: float = Field(default=2.0, ge=0)
    """A job ends no earlier than this many seconds after it was accepted."""
    api_key: SecretStr | None = None
    """The one key that is let in; None lets in every key but `refused`."""
    renders_max: int = Field(default=2, ge=1)
    """Renderings at once; further jobs wait with the status `created`."""
    upload_bytes_max: int = Field(default=UPLOAD_BYTES_MAX, ge=1)
    """A larger upload is answered with 413."""
    opening_balance_usd_micros: int = 1_000_000_000
    """The credit before the first bill."""
    webhook_retry_s: float = Field(default=0.5, ge=0)
    """Wait before a webhook's second try; the third and last waits four times as long."""
