"""What a generation was promised when its quota was held; frozen in history, never re-read."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from workflows.contracts.quoting import Quote, Scalar
from workflows.contracts.requests import Operation, Source


class Terms(BaseModel):
    """The reservation's answer. Later changes of prices, models or settings don't touch it."""

    model_config = ConfigDict(frozen=True)

    generation_id: str
    operation: Operation
    source: Source
    user_hash: str
    """Keyed hash of the user id: what may stand in search attributes."""
    provider: str
    """`wavespeed`, or `sandbox` where the base URL is a loopback address."""
    base_url: str
    key_fingerprint: str
    """12 hex characters of the key's sha256: tells keys apart, gives none away."""
    provider_path: str
    parameters: dict[str, Scalar]
    """Without the texts, which stay in the database."""
    quote: Quote
    reserved_at: datetime
    prompt_characters_max: int = 2000
    """The model's limit for a prompt that we make."""
    callback: bool = False
    """Whether stage changes are told to a `callback_url`."""
    fairness_weight: float = 1.0
    """The plan's share of a busy queue, against other users'."""
    heartbeat_timeout_s: int = 60
    """How soon a dead worker's poll is taken over."""
    local_steps: bool = False
    """Whether the short database steps of every generation are tried as local activities. Histories
    from before they were say False, and go on as they began."""

    @property
    def title(self) -> str:
        """What is made, in a few words, for summaries."""
        quoted = self.quote
        return f"{quoted.duration_s:g} s {quoted.resolution} by {quoted.model}"
