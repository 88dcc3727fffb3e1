"""The models the sandbox knows: inputs, limits and prices, as data.

Fields, defaults and prices are those of the provider's catalogue (schemas that allow no additional
properties) as recorded in August 2026; the picture and sound limits are the upstream model makers'.
"""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

FieldType = Literal["string", "integer", "number", "boolean"]
MediaRole = Literal["image", "audio", "video"]

SEED_MAX = 2_147_483_647


@dataclass(frozen=True)
class InputField:
    """One input of a model, as its schema describes it."""

    name: str
    type: FieldType = "string"
    required: bool = False
    choices: tuple[str | int, ...] = ()
    default: JsonValue = None
    minimum: float | None = None
    maximum: float | None = None
    length_max: int | None = None
    media: MediaRole | None = None

    def json_schema(self) -> dict[str, JsonValue]:
        """This field as a JSON schema property."""
        schema: dict[str, JsonValue] = {
            "type": self.type,
            "enum": list(self.choices),
            "default": self.default,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "maxLength": self.length_max,
            "format": "uri" if self.media else None,
        }
        return {name: value for name, value in schema.items() if value not in (None, [])}


@dataclass(frozen=True)
class PerSecond:
    """Micro-USD per second of video by resolution, for at least so many seconds."""

    rates: dict[str, int]
    seconds_min: int = 5
    seconds_max: int | None = None
    sound: bool = False
    """The seconds are the audio's, rounded up, not the `duration` input."""


@dataclass(frozen=True)
class PerRun:
    """Micro-USD per video, by the value of one input."""

    by: str
    prices: dict[str | int, int]


@dataclass(frozen=True)
class PictureLimits:
    """Side lengths in pixels and the widest shape (long side by short side)."""

    side_min: int = 1
    side_max: int = 8192
    aspect_max: float = 100.0
    size_bytes_max: int = 10_000_000


@dataclass(frozen=True)
class Model:
    """A model: what it takes, what it makes and what it costs."""

    id: str
    fields: tuple[InputField, ...]
    price: PerSecond | PerRun
    base_price_usd_micros: int
    short_side: int | None = None
    """Pixels, for models without a `resolution` or `size` input."""
    sound: Literal["always", "never"] = "never"
    picture: PictureLimits = field(default_factory=PictureLimits)
    audio_s_min: float = 0.0

    @property
    def type(self) -> str:
        """The catalogue's word for what goes in and out."""
        return self.id.rpartition("/")[2] if "-to-video" in self.id else "digital-human"


def _choice(name: str, *choices: str | int, default: str | int) -> InputField:
    kind: FieldType = "integer" if isinstance(default, int) else "string"
    return InputField(name, kind, choices=choices, default=default)


def _media(name: str, role: MediaRole, *, required: bool = True) -> InputField:
    return InputField(name, required=required, media=role)


def _prompt(length_max: int | None = None) -> InputField:
    return InputField("prompt", required=True, length_max=length_max)


_IMAGE = _media("image", "image")
_AUDIO = _media("audio", "audio")
_WORDS = InputField("prompt", default="")
_NEGATIVE = InputField("negative_prompt", length_max=500)
_SEED = InputField("seed", "integer", default=-1, minimum=-1, maximum=SEED_MAX)
_EXPANSION = InputField("enable_prompt_expansion", "boolean", default=False)
_GUIDANCE = InputField("guidance_scale", "number", default=0.5, minimum=0, maximum=1)
_FIVE_OR_TEN = _choice("duration", 5, 10, default=5)
_TALK_SIZES = _choice("resolution", "480p", "720p", default="480p")
_ORDER = _choice("order", "meanwhile", "left_right", "right_left", default="meanwhile")
_MASK = _media("mask_image", "image", required=False)

_WAN_PICTURE = PictureLimits(side_min=360, side_max=2000)
_KLING_PICTURE = PictureLimits(side_min=300, aspect_max=2.5)
_WAN_SIZES = ("832*480", "480*832", "1280*720", "720*1280", "1920*1080", "1080*1920")


def _wan(kind: str, variant: str, source: tuple[InputField, ...], size: InputField) -> Model:
    fast = variant == "-fast"
    rates = {"720p": 68_000, "1080p": 102_000}
    if not fast:
        rates = {"480p": 50_000, "720p": 100_000, "1080p": 150_000}
    duration = _FIVE_OR_TEN
    if kind == "image-to-video":
        duration = _choice("duration", *range(3, 11), default=5)
    shared = (
        _media("audio", "audio", required=False),
        _NEGATIVE,
        size,
        duration,
        _EXPANSION,
        _SEED,
    )
    return Model(
        id=f"alibaba/wan-2.5/{kind}{variant}",
        fields=(*source, _prompt(2000), *shared),
        price=PerSecond(rates),
        base_price_usd_micros=340_000 if fast else 250_000,
        sound="always",
        picture=_WAN_PICTURE,
        audio_s_min=3.0,
    )


