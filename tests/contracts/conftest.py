"""Builders of requests, facts and quotes, with defaults that show what matters."""

from datetime import UTC, datetime

import pytest

from activities.ledger.catalogues import load_catalogue
from workflows.contracts.catalogue import Catalogue, ModelEntry
from workflows.contracts.media import AudioFacts, ImageFacts
from workflows.contracts.progress import ProgressFacts
from workflows.contracts.requests import ImageToVideoRequest
from workflows.contracts.stages import Stage

WAN = "alibaba/wan-2.5/image-to-video"
FAST = "alibaba/wan-2.5/image-to-video-fast"
KANDINSKY = "wavespeed/kandinsky5-pro/image-to-video"
KLING = "kwaivgi/kling-v2.5-turbo-std/image-to-video"
TALK = "wavespeed-ai/infinitetalk"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def a_request(**given: object) -> ImageToVideoRequest:
    asked = {"user_id": "ann", "image": {"media_id": "med_" + "a" * 26}, "prompt": "a calm sea"}
    return ImageToVideoRequest.model_validate({**asked, **given})


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
