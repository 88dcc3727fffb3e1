"""What the API replies with, as callers elsewhere may see it.

Paths of our machine and a bucket's own addresses stay here; in their place stand links of this API.
Hints are requests, not commands.
"""

from datetime import datetime
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from activities.ledger.usage import Estimate
from starter.api.hints import failure_over_http
from workflows.contracts.failures import Failure
from workflows.contracts.media import MediaFacts, Role
from workflows.contracts.progress import Progress
from workflows.contracts.requests import Operation, Source
from workflows.contracts.results import Generation
from workflows.contracts.stages import Stage, Status

GENERATIONS = "/v1/generations"
BATCHES = "/v1/batches"
ASSETS = "/v1/assets"


class Document(BaseModel):
    """Something that is replied; its fields' docstrings stand in the OpenAPI document."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Links(Document):
    """Where to go on from a generation, as paths of this API."""

    self: str
    events: str
    """What happened, and what happens, as server-sent events."""
    content: str | None = None
    """The video; null until it is there, and after it was deleted."""
    poster: str | None = None
    """A still of it, which is 404 where none could be made."""


class GenerationDocument(Document):
    """One generation. What isn't known yet is null."""

    generation_id: str
    operation: Operation
    status: Status
    stage: Stage
    user_id: str
    source: Source
    model: str | None
    provider: str | None
    prediction_id: str | None
    """The provider's job."""
    prompt: str | None
    prompt_by: str | None
    """`caller`, `rule` or `llm`; null where none was sent."""
    duration_s: float | None
    """The file's; before there is a file, what was asked."""
    resolution: str | None
    width: int | None
    height: int | None
    file_size_bytes: int | None
    sha256: str | None
    mime_type: str | None
    cost_usd_micros: int | None
    """Booked, in millionths of a US dollar."""
    quoted_usd_micros: int | None
    asset_id: str | None
    created_at: datetime
    completed_at: datetime | None
    """When it ended, however it ended."""
    warnings: tuple[str, ...]
    error: Failure | None
    """Why it failed, or why it is parked."""
    links: Links
    progress: Progress | None = None
    """As of now, where one generation is asked for; null in lists."""

    @classmethod
    def of(cls, generation: Generation, progress: Progress | None = None) -> "GenerationDocument":
        """The document of a generation."""
        fields = generation.model_dump(exclude={"file_path", "poster_path", "url", "error"})
        return cls(
            **fields,
            error=told(generation.error),
            links=links_of(generation.generation_id, generation.asset_id),
            progress=progress,
        )


class GenerationPage(Document):
    """Generations, newest first."""

    items: tuple[GenerationDocument, ...]
    next_cursor: str | None
    """The `cursor` of the next page; null on the last one."""


class Resolved(Document):
    """What came of a decision."""

    outcome: str
    """One sentence."""
    generation: GenerationDocument


class UploadDocument(Document):
    """A stored input, to be named in requests for the same user."""

    media_id: str
    role: Role
    facts: MediaFacts
    """What decoding it showed."""


def estimate_over_http(estimate: Estimate) -> Estimate:
    """The same estimate, its refusal in the words of this API."""
    return estimate.model_copy(update={"refusal": told(estimate.refusal)})


def links_of(generation_id: str, asset_id: str | None) -> Links:
    """The links of a generation; those of its asset where there is one."""
    path = f"{GENERATIONS}/{quote(generation_id, safe='')}"
    asset = None if asset_id is None else f"{ASSETS}/{asset_id}"
    return Links(
        self=path,
        events=f"{path}/events",
        content=None if asset is None else f"{asset}/content",
        poster=None if asset is None else f"{asset}/poster",
    )


def told(failure: Failure | None) -> Failure | None:
    """Why something ended or waits, in the words of this API."""
    return None if failure is None else failure_over_http(failure)
