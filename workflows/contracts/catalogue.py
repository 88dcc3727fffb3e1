"""The model catalogue: what each model takes, what it costs, how long it may take.

Versioned data (`catalogue.json`), since limits and prices drift; `STILLMOTION_CATALOGUE` names a
file that replaces it. Sources: the provider's model schemas and price pages as read in 2026-08
(prices per second or run, at list price), the upstream vendors' input limits. Where a vendor
publishes no limit for pictures, the provider's usual one (10 MB) and a generous range of sides
stand. Pure: reading the file is the caller's.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workflows.contracts.requests import Operation

_SEGMENT = r"[a-z0-9_-]+(\.[a-z0-9_-]+)*"
_PATH = rf"^{_SEGMENT}(/{_SEGMENT})+$"
"""Dots only within a segment: the path becomes a part of a URL, where `..` leads elsewhere."""


PROMPT_CHARACTERS_MAX = 2000
"""For a model whose entry names no limit."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextParameter(_Entry):
    """Free text, with the model's own limit."""

    kind: Literal["text"]
    required: bool = False
    characters_max: int = Field(gt=0)
    default: None = None
    provider_name: str | None = None


class IntegerParameter(_Entry):
    """A whole number in a closed interval."""

    kind: Literal["integer"]
    minimum: int
    maximum: int
    default: int | None = None
    provider_name: str | None = None


class NumberParameter(_Entry):
    """A number in a closed interval; refused outside, never clamped."""

    kind: Literal["number"]
    minimum: float
    maximum: float
    default: float | None = None
    provider_name: str | None = None


class FlagParameter(_Entry):
    """On or off."""

    kind: Literal["flag"]
    default: bool | None = None
    provider_name: str | None = None


class ChoiceParameter(_Entry):
    """One of a list; `provider_values` where the provider's names differ."""

    kind: Literal["choice"]
    allowed: tuple[int | str, ...]
    default: int | str
    provider_name: str | None = None
    provider_values: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _default_is_allowed(self) -> "ChoiceParameter":
        if self.default not in self.allowed:
            raise ValueError(f"the default {self.default!r} is not among {list(self.allowed)}")
        return self

    def provider_value(self, choice: int | str) -> int | str:
        """What the provider calls `choice`."""
        return self.provider_values.get(str(choice), choice)


Parameter = Annotated[
    TextParameter | IntegerParameter | NumberParameter | FlagParameter | ChoiceParameter,
    Field(discriminator="kind"),
]


class ImageLimits(_Entry):
    """Which pictures a model takes."""

    mime_types: tuple[str, ...]
    size_bytes_max: int = Field(gt=0)
    side_px_min: int = Field(gt=0)
    side_px_max: int = Field(gt=0)
    aspect_ratio_max: float | None = None
    """Longer side over shorter side."""
    alpha: bool = False


class AudioLimits(_Entry):
    """Which sound a model takes."""

    required: bool = False
    mime_types: tuple[str, ...]
    size_bytes_max: int = Field(gt=0)
    duration_s_min: float
    duration_s_max: float


class Price(_Entry):
    """List price in micro-USD per started second, or per run, by the provider's size class."""

    unit: Literal["second", "run"]
    usd_micros: Mapping[str, Annotated[int, Field(gt=0, strict=True)]]
    seconds_min: int = Field(default=0, ge=0)
    seconds_max: int | None = Field(default=None, gt=0)


class Time(_Entry):
    """Seconds: a fixed part, and one per second of video."""

    fixed_s: int = Field(gt=0)
    per_second_s: int = Field(default=0, ge=0)

    def seconds(self, duration_s: float) -> int:
        """The whole for a video of `duration_s` seconds."""
        return self.fixed_s + round(self.per_second_s * duration_s)


class ModelEntry(_Entry):
    """One model of the catalogue."""

    model: str = Field(pattern=_PATH)
    """The public id, which callers and results use."""
    title: str
    operation: Operation
    default: bool = False
    """Whether the operation uses it when a request names none."""
    provider_path: str = Field(pattern=_PATH)
    parameters: Mapping[str, Parameter]
    image: ImageLimits
    audio: AudioLimits | None = None
    mask: bool = False
    size_classes: Mapping[str, Annotated[int, Field(gt=0)]]
    """Provider's size class → short side in pixels."""
    price: Price
    deadline: Time
    """After so long without an end it parks; it is never given up by the clock alone."""
    expected: Time
    """A first guess for the progress estimate."""

    @property
    def prompt_characters_max(self) -> int:
        """How long a prompt that we make may be."""
        prompt = self.parameters.get("prompt")
        known = isinstance(prompt, TextParameter)
        return prompt.characters_max if known else PROMPT_CHARACTERS_MAX

    @model_validator(mode="after")
    def _every_size_has_a_price(self) -> "ModelEntry":
        classes, prices = set(self.size_classes), set(self.price.usd_micros)
        if classes != prices:
            raise ValueError(f"{self.model}: sizes {sorted(classes)} but prices {sorted(prices)}")
        resolution = self.parameters.get("resolution")
        if isinstance(resolution, ChoiceParameter):
            wanted = {str(resolution.provider_value(choice)) for choice in resolution.allowed}
            if wanted != classes:
                raise ValueError(
                    f"{self.model}: resolutions {sorted(wanted)} but sizes {sorted(classes)}"
                )
        elif len(classes) != 1:
            raise ValueError(f"{self.model}: several sizes but no resolution parameter")
        return self


class Catalogue(_Entry):
    """Every model, with the version of the data."""

    version: str
    models: tuple[ModelEntry, ...]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "Catalogue":
        ids = [entry.model for entry in self.models]
        if len(ids) != len(set(ids)):
            raise ValueError(f"a model id stands twice among {ids}")
        for operation in {entry.operation for entry in self.models}:
            defaults = [e for e in self.models if e.operation is operation and e.default]
            if len(defaults) != 1:
                raise ValueError(f"{operation}: one default model is needed, not {len(defaults)}")
        return self

    def models_for(self, operation: Operation) -> tuple[ModelEntry, ...]:
        """The models of an operation, its default first."""
        mine = (entry for entry in self.models if entry.operation is operation)
        return tuple(sorted(mine, key=lambda entry: not entry.default))
