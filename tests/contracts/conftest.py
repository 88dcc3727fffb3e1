"""Builders of requests, facts and quotes, with defaults that show what matters."""

from datetime import UTC, datetime

import pytest

from activities.ledger.catalogues import load_catalogue
from workflows.contracts.catalogue import Catalogue, ModelEntry
from workflows.contracts.media import AudioFacts, ImageFacts
from workflows.contracts.progress import ProgressFacts
from workflows.contracts.requests import (
    GenerationRequest,
    ImageToVideoRequest,
    Operation,
    SceneAnimationRequest,
    TalkingAvatarRequest,
    parse_request,
)
from workflows.contracts.stages import Stage

WAN = "alibaba/wan-2.5/image-to-video"
FAST = "alibaba/wan-2.5/image-to-video-fast"
KANDINSKY = "wavespeed/kandinsky5-pro/image-to-video"
KLING = "kwaivgi/kling-v2.5-turbo-std/image-to-video"
TALK = "wavespeed-ai/infinitetalk"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


A_PICTURE = {"media_id": "med_" + "a" * 26}
A_SOUND = {"media_id": "med_" + "b" * 26}
LEAST: dict[Operation, dict[str, object]] = {
    Operation.IMAGE_TO_VIDEO: {"user_id": "ann", "image": A_PICTURE, "prompt": "a calm sea"},
    Operation.SCENE_ANIMATION: {
        "user_id": "ann",
        "image": A_PICTURE,
        "scene": {"title": "A calm sea"},
    },
    Operation.TALKING_AVATAR: {"user_id": "ann", "image": A_PICTURE, "audio": A_SOUND},
}
"""What each operation can't do without."""


def a_request(**given: object) -> ImageToVideoRequest:
    return ImageToVideoRequest.model_validate({**LEAST[Operation.IMAGE_TO_VIDEO], **given})


def a_scene_request(**given: object) -> SceneAnimationRequest:
    return SceneAnimationRequest.model_validate({**LEAST[Operation.SCENE_ANIMATION], **given})


def an_avatar_request(**given: object) -> TalkingAvatarRequest:
    return TalkingAvatarRequest.model_validate({**LEAST[Operation.TALKING_AVATAR], **given})


def a_request_for(operation: Operation, **given: object) -> GenerationRequest:
    """A request of any operation, as it comes: the JSON of the wire."""
    return parse_request({"operation": operation.value, **LEAST[operation], **given})


def an_image(**given: object) -> ImageFacts:
    facts = {
        "mime_type": "image/jpeg",
        "size_bytes": 90_000,
        "sha256": "0" * 64,
        "width": 1280,
        "height": 720,
    }
    return ImageFacts.model_validate({**facts, **given})


def a_sound(duration_s: float = 8.0, **given: object) -> AudioFacts:
    facts = {
        "mime_type": "audio/wav",
        "size_bytes": 90_000,
        "sha256": "0" * 64,
        "duration_s": duration_s,
    }
    return AudioFacts.model_validate({**facts, **given})


def some_facts(stage: Stage = Stage.GENERATING, **given: object) -> ProgressFacts:
    facts = {"generation_id": "gen_one", "stage": stage, "since": NOON, "started_at": NOON}
    return ProgressFacts.model_validate({**facts, **given})


def entry_of(catalogue: Catalogue, model: str) -> ModelEntry:
    (entry,) = (each for each in catalogue.models if each.model == model)
    return entry


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """The one that is shipped."""
    return load_catalogue()
