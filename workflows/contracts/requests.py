"""What callers ask for. The same models for Python, CLI and plain JSON on the wire.

A parameter is None unless given: the catalogue holds each model's default. What a model does not
take is refused by the catalogue, what nobody takes by `extra="forbid"`.
"""

import hashlib
import json
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from workflows.contracts.media import MediaReference
from workflows.contracts.texts import Int64, Name, Prose, UsdMicros


class Operation(StrEnum):
    """What is made. Each is one workflow type."""

    IMAGE_TO_VIDEO = "image-to-video"
    SCENE_ANIMATION = "scene-animation"
    TALKING_AVATAR = "talking-avatar"


class Source(StrEnum):
    """The product that asks."""

    STORY_WRITER = "story_writer"
    PODCAST_MAKER = "podcast_maker"
    VIDEO_STUDIO = "video_studio"
    IMAGE_STUDIO = "image_studio"
    API = "api"


class GenerationRequest(BaseModel):
    """What every operation's request has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: Name
    """Who it is for, and whose quota it takes. An opaque string of the caller's."""
    source: Source = Source.API
    idempotency_key: Name | None = None
    """The same key and request name the same generation for ever."""
    max_cost_usd_micros: UsdMicros | None = None
    """Refuse, with nothing reserved, when the quote is higher."""
    model: str | None = Field(default=None, max_length=200)

    @property
    def operation(self) -> Operation:
        """The operation that this request is for."""
        raise NotImplementedError


class ImageToVideoRequest(GenerationRequest):
    """A picture and a prompt; optionally sound, what to avoid, a seed."""

    image: MediaReference
    prompt: Prose
    audio: MediaReference | None = None
    negative_prompt: Prose | None = None
    seed: Int64 | None = None
    prompt_expansion: bool | None = Field(default=None, strict=True)
    """Whether the provider may enlarge on the prompt."""
    duration_s: Int64 | None = None
    resolution: str | None = Field(default=None, max_length=20)

    @property
    def operation(self) -> Operation:
        """Image-to-video."""
        return Operation.IMAGE_TO_VIDEO


def request_hash(request: GenerationRequest) -> str:
    """Hex sha256 of what was asked for: equal for equal wishes, whatever the key or the cost limit.

    A new field with a default does not change the hash of an old request.
    """
    wish = request.model_dump(
        mode="json", exclude_defaults=True, exclude={"idempotency_key", "max_cost_usd_micros"}
    )
    canonical = json.dumps([request.operation, wish], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
