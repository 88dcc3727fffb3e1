"""What a finished generation gives back, and a generation as readers see it."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from workflows.contracts.failures import Failure
from workflows.contracts.media import VideoFacts
from workflows.contracts.requests import Operation, Source
from workflows.contracts.stages import Stage, Status


class StoredVideo(BaseModel):
    """A verified video in the media store, before it has its row in the library."""

    model_config = ConfigDict(frozen=True)

    key: str
    facts: VideoFacts
    poster_key: str | None = None
    extra_keys: tuple[str, ...] = ()
    """Further outputs of the same prediction, kept beside the asset."""
    nsfw: bool = False
    warnings: tuple[str, ...] = ()
    """What differs from the terms: never a reason to fail a paid video."""


class GenerationResult(BaseModel):
    """What the workflow returns."""

    model_config = ConfigDict(frozen=True)

    generation_id: str
    asset_id: str
    prediction_id: str
    model: str
    duration_s: float
    width: int
    height: int
    resolution: str
    sha256: str
    file_size_bytes: int
    cost_usd_micros: int
    prompt_by: str | None = None
    """Who made the prompt: `caller`, `rule` or `llm`; None where none was sent."""
    warnings: tuple[str, ...] = ()


class Generation(BaseModel):
    """A generation as `show -o json` prints it (design §6). None where it isn't known yet."""

    model_config = ConfigDict(frozen=True)

    generation_id: str
    operation: Operation
    status: Status
    stage: Stage
    user_id: str
    source: Source
    model: str | None = None
    provider: str | None = None
    prediction_id: str | None = None
    prompt: str | None = None
    prompt_by: str | None = None
    """`caller`, `rule` or `llm`; None where none was sent."""
    duration_s: float | None = None
    """The file's; before there is a file, what was asked."""
    resolution: str | None = None
    width: int | None = None
    height: int | None = None
    file_size_bytes: int | None = None
    sha256: str | None = None
    mime_type: str | None = None
    file_path: str | None = None
    poster_path: str | None = None
    url: str | None = None
    cost_usd_micros: int | None = None
    quoted_usd_micros: int | None = None
    asset_id: str | None = None
    created_at: datetime
    completed_at: datetime | None = None
    """When it ended, however it ended."""
    warnings: tuple[str, ...] = ()
    error: Failure | None = None
    """Why it failed, or why it is parked."""
