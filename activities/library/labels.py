"""What an asset is filed under: title, description, tags, metadata, as its product's library did.

The products find their videos by these (Story Writer by the tag `scene_3`), so tags and the names
in the metadata are theirs. What they wrote as it was asked for is told here as the file is:
`duration` in seconds, `width` and `height` in pixels. `resolution` is the model's true size class.
"""

from typing import Any, NamedTuple

from workflows.contracts.media import VideoFacts
from workflows.contracts.requests import (
    GenerationRequest,
    ImageToVideoRequest,
    Operation,
    Source,
    TalkingAvatarRequest,
)
from workflows.contracts.stories import Scene
from workflows.contracts.terms import Terms

_STUDIOS = frozenset({Source.IMAGE_STUDIO, Source.VIDEO_STUDIO})
_TELLERS = frozenset({Source.STORY_WRITER, Source.PODCAST_MAKER})
"""Products whose videos are scenes of something longer."""

_NAMES = {
    Operation.IMAGE_TO_VIDEO: "Image-to-video",
    Operation.SCENE_ANIMATION: "Scene animation",
    Operation.TALKING_AVATAR: "Talking avatar",
}
_TITLE_CHARACTERS_MAX = 80
_DESCRIPTION_CHARACTERS_MAX = 500


class Labels(NamedTuple):
    """The columns of an asset that people and products search."""

    title: str
    description: str
    tags: list[str]
    metadata: dict[str, Any]


def labels_of(
    request: GenerationRequest, facts: VideoFacts, terms: Terms, stored: Scene | None = None
) -> Labels:
    """The labels of a finished video.

    Args:
        request: What was asked for.
        facts: What decoding the file showed.
        terms: What was agreed; its quote names model and resolution.
        stored: The scene, where the request names it by media id and it could be read.
    """
    scene = _scene_of(request) or stored
    number = None if scene is None else scene.number
    return Labels(
        title=_title(request, scene, terms),
        description=_description(request, scene, facts, terms),
        tags=_tags(request, number, terms),
        metadata=_metadata(request, number, facts, terms),
    )


def _scene_of(request: GenerationRequest) -> Scene | None:
    scene = None if isinstance(request, ImageToVideoRequest) else request.scene
    return scene if isinstance(scene, Scene) else None


def _is_of_a_tale(request: GenerationRequest) -> bool:
    """Whether the video is a scene of a story or of a podcast."""
    return request.source in _TELLERS and not isinstance(request, ImageToVideoRequest)


def _title(request: GenerationRequest, scene: Scene | None, terms: Terms) -> str:
    """The scene's number and title; else the caller's own words; else what it is."""
    if scene is not None and (scene.number is not None or _is_named(scene)):
        return _cut(scene.heading(), _TITLE_CHARACTERS_MAX)
    name, words = _NAMES[request.operation], " ".join(_words_of(request).split())
    if request.source in _STUDIOS:
        name = f"{name} ({terms.quote.resolution})"
        return _cut(f"{name}: {words}" if words else name, _TITLE_CHARACTERS_MAX)
    return _cut(words or name, _TITLE_CHARACTERS_MAX)


def _is_named(scene: Scene) -> bool:
    return bool(f"{scene.title}{scene.description}".strip())


def _words_of(request: GenerationRequest) -> str:
    """The caller's prompt; an operation whose prompt we write has none."""
    has_none = not isinstance(request, ImageToVideoRequest | TalkingAvatarRequest)
    return "" if has_none else request.prompt or ""


def _description(
    request: GenerationRequest, scene: Scene | None, facts: VideoFacts, terms: Terms
) -> str:
    told = "" if scene is None else scene.description or scene.narration
    size = f"{facts.duration_s:.1f} s, {facts.width}x{facts.height}"
    made = f"{_NAMES[request.operation]}, {size}, by {terms.quote.model}"
    return _cut(told, _DESCRIPTION_CHARACTERS_MAX) or made


def _tags(request: GenerationRequest, number: int | None, terms: Terms) -> list[str]:
    source, operation = request.source.value, request.operation.value
    if _is_of_a_tale(request):
        voice = ["voiceover"] if isinstance(request, TalkingAvatarRequest) else []
        tags = [source, "video", "animation", *voice]
    elif request.source in _STUDIOS:
        tags = [source, "transform", "video", operation, terms.quote.resolution]
    else:
        tags = [source, "video", operation, terms.quote.resolution]
    return tags if number is None else [*tags, f"scene_{number}"]


def _metadata(
    request: GenerationRequest, number: int | None, facts: VideoFacts, terms: Terms
) -> dict[str, Any]:
    duration_s = round(facts.duration_s, 3)
    scene = {} if number is None else {"scene_number": number}
    if _is_of_a_tale(request):
        return {**scene, "duration": duration_s, "status": "completed"}
    return {
        **scene,
        "operation": request.operation.value,
        "resolution": terms.quote.resolution,
        "duration": duration_s,
        "width": facts.width,
        "height": facts.height,
    }


def _cut(text: str, characters_max: int) -> str:
    """`text` on one line, its end left out where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= characters_max else f"{line[: characters_max - 1].rstrip()}…"
