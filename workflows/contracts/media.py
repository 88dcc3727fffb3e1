"""Media by reference, and what was measured of it.

Media never crosses a boundary as bytes: a caller names it by `MediaReference`, the inspecting
activities answer with the facts they measured by decoding.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

MediaKind = Literal["image", "audio", "video", "document"]

Role = Literal["image", "audio", "mask_image", "scene", "story_context"]
"""What an input is to a request: the name of the field that it stands in."""

PROVIDER_ROLES: tuple[Role, ...] = ("image", "audio", "mask_image")
"""Those that go to the provider; the others make the prompt."""

MediaId = Annotated[str, StringConstraints(pattern=r"^med_[a-z0-9]{26}$")]
HttpsUrl = Annotated[str, StringConstraints(pattern=r"^https://[^\s\x00]+$", max_length=2048)]


class ImageFacts(BaseModel):
    """What decoding an image showed. Sizes in pixels and bytes."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["image"] = "image"
    mime_type: str
    """`image/jpeg`, `image/png`, `image/webp` or `image/bmp`."""
    size_bytes: int
    sha256: str
    width: int
    """After the orientation in its EXIF data is applied, as the provider and a person see it."""
    height: int
    has_alpha: bool = False


class AudioFacts(BaseModel):
    """What decoding an audio file showed."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["audio"] = "audio"
    mime_type: str
    """`audio/mpeg`, `audio/wav`, `audio/ogg`, `audio/aac`, `audio/flac` or `audio/mp4`."""
    size_bytes: int
    sha256: str
    duration_s: float
    """Seconds of decoded sound, not the header's claim."""
    sample_rate: int = 0
    channels: int = 0


class VideoFacts(BaseModel):
    """What decoding a video to its end showed."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["video"] = "video"
    mime_type: str = "video/mp4"
    size_bytes: int
    sha256: str
    duration_s: float
    """Seconds of decoded pictures: last frame's end less first frame's start."""
    width: int
    height: int
    codec: str
    """FFmpeg's name, for example `h264`."""
    frames: int
    has_audio: bool = False


class DocumentFacts(BaseModel):
    """What reading a scene or a story that was stored as JSON showed."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["document"] = "document"
    mime_type: str = "application/json"
    size_bytes: int
    sha256: str


MediaFacts = Annotated[
    ImageFacts | AudioFacts | VideoFacts | DocumentFacts, Field(discriminator="kind")
]
InputFacts = ImageFacts | AudioFacts | DocumentFacts
"""What a user's input can be."""


class MediaById(BaseModel):
    """Media that was uploaded before, by the same user."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    media_id: MediaId


class MediaByUrl(BaseModel):
    """Media at a public https address; copied into the store once, before anything is reserved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: HttpsUrl


def _form(value: Any) -> str:  # noqa: ANN401 - not parsed yet
    by_url = isinstance(value, MediaByUrl) or (isinstance(value, dict) and "url" in value)
    return "by_url" if by_url else "by_id"


MediaReference = Annotated[
    Annotated[MediaById, Tag("by_id")] | Annotated[MediaByUrl, Tag("by_url")], Discriminator(_form)
]
"""By id, or by URL where it has one: then what is wrong is told of that form alone."""
