"""What callers ask for. The same models for Python, CLI and plain JSON on the wire.

A parameter is None unless given: the catalogue holds each model's default. What a model does not
take is refused by the catalogue, what nobody takes by `extra="forbid"`. A fourth operation is one
more model here, one catalogue entry and one short workflow file.
"""

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    TypeAdapter,
    field_validator,
    model_validator,
)

from workflows.contracts.failures import Failure
from workflows.contracts.media import PROVIDER_ROLES, MediaById, MediaReference, Role
from workflows.contracts.stages import Stage
from workflows.contracts.stories import INLINE_BYTES_MAX, Scene, StoryContext, Telling
from workflows.contracts.texts import Int64, Name, Prose, Storable, UsdMicros


class Operation(StrEnum):
    """What is made. Each is one workflow type."""

    IMAGE_TO_VIDEO = "image-to-video"
    SCENE_ANIMATION = "scene-animation"
    TALKING_AVATAR = "talking-avatar"


WORKFLOW_TYPES: dict[Operation, str] = {
    Operation.IMAGE_TO_VIDEO: "ImageToVideo",
    Operation.SCENE_ANIMATION: "SceneAnimation",
    Operation.TALKING_AVATAR: "TalkingAvatar",
}
"""The names on the wire."""


class Source(StrEnum):
    """The product that asks."""

    STORY_WRITER = "story_writer"
    PODCAST_MAKER = "podcast_maker"
    VIDEO_STUDIO = "video_studio"
    IMAGE_STUDIO = "image_studio"
    API = "api"


ModelName = Annotated[Storable, StringConstraints(max_length=200)]
Resolution = Annotated[Storable, StringConstraints(max_length=20)]
CallbackUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s\x00@]+$", max_length=2048)]
"""Where stage changes are told. Whether it may be called is the deployment's rule."""


def _form(value: Any) -> str:  # noqa: ANN401 - not parsed yet
    stored = isinstance(value, MediaById) or (isinstance(value, dict) and "media_id" in value)
    return "stored" if stored else "inline"


SceneInput = Annotated[
    Annotated[Scene, Tag("inline")] | Annotated[MediaById, Tag("stored")], Discriminator(_form)
]
StoryInput = Annotated[
    Annotated[StoryContext, Tag("inline")] | Annotated[MediaById, Tag("stored")],
    Discriminator(_form),
]


class _Request(BaseModel):
    """What every operation's request has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: Name
    """Who it is for, and whose quota it takes. An opaque string of the caller's."""
    source: Source = Source.API
    idempotency_key: Name | None = None
    """The same key and request name the same generation for ever."""
    max_cost_usd_micros: UsdMicros | None = None
    """Refuse, with nothing reserved, when the quote is higher."""
    model: ModelName | None = None
    callback_url: CallbackUrl | None = None
    """Told of every stage, signed by the source's secret (Standard Webhooks)."""

    @property
    def media(self) -> dict[Role, MediaReference]:
        """The given inputs that go to the provider, by role."""
        given: dict[Role, MediaReference | None] = {
            role: getattr(self, role, None) for role in PROVIDER_ROLES
        }
        return {role: reference for role, reference in given.items() if reference is not None}

    @property
    def documents(self) -> dict[Role, MediaById]:
        """Scene and story where they are stored, not inline."""
        roles: tuple[Role, ...] = ("scene", "story_context")
        given: dict[Role, object] = {role: getattr(self, role, None) for role in roles}
        return {role: value for role, value in given.items() if isinstance(value, MediaById)}

    @model_validator(mode="after")
    def _story_is_small(self) -> Self:
        parts = (getattr(self, role, None) for role in ("scene", "story_context"))
        size_bytes = sum(part.inline_bytes() for part in parts if isinstance(part, Telling))
        if size_bytes > INLINE_BYTES_MAX:
            raise ValueError(
                f"scene, story_context: {size_bytes} bytes of JSON; allowed: at most"
                f" {INLINE_BYTES_MAX} inline, more by media id (stillmotion upload FILE.json)"
            )
        return self


class ImageToVideoRequest(_Request):
    """A picture and a prompt; optionally sound, what to avoid, a seed."""

    operation: Literal[Operation.IMAGE_TO_VIDEO] = Operation.IMAGE_TO_VIDEO
    image: MediaReference
    prompt: Prose
    audio: MediaReference | None = None
    negative_prompt: Prose | None = None
    seed: Int64 | None = None
    prompt_expansion: bool | None = Field(default=None, strict=True)
    """Whether the provider may enlarge on the prompt."""
    duration_s: Int64 | None = None
    resolution: Resolution | None = None


