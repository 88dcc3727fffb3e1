"""From a request and its measured media to parameters, a quote and the provider's inputs.

The one validation of every door: CLI, Python client, workflow and API all come through here. Pure.
Each refusal names the field, its value and what is allowed.
"""

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from workflows.contracts.catalogue import (
    AudioLimits,
    Catalogue,
    ChoiceParameter,
    FlagParameter,
    ImageLimits,
    ModelEntry,
    NumberParameter,
    Parameter,
    TextParameter,
)
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import AudioFacts, ImageFacts
from workflows.contracts.requests import GenerationRequest
from workflows.contracts.texts import dollars

Scalar = bool | int | float | str
Parameters = Mapping[str, Scalar]

_NOT_PARAMETERS = frozenset(
    {
        "operation",
        "user_id",
        "source",
        "idempotency_key",
        "max_cost_usd_micros",
        "model",
        "callback_url",
        "image",
        "audio",
        "mask_image",
        "scene",
        "story_context",
    }
)


class Quote(BaseModel):
    """What a request will cost and give. The reservation is made of this, by the same code."""

    model_config = ConfigDict(frozen=True)

    model: str
    catalogue_version: str
    cost_usd_micros: int
    duration_s: float
    """Seconds of video: as asked, or as long as the audio."""
    resolution: str
    """The true size class, in the provider's words: Kandinsky makes 512p for 480p."""
    width: int
    height: int
    deadline_s: int
    expected_s: int


def choose(catalogue: Catalogue, request: GenerationRequest) -> ModelEntry:
    """The model that `request` names, or its operation's default.

    Raises:
        RequestRefused: no such model, or one of another operation.
    """
    entries = catalogue.models_for(request.operation)
    if request.model is None and entries:
        return entries[0]
    for entry in entries:
        if entry.model == request.model:
            return entry
    raise _refused("model", request.model, f"one of {[entry.model for entry in entries]}")


def resolve(entry: ModelEntry, request: GenerationRequest) -> Parameters:
    """The request's parameters, checked against the model, its defaults filled in.

    Raises:
        RequestRefused: one that the model doesn't take, lacks, or takes only otherwise.
    """
    given = {
        name: value for name, value in request if name not in _NOT_PARAMETERS and value is not None
    }
    unknown = sorted(given.keys() - entry.parameters.keys())
    if unknown:
        # A prompt that we make is the model's parameter, but no field of the request.
        taken = sorted(entry.parameters.keys() & type(request).model_fields.keys())
        raise _not_taken(unknown[0], entry, taken)
    values: dict[str, Scalar] = {}
    for name, parameter in entry.parameters.items():
        value = given.get(name, parameter.default)
        if value is not None and name in given:
            _check(name, value, parameter)
        elif value is None and _must_be_given(name, parameter, request):
            raise _refused(name, None, "a text")
        if value is not None:
            values[name] = value
    takes = {"image": True, "audio": entry.audio is not None, "mask_image": entry.mask}
    for role in request.media:
        if not takes[role]:
            raise _not_taken(role, entry, [each for each, taken in takes.items() if taken])
    return values


def _must_be_given(name: str, parameter: Parameter, request: GenerationRequest) -> bool:
    """A text that the request has no field for is made by us."""
    required = isinstance(parameter, TextParameter) and parameter.required
    return required and name in type(request).model_fields


def _check(name: str, value: Scalar, parameter: Parameter) -> None:
    match parameter:
        case TextParameter():
            text = str(value)
            if parameter.required and not text.strip():
                raise _refused(name, text, f"1 to {parameter.characters_max} characters")
            if len(text) > parameter.characters_max:
                raise _refused(
                    name,
                    f"{len(text)} characters",
                    f"at most {parameter.characters_max} characters",
                )
        case ChoiceParameter():
            if value not in parameter.allowed:
                raise _refused(name, value, f"one of {', '.join(map(str, parameter.allowed))}")
        case FlagParameter():
            return
        case _:
            # NaN compares false with everything, so this form refuses it.
            if not parameter.minimum <= float(value) <= parameter.maximum:
                raise _refused(name, value, f"from {parameter.minimum} to {parameter.maximum}")


def check_image(limits: ImageLimits, image: ImageFacts, field: str = "image") -> None:
    """Raise RequestRefused (invalid_media) where the model does not take this picture."""
    low, high = limits.side_px_min, limits.side_px_max
    size = f"{image.width}x{image.height} pixels"
    if image.mime_type not in limits.mime_types:
        raise _unfit(field, image.mime_type, f"one of {', '.join(limits.mime_types)}")
    if image.size_bytes > limits.size_bytes_max:
        raise _unfit(
            field, _megabytes(image.size_bytes), f"at most {_megabytes(limits.size_bytes_max)}"
        )
    if min(image.width, image.height) < low or max(image.width, image.height) > high:
        raise _unfit(field, size, f"each side from {low} to {high} pixels")
    ratio = max(image.width, image.height) / min(image.width, image.height)
    if limits.aspect_ratio_max is not None and ratio > limits.aspect_ratio_max:
        widest = f"{limits.aspect_ratio_max:g}"
        raise _unfit(field, f"{size} (aspect {ratio:.2f}:1)", f"from 1:{widest} to {widest}:1")
    if image.has_alpha and not limits.alpha:
        raise _unfit(field, "with an alpha channel", "a picture without transparency")


