"""Turns a model, its inputs and the fetched media into the scene to render."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import av
from av.error import FFmpegError
from PIL import Image
from pydantic import JsonValue

from workers.sandbox.camera import camera_move
from workers.sandbox.catalogue import Model, PerSecond, PictureLimits
from workers.sandbox.faults import OtherDurationFault, OtherSizeFault
from workers.sandbox.inputs import exact_size, size_class, with_defaults
from workers.sandbox.records import Prediction
from workers.sandbox.rendering import Scene, even_size, upright_picture
from workers.sandbox.sound import Soundtrack, audio_duration_s
from workers.sandbox.sources import UNREACHABLE, MediaUnusable

INVALID = 1401
"""The provider's code for an input out of its limits."""
_SOUNDS = ("audio", "left_audio", "right_audio")


def heard_s(inputs: Mapping[str, JsonValue], media: Mapping[str, Path]) -> float | None:
    """Seconds of the given audio as the models bill it: two speakers in turn add up.

    Raises:
        MediaUnusable: an audio file can't be read.
    """
    lengths = [_audio_s(media[name]) for name in _SOUNDS if name in media]
    if not lengths:
        return None
    return max(lengths) if _together(inputs) else sum(lengths)


def build_scene(
    model: Model, prediction: Prediction, media: Mapping[str, Path], folder: Path
) -> Scene:
    """The scene, with the job's faults of size and duration in it.

    Raises:
        MediaUnusable: a file can't be read or is out of the model's limits.
    """
    given = with_defaults(model, prediction.input)
    heard = heard_s(given, media)
    if heard is not None and heard < model.audio_s_min:
        raise MediaUnusable(INVALID, f"the audio must last at least {model.audio_s_min:g} s")
    seed = _seed(given, prediction.id)
    picture = _picture(model, given, media, folder)
    width, height = _size(model, given, picture)
    if other := prediction.fault(OtherSizeFault):
        width, height = other.width // 2 * 2, other.height // 2 * 2
    return Scene(
        picture=picture,
        width=width,
        height=height,
        duration_s=_duration_s(model, prediction, given, heard),
        camera=camera_move(str(given.get("prompt", "")), seed),
        soundtrack=_soundtrack(model, given, media, seed),
    )


def _duration_s(
    model: Model, prediction: Prediction, given: Mapping[str, JsonValue], heard: float | None
) -> float:
    if other := prediction.fault(OtherDurationFault):
        return other.duration_s
    if isinstance(model.price, PerSecond) and model.price.sound:
        return min(heard or 0.0, model.price.seconds_max or float("inf"))
    return float(str(given["duration"]))


def _soundtrack(
    model: Model, given: Mapping[str, JsonValue], media: Mapping[str, Path], seed: int
) -> Soundtrack | None:
    if model.sound == "never":
        return None
    names = [name for name in _SOUNDS if name in media]
    if given.get("order") == "right_left":
        names.reverse()
    tracks = tuple(media[name] for name in names)
    order = "together" if _together(given) else "in_turn"
    return Soundtrack(tracks=tracks, order=order, ambience_seed=seed)


def _together(inputs: Mapping[str, JsonValue]) -> bool:
    return inputs.get("order", "meanwhile") == "meanwhile"


def _picture(
    model: Model, given: Mapping[str, JsonValue], media: Mapping[str, Path], folder: Path
) -> Path:
    if image := media.get("image"):
        _check_picture(image, model.picture)
        return image
    picture = folder / "picture.png"
    if video := media.get("video"):
        _first_frame(video).save(picture)
    else:
        _painted(given).save(picture)
    return picture


def _size(model: Model, given: Mapping[str, JsonValue], picture: Path) -> tuple[int, int]:
    exact = exact_size(given)
    if exact is not None:
        return exact
    short_side = int(size_class(model, given).removesuffix("p"))
    return even_size(upright_picture(picture).size, short_side)


def _check_picture(path: Path, limits: PictureLimits) -> None:
    if path.stat().st_size > limits.size_bytes_max:
        raise MediaUnusable(INVALID, f"the image is over {limits.size_bytes_max} bytes")
    try:
        size = upright_picture(path).size
    except OSError as error:
        raise MediaUnusable(UNREACHABLE, "the image can't be read") from error
    short, long = sorted(size)
    if short < limits.side_min or long > limits.side_max:
        raise MediaUnusable(
            INVALID, f"each side must have {limits.side_min} to {limits.side_max} pixels"
        )
    if long / short > limits.aspect_max:
        raise MediaUnusable(INVALID, f"the image is longer than 1:{limits.aspect_max:g}")


def _audio_s(path: Path) -> float:
    try:
        return audio_duration_s(path)
    except (FFmpegError, ValueError) as error:
        raise MediaUnusable(UNREACHABLE, "the audio can't be read") from error


def _first_frame(video: Path) -> Image.Image:
    try:
        with av.open(video) as container:
            return next(container.decode(video=0)).to_image()
    except (FFmpegError, IndexError, StopIteration) as error:
        raise MediaUnusable(UNREACHABLE, "the video can't be read") from error


def _painted(given: Mapping[str, JsonValue]) -> Image.Image:
    """A picture for the text-to-video models: a sky over a plain, in colours of the prompt."""
    colours = hashlib.sha256(str(given.get("prompt", "")).encode()).digest()
    across, _, down = str(given.get("aspect_ratio", "16:9")).partition(":")
    exact = exact_size(given) or (60 * int(across), 60 * int(down))
    sky = Image.linear_gradient("L").resize(exact)
    upper = Image.new("RGB", exact, tuple(colours[:3]))
    lower = Image.new("RGB", exact, tuple(colours[3:6]))
    painted = Image.composite(lower, upper, sky)
    sun = Image.radial_gradient("L").resize((min(exact) // 3, min(exact) // 3))
    painted.paste(Image.new("RGB", sun.size, tuple(colours[6:9])), (exact[0] // 3, 0), sun)
    return painted


def _seed(given: Mapping[str, JsonValue], prediction_id: str) -> int:
    """The seed as given; -1 asks for another video in each run. Models without one have 0."""
    seed = given.get("seed", 0)
    assert isinstance(seed, int)
    return int(prediction_id[:7], 16) if seed < 0 else seed
