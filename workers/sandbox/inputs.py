"""Checks a submission's inputs against its model's schema, and says what a run of them costs."""

import math
from collections.abc import Mapping

from pydantic import JsonValue

from workers.sandbox.catalogue import InputField, Model, PerRun

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


class InputRefused(ValueError):
    """An input is missing, unknown or out of range. `code` is the provider's: 1400 or 1401."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def checked_inputs(model: Model, body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The inputs as given, once all are known to fit.

    Raises:
        InputRefused: with the first input that doesn't fit.
    """
    check_given(model, body)
    for each in model.fields:
        if each.required and each.name not in body:
            raise InputRefused(1400, f"property {each.name!r} is missing")
    return dict(body)


def check_given(model: Model, inputs: Mapping[str, JsonValue]) -> None:
    """Checks the inputs that are there; required ones may be missing, as when a price is asked.

    Raises:
        InputRefused: with the first input that doesn't fit.
    """
    known = {each.name: each for each in model.fields}
    for name, value in inputs.items():
        if name not in known:
            raise InputRefused(1401, f"property {name!r} is not allowed for {model.id}")
        _check(known[name], value)


def with_defaults(model: Model, inputs: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The inputs together with the model's default for each that was not given."""
    defaults = {each.name: each.default for each in model.fields if each.default is not None}
    return {**defaults, **inputs}


def size_class(model: Model, inputs: Mapping[str, JsonValue]) -> str:
    """The resolution that is billed, for example `720p`."""
    given = with_defaults(model, inputs)
    if "size" in given:
        return f"{min(_pixels(str(given['size'])))}p"
    return str(given.get("resolution", f"{model.short_side}p"))


def exact_size(inputs: Mapping[str, JsonValue]) -> tuple[int, int] | None:
    """Width and height in pixels where the inputs name both."""
    size = inputs.get("size")
    return _pixels(size) if isinstance(size, str) else None


def price_usd_micros(model: Model, inputs: Mapping[str, JsonValue], audio_s: float | None) -> int:
    """Micro-USD for one run. Without the audio's length an audio-priced model costs its minimum."""
    given = with_defaults(model, inputs)
    price = model.price
    if isinstance(price, PerRun):
        value = given[price.by]
        assert isinstance(value, str | int)
        return price.prices[value]
    seconds = audio_s or 0.0 if price.sound else float(str(given["duration"]))
    billed = max(price.seconds_min, math.ceil(seconds))
    if price.seconds_max is not None:
        billed = min(billed, price.seconds_max)
    return price.rates[size_class(model, inputs)] * billed


def _check(field: InputField, value: JsonValue) -> None:
    if value is None:
        raise InputRefused(1401, f"property {field.name!r} must not be null")
    fits = isinstance(value, _PYTHON_TYPES[field.type])
    if not fits or (isinstance(value, bool) and field.type != "boolean"):
        raise InputRefused(1401, f"property {field.name!r} must be a {field.type}")
    if field.choices and value not in field.choices:
        allowed = ", ".join(str(each) for each in field.choices)
        raise InputRefused(1401, f"property {field.name!r} must be one of {allowed}")
    if isinstance(value, str):
        _check_text(field, value)
    elif isinstance(value, int | float):
        _check_range(field, value)


def _check_text(field: InputField, value: str) -> None:
    if field.required and not value.strip():
        raise InputRefused(1400, f"property {field.name!r} is empty")
    if field.length_max is not None and len(value) > field.length_max:
        raise InputRefused(
            1401, f"property {field.name!r} has more than {field.length_max} characters"
        )
    addressed = value.startswith(("http://", "https://", "data:"))
    if field.media and not addressed:
        raise InputRefused(1401, f"property {field.name!r} must be a URL")


def _check_range(field: InputField, value: float) -> None:
    below = field.minimum is not None and value < field.minimum
    above = field.maximum is not None and value > field.maximum
    if below or above:
        raise InputRefused(
            1401, f"property {field.name!r} must be from {field.minimum} to {field.maximum}"
        )


def _pixels(size: str) -> tuple[int, int]:
    width, _, height = size.partition("*")
    return int(width), int(height)