def _kling(
    variant: str, kind: str, extra: tuple[InputField, ...], prices: tuple[int, int]
) -> Model:
    return Model(
        id=f"kwaivgi/kling-v2.5-turbo-{variant}/{kind}",
        fields=(_prompt(2500), *extra, InputField("negative_prompt"), _GUIDANCE, _FIVE_OR_TEN),
        price=PerRun("duration", {5: prices[0], 10: prices[1]}),
        base_price_usd_micros=prices[0],
        short_side=720,
        picture=_KLING_PICTURE,
    )


def _kandinsky(kind: str, extra: tuple[InputField, ...]) -> Model:
    size = _choice("resolution", "512p", "1024p", default="512p")
    return Model(
        id=f"wavespeed-ai/kandinsky5-pro/{kind}",
        fields=(_prompt(), *extra, size, _choice("duration", 5, default=5)),
        price=PerRun("resolution", {"512p": 200_000, "1024p": 600_000}),
        base_price_usd_micros=200_000,
    )


def _talking(name: str, inputs: tuple[InputField, ...], *, fast: bool = False) -> Model:
    rates = {"480p": 15_000} if fast else {"480p": 30_000, "720p": 60_000}
    sizes = () if fast else (_TALK_SIZES,)
    return Model(
        id=f"wavespeed-ai/{name}",
        fields=(*inputs, _WORDS, *sizes, _SEED),
        price=PerSecond(rates, seconds_max=600, sound=True),
        base_price_usd_micros=75_000 if fast else 150_000,
        short_side=480,
        sound="always",
    )


def _talking_family(name: str, *, fast: bool) -> tuple[Model, ...]:
    video = _media("video", "video")
    both = (_media("left_audio", "audio"), _media("right_audio", "audio"), _ORDER)
    return (
        _talking(name, (_IMAGE, _AUDIO, _MASK), fast=fast),
        _talking(f"{name}/multi", (_IMAGE, *both), fast=fast),
        _talking(f"{name}/video-to-video", (video, _AUDIO, _MASK), fast=fast),
        _talking(f"{name}/video-to-video-multi", (video, *both), fast=fast),
    )


def _hunyuan() -> Model:
    return Model(
        id="wavespeed-ai/hunyuan-avatar",
        fields=(_IMAGE, _AUDIO, _WORDS, _TALK_SIZES, _SEED),
        price=PerSecond({"480p": 30_000, "720p": 60_000}, seconds_max=120, sound=True),
        base_price_usd_micros=150_000,
        sound="always",
    )


_SHAPES = _choice("aspect_ratio", "16:9", "9:16", "1:1", default="16:9")
_KANDINSKY_SHAPES = _choice("aspect_ratio", "3:2", "1:1", "2:3", default="3:2")
_WAN_CLASSES = _choice("resolution", "480p", "720p", "1080p", default="720p")
_WAN_FAST_CLASSES = _choice("resolution", "720p", "1080p", default="720p")
_LAST_IMAGE = _media("last_image", "image", required=False)

MODELS: dict[str, Model] = {
    model.id: model
    for model in (
        _wan("image-to-video", "", (_IMAGE,), _WAN_CLASSES),
        _wan("image-to-video", "-fast", (_IMAGE,), _WAN_FAST_CLASSES),
        _wan("text-to-video", "", (), _choice("size", *_WAN_SIZES, default="1280*720")),
        _wan("text-to-video", "-fast", (), _choice("size", *_WAN_SIZES[2:], default="1280*720")),
        _kandinsky("image-to-video", (_IMAGE,)),
        _kandinsky("text-to-video", (_KANDINSKY_SHAPES,)),
        _kling("std", "image-to-video", (_IMAGE,), (210_000, 420_000)),
        _kling("pro", "image-to-video", (_IMAGE, _LAST_IMAGE), (350_000, 700_000)),
        _kling("pro", "text-to-video", (_SHAPES,), (350_000, 700_000)),
        *_talking_family("infinitetalk", fast=False),
        *_talking_family("infinitetalk-fast", fast=True),
        _hunyuan(),
    )
}
