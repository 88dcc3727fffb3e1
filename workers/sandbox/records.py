"""The rows a sandbox keeps: predictions, uploads and bills."""

import secrets
from datetime import datetime
from typing import Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue

from workers.sandbox.faults import Fault, KeptFault

Status = Literal["created", "processing", "completed", "failed", "cancelled", "timeout", "deleted"]
UNFINISHED: tuple[Status, ...] = ("created", "processing")

_F = TypeVar("_F", bound=Fault)


def new_id() -> str:
    """32 hex characters, as the provider's ids are."""
    return secrets.token_hex(16)


class Prediction(BaseModel):
    """One accepted job. Money in micro-USD."""

    model_config = ConfigDict(frozen=True)

    id: str
    model: str
    input: dict[str, JsonValue]
    status: Status = "created"
    created_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    origin: str
    """Scheme, host and port under which the submitter reached the sandbox."""
    webhook: str | None = None
    webhook_due: bool = False
    faults: tuple[KeptFault, ...] = ()
    price_usd_micros: int | None = None
    """None until the audio that drives the price was read."""
    error: str = ""
    code: int = 0
    has_output: bool = False
    url_version: int = 1
    """Rises when a handed out URL has expired."""
    downloads: int = 0

    @property
    def finished(self) -> bool:
        """Whether the status is final."""
        return self.status not in UNFINISHED

    def fault(self, kind: type[_F]) -> _F | None:
        """The job's fault of this kind."""
        return next((each for each in self.faults if isinstance(each, kind)), None)

    def changed(self, **changes: object) -> "Prediction":
        """A copy with other values."""
        return self.model_copy(update=changes)


class Upload(BaseModel):
    """One upload: announced (a ticket), then filled. `sha256` is None until it is."""

    model_config = ConfigDict(frozen=True)

    id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str | None = None
    shared_id: str | None = None
    """The earlier upload whose URL was handed out, where equal uploads share one."""
    conflict: bool = False
    """The content turned out to differ from the shared upload's."""

    @property
    def url_id(self) -> str:
        """The id in the URL that the submitter was given."""
        return self.shared_id or self.id


class Bill(BaseModel):
    """One row of the account's bills: a charge or a refund, both as positive amounts."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["deduct", "refund"]
    prediction_id: str
    model: str
    status: Status
    price_usd_micros: int
    created_at: AwareDatetime


def iso(at: datetime) -> str:
    """UTC with microseconds and `Z`, the provider's way to write a time."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
