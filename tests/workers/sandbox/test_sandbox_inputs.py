"""Prices and checks, as the provider's catalogue states them."""

import pytest

from workers.sandbox.catalogue import MODELS
from workers.sandbox.inputs import InputRefused, checked_inputs, price_usd_micros

WAN = "alibaba/wan-2.5/image-to-video"
TALKING = "wavespeed-ai/infinitetalk"


@pytest.mark.parametrize(
    ("model", "inputs", "audio_s", "usd_micros"),
    [
        (WAN, {}, None, 500_000),
        (WAN, {"resolution": "480p", "duration": 10}, None, 500_000),
        (WAN, {"resolution": "1080p", "duration": 10}, None, 1_500_000),
        (WAN, {"resolution": "480p", "duration": 3}, None, 250_000),
        (f"{WAN}-fast", {}, None, 340_000),
        (f"{WAN}-fast", {"resolution": "1080p"}, None, 510_000),
        ("alibaba/wan-2.5/text-to-video", {"size": "480*832"}, None, 250_000),
        ("wavespeed-ai/kandinsky5-pro/image-to-video", {}, None, 200_000),
        ("wavespeed-ai/kandinsky5-pro/image-to-video", {"resolution": "1024p"}, None, 600_000),
        ("kwaivgi/kling-v2.5-turbo-std/image-to-video", {}, None, 210_000),
        ("kwaivgi/kling-v2.5-turbo-std/image-to-video", {"duration": 10}, None, 420_000),
        ("kwaivgi/kling-v2.5-turbo-pro/image-to-video", {"duration": 10}, None, 700_000),
        (TALKING, {}, None, 150_000),
        (TALKING, {}, 2.0, 150_000),
        (TALKING, {}, 60.2, 61 * 30_000),
        (TALKING, {"resolution": "720p"}, 60.0, 3_600_000),
        (TALKING, {}, 700.0, 18_000_000),
        (f"{TALKING}-fast", {}, 10.0, 150_000),
        ("wavespeed-ai/hunyuan-avatar", {}, 5.0, 150_000),
    ],
)
def test_a_run_costs_what_the_formula_says(
    model: str, inputs: dict[str, str | int], audio_s: float | None, usd_micros: int
) -> None:
    assert price_usd_micros(MODELS[model], {**inputs}, audio_s) == usd_micros


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("duration", True),
        ("duration", 11),
        ("seed", -2),
        ("seed", True),
        ("seed", 1.5),
        ("prompt", "x" * 2001),
        ("prompt", "  "),
        ("enable_prompt_expansion", 1),
        ("negative_prompt", "x" * 501),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: str | float) -> None:
    inputs = {"image": "https://x.test/a.jpg", "prompt": "x", name: value}

    with pytest.raises(InputRefused, match=f"'{name}'"):
        checked_inputs(MODELS[WAN], inputs)


def test_every_value_in_range_is_taken_as_it_is() -> None:
    inputs = {
        "image": "data:image/png;base64,AAAA",
        "prompt": "x" * 2000,
        "negative_prompt": "",
        "audio": "https://x.test/a.mp3",
        "resolution": "1080p",
        "duration": 10,
        "enable_prompt_expansion": True,
        "seed": -1,
    }

    assert checked_inputs(MODELS[WAN], {**inputs}) == inputs


def test_a_missing_input_has_a_code_of_its_own() -> None:
    with pytest.raises(InputRefused) as missing:
        checked_inputs(MODELS[WAN], {"prompt": "x"})
    with pytest.raises(InputRefused) as unknown:
        checked_inputs(MODELS[WAN], {"style": "noir"})

    assert (missing.value.code, unknown.value.code) == (1400, 1401)


def test_every_models_defaults_pass_its_own_checks() -> None:
    for model in MODELS.values():
        inputs = {each.name: each.default for each in model.fields if each.default is not None}
        required = {each.name: "https://x.test/a" for each in model.fields if each.required}

        checked_inputs(model, {**inputs, **required})

        base = model.base_price_usd_micros
        assert price_usd_micros(model, {}, None) in {base, 2 * base}