def check_audio(limits: AudioLimits, audio: AudioFacts) -> None:
    """Raise RequestRefused (invalid_media) where the model does not take this sound."""
    low, high = limits.duration_s_min, limits.duration_s_max
    if audio.mime_type not in limits.mime_types:
        raise _unfit("audio", audio.mime_type, f"one of {', '.join(limits.mime_types)}")
    if audio.size_bytes > limits.size_bytes_max:
        raise _unfit(
            "audio", _megabytes(audio.size_bytes), f"at most {_megabytes(limits.size_bytes_max)}"
        )
    if not low <= audio.duration_s <= high:
        raise _unfit("audio", f"{audio.duration_s:.2f} s long", f"from {low:g} to {high:g} s")


def quote(
    catalogue: Catalogue,
    entry: ModelEntry,
    parameters: Parameters,
    image: ImageFacts,
    audio: AudioFacts | None = None,
    mask_image: ImageFacts | None = None,
) -> Quote:
    """Price, true size and times, for inputs that fit.

    Raises:
        RequestRefused: a picture or the sound does not fit the model.
    """
    check_image(entry.image, image)
    if mask_image is not None:
        check_image(entry.image, mask_image, "mask_image")
    if entry.audio is not None and audio is not None:
        check_audio(entry.audio, audio)
    if entry.audio is not None and entry.audio.required and audio is None:
        raise _refused("audio", None, "a sound file")
    size_class = _size_class(entry, parameters)
    duration_s = _duration(parameters, audio)
    width, height = output_size(entry.size_classes[size_class], image.width, image.height)
    return Quote(
        model=entry.model,
        catalogue_version=catalogue.version,
        cost_usd_micros=cost(entry, size_class, duration_s),
        duration_s=duration_s,
        resolution=size_class,
        width=width,
        height=height,
        deadline_s=entry.deadline.seconds(duration_s),
        expected_s=entry.expected.seconds(duration_s),
    )


def check_max_cost(request: GenerationRequest, quoted: Quote) -> None:
    """Raise RequestRefused (max_cost_exceeded) where the caller's own limit is below the quote."""
    limit = request.max_cost_usd_micros
    if limit is not None and quoted.cost_usd_micros > limit:
        raise RequestRefused(
            FailureKind.MAX_COST_EXCEEDED,
            f"max_cost_usd_micros: the quote is {dollars(quoted.cost_usd_micros)},"
            f" the limit {dollars(limit)}.",
        )


def cost(entry: ModelEntry, size_class: str, duration_s: float) -> int:
    """Micro-USD for a video of `duration_s` seconds.

    Started seconds count, within the model's minimum and cap.
    """
    rate = entry.price.usd_micros[size_class]
    if entry.price.unit == "run":
        return rate
    seconds = max(math.ceil(duration_s), entry.price.seconds_min)
    if entry.price.seconds_max is not None:
        seconds = min(seconds, entry.price.seconds_max)
    return rate * seconds


def output_size(short_side_px: int, image_width: int, image_height: int) -> tuple[int, int]:
    """Width and height of the video, both even.

    The class is its short side, the picture gives the aspect.
    """
    long_side = short_side_px * max(image_width, image_height) / min(image_width, image_height)
    even = round(long_side / 2) * 2
    return (even, short_side_px) if image_width >= image_height else (short_side_px, even)


def provider_inputs(
    entry: ModelEntry, parameters: Parameters, staged_urls: Mapping[str, str]
) -> dict[str, Scalar]:
    """The submission's body: the provider's names and values, defaults always sent, no nulls."""
    inputs: dict[str, Scalar] = dict(staged_urls)
    for name, value in parameters.items():
        parameter = entry.parameters[name]
        sent = value
        if isinstance(parameter, ChoiceParameter) and isinstance(value, int | str):
            sent = parameter.provider_value(value)
        if isinstance(parameter, NumberParameter):
            sent = float(value)
        inputs[parameter.provider_name or name] = sent
    return inputs


def _size_class(entry: ModelEntry, parameters: Parameters) -> str:
    resolution = entry.parameters.get("resolution")
    if not isinstance(resolution, ChoiceParameter):
        return next(iter(entry.size_classes))
    return str(resolution.provider_value(str(parameters["resolution"])))


def _duration(parameters: Parameters, audio: AudioFacts | None) -> float:
    if "duration_s" in parameters:
        return float(parameters["duration_s"])
    assert audio is not None, "a model without a duration lasts as long as its audio"
    return audio.duration_s


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_048_576:.1f} MB"


def _refused(field: str, value: object, allowed: str) -> RequestRefused:
    shown = "missing" if value is None else repr(value) if isinstance(value, str) else str(value)
    if len(shown) > 120:  # noqa: PLR2004 - a sentence, not a dump
        shown = shown[:117] + "..."
    return RequestRefused(FailureKind.INVALID_REQUEST, f"{field}: {shown}; allowed: {allowed}.")


def _not_taken(name: str, entry: ModelEntry, taken: list[str]) -> RequestRefused:
    return RequestRefused(
        FailureKind.INVALID_REQUEST,
        f"{name}: {entry.title} does not take it; it takes {', '.join(taken)}.",
    )


def _unfit(field: str, value: str, allowed: str) -> RequestRefused:
    return RequestRefused(FailureKind.INVALID_MEDIA, f"{field}: {value}; allowed: {allowed}.")