class SceneAnimationRequest(_Request):
    """A scene's picture, the scene and its story: the prompt is written from these."""

    operation: Literal[Operation.SCENE_ANIMATION] = Operation.SCENE_ANIMATION
    image: MediaReference
    scene: SceneInput
    story_context: StoryInput | None = None
    negative_prompt: Prose | None = None
    guidance_scale: float | None = Field(default=None, strict=True, allow_inf_nan=False)
    """How closely to follow the prompt; outside of the model's limits it is refused."""
    duration_s: Int64 | None = None

    @field_validator("scene")
    @classmethod
    def _something_is_told(cls, scene: Scene | MediaById) -> Scene | MediaById:
        if isinstance(scene, Scene) and not scene.is_told():
            raise ValueError("a title, a description or an image_prompt is needed")
        return scene


class TalkingAvatarRequest(_Request):
    """A face and a voice. Without a prompt one is made by rule from scene and story, if given."""

    operation: Literal[Operation.TALKING_AVATAR] = Operation.TALKING_AVATAR
    image: MediaReference
    audio: MediaReference
    prompt: Prose | None = None
    mask_image: MediaReference | None = None
    """White where the picture may move."""
    scene: SceneInput | None = None
    story_context: StoryInput | None = None
    seed: Int64 | None = None
    resolution: Resolution | None = None


GenerationRequest = ImageToVideoRequest | SceneAnimationRequest | TalkingAvatarRequest

REQUESTS: dict[Operation, type[GenerationRequest]] = {
    Operation.IMAGE_TO_VIDEO: ImageToVideoRequest,
    Operation.SCENE_ANIMATION: SceneAnimationRequest,
    Operation.TALKING_AVATAR: TalkingAvatarRequest,
}


def _operation(value: Any) -> str | None:  # noqa: ANN401 - not parsed yet
    """The tag of a request; those of the first release have none."""
    if isinstance(value, dict):
        named = value.get("operation", Operation.IMAGE_TO_VIDEO)
    else:
        named = getattr(value, "operation", None)
    return str(named) if isinstance(named, str) else None


AnyRequest = Annotated[
    Annotated[ImageToVideoRequest, Tag("image-to-video")]
    | Annotated[SceneAnimationRequest, Tag("scene-animation")]
    | Annotated[TalkingAvatarRequest, Tag("talking-avatar")],
    Discriminator(_operation),
]
"""A request of any operation, told apart by its `operation`."""

_ANY: TypeAdapter[GenerationRequest] = TypeAdapter(AnyRequest)


class Claimed(BaseModel):
    """In place of a request: it stands in the database already, under the workflow's id.

    So a batch starts five hundred generations without their texts in its history.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    claimed: Literal[True] = True


class Parked(BaseModel):
    """What a parked run hands to the one that continues it, beyond what the database knows.

    It is for readers and for the schedule of looks only: the prediction is read from its row.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    stage: Literal[Stage.TIMED_OUT, Stage.UNRESOLVED]
    looks: int = Field(ge=0)
    """How many looks its schedule has had: the pauses go on widening from there."""
    why: Failure
    since: AwareDatetime | None = None
    hinted: str | None = None
    """A prediction that a webhook named, and nobody could read yet."""
    prompt_by: Literal["caller", "rule", "llm"] | None = None
    warnings: tuple[str, ...] = ()


class Continued(Claimed):
    """A parked generation goes on in a new run, such as by a newer version of the code."""

    parked: Parked


def parse_request(document: Any) -> GenerationRequest:  # noqa: ANN401 - what was stored as JSON
    """A stored request.

    Raises:
        pydantic.ValidationError: it is none.
    """
    return _ANY.validate_python(document)


def request_hash(request: GenerationRequest) -> str:
    """Hex sha256 of what was asked for: equal for equal wishes, whatever the key or the cost limit.

    A new field with a default does not change the hash of an old request.
    """
    wish = request.model_dump(
        mode="json", exclude_defaults=True, exclude={"idempotency_key", "max_cost_usd_micros"}
    )
    canonical = json.dumps([request.operation, wish], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
