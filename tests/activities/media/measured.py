"""The direct functions, with what they measured as its contract."""

from pathlib import Path

from activities.media import audio, files, images, videos
from workflows.contracts.media import AudioFacts, ImageFacts, VideoFacts


def inspect_image(path: Path, **given: int) -> ImageFacts:
    return ImageFacts.model_validate(images.inspect_image(path, **given), strict=True)


def inspect_audio(path: Path, **given: int) -> AudioFacts:
    return AudioFacts.model_validate(audio.inspect_audio(path, **given), strict=True)


def inspect_video(path: Path, *, size_bytes_max: int = files.OUTPUT_SIZE_BYTES_MAX) -> VideoFacts:
    facts = videos.inspect_video(path, size_bytes_max=size_bytes_max)
    return VideoFacts.model_validate(facts, strict=True)


def make_poster(video_path: Path, out_path: Path) -> ImageFacts:
    poster = videos.PosterFrame()
    videos.inspect_video(video_path, poster=poster)
    return ImageFacts.model_validate(poster.save(out_path), strict=True)
