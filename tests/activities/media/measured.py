"""The direct functions, with what they measured as its contract."""

from pathlib import Path

from activities.media import audio, images, videos
from workflows.contracts.media import AudioFacts, ImageFacts, VideoFacts


def inspect_image(path: Path, **given: int) -> ImageFacts:
    return ImageFacts.model_validate(images.inspect_image(path, **given), strict=True)


def inspect_audio(path: Path, **given: int) -> AudioFacts:
    return AudioFacts.model_validate(audio.inspect_audio(path, **given), strict=True)


def inspect_video(path: Path, **given: int) -> VideoFacts:
    return VideoFacts.model_validate(videos.inspect_video(path, **given), strict=True)


def make_poster(video_path: Path, out_path: Path) -> ImageFacts:
    return ImageFacts.model_validate(videos.make_poster(video_path, out_path), strict=True)
