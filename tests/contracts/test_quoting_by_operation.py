"""What each model takes and refuses of its operation's request, and what an avatar costs."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from activities.ledger.catalogues import load_catalogue
from tests.contracts.conftest import (
    A_SOUND,
    KANDINSKY,
    KLING,
    TALK,
    a_request_for,
    a_scene_request,
    a_sound,
    an_avatar_request,
    an_image,
    entry_of,
)
from workflows.contracts.catalogue import ModelEntry, TextParameter
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.quoting import Quote, choose, provider_inputs, quote, resolve
from workflows.contracts.requests import REQUESTS, GenerationRequest
from workflows.contracts.texts import place_of

SHIPPED = load_catalogue()
PARAMETERS: dict[str, object] = {
    "prompt": "a calm sea",
    "negative_prompt": "people",
    "seed": 7,
    "prompt_expansion": False,
    "guidance_scale": 0.25,
    "duration_s": 5,
    "resolution": "720p",
    "audio": A_SOUND,
    "mask_image": {"media_id": "med_" + "d" * 26},
}
"""A good value of everything that some model takes beside the picture."""

THEIRS = {(KANDINSKY, "resolution"): "1024p"}
"""Where a provider's value is another one."""


@dataclass(frozen=True)
class Cell:
    """One parameter of one model."""

    entry: ModelEntry
    name: str

    def __str__(self) -> str:
        return f"{self.entry.title}-{self.name}"

    @property
    def is_taken(self) -> bool:
        by_role = {"audio": self.entry.audio is not None, "mask_image": self.entry.mask}
        return by_role.get(self.name, self.name in self.entry.parameters)

    @property
    def can_be_given(self) -> bool:
        return self.name in REQUESTS[self.entry.operation].model_fields

    def request(self) -> GenerationRequest:
        given_ = {"model": self.entry.model, self.name: PARAMETERS[self.name]}
        return a_request_for(self.entry.operation, **given_)


CELLS = [Cell(entry, name) for entry in SHIPPED.models for name in PARAMETERS]


def of_kind(*, is_taken: bool, can_be_given: bool) -> pytest.MarkDecorator:
    wanted = (is_taken, can_be_given)
    cells = [each for each in CELLS if (each.is_taken, each.can_be_given) == wanted]
    assert cells
    return pytest.mark.parametrize("cell", cells, ids=str)


def avatar_quote(duration_s: float, resolution: str = "480p") -> Quote:
    request = an_avatar_request(resolution=resolution)
    entry = choose(SHIPPED, request)
    return quote(SHIPPED, entry, resolve(entry, request), an_image(), a_sound(duration_s))


def test_every_parameter_of_the_catalogue_is_in_the_table() -> None:
    known = {name for entry in SHIPPED.models for name in entry.parameters}

    assert known | {"audio", "mask_image"} == PARAMETERS.keys()


@of_kind(is_taken=True, can_be_given=True)
def test_a_parameter_that_a_model_takes_reaches_the_provider_by_its_name(cell: Cell) -> None:
    request = cell.request()

    values = resolve(cell.entry, request)

    if cell.name not in request.media:
        parameter = cell.entry.parameters[cell.name]
        sent = provider_inputs(cell.entry, values, {})[parameter.provider_name or cell.name]
        assert values[cell.name] == PARAMETERS[cell.name]
        assert sent == THEIRS.get((cell.entry.model, cell.name), PARAMETERS[cell.name])


@of_kind(is_taken=False, can_be_given=True)
def test_a_parameter_that_a_model_does_not_take_is_refused_with_the_list_it_takes(
    cell: Cell,
) -> None:
    with pytest.raises(RequestRefused) as refused:
        resolve(cell.entry, cell.request())

    told = refused.value.failure
    field, _, taken = told.message.removesuffix(".").partition(
        f": {cell.entry.title} does not take it; it takes "
    )
    roles = {"image", "audio", "mask_image"}
    peers = [each for each in CELLS if each.entry is cell.entry and each.is_taken]
    wanted = {each.name for each in peers if each.can_be_given} | {"image"}
    assert told.kind is FailureKind.INVALID_REQUEST
    assert field == cell.name
    assert set(taken.split(", ")) == (wanted & roles if field in roles else wanted - roles)


@of_kind(is_taken=False, can_be_given=False)
def test_a_parameter_that_no_model_of_the_operation_takes_is_no_field_of_its_request(
    cell: Cell,
) -> None:
    with pytest.raises(ValidationError) as refused:
        cell.request()

    assert [place_of(each["loc"]) for each in refused.value.errors()] == [cell.name]


@of_kind(is_taken=True, can_be_given=False)
def test_only_a_scenes_prompt_is_taken_by_a_model_and_not_of_the_caller(cell: Cell) -> None:
    assert (cell.entry.model, cell.name) == (KLING, "prompt")
    with pytest.raises(ValidationError, match="prompt"):
        cell.request()


def test_a_list_of_what_is_taken_names_only_what_a_request_can_give() -> None:
    kling = entry_of(SHIPPED, KLING)
    few = {"prompt": kling.parameters["prompt"], "duration_s": kling.parameters["duration_s"]}
    plain = kling.model_copy(update={"parameters": few})

    with pytest.raises(RequestRefused, match=r"^guidance_scale: .* it takes duration_s\.$"):
        resolve(plain, a_scene_request(guidance_scale=0.5))


def test_a_scene_needs_no_prompt_though_its_model_does() -> None:
    kling = entry_of(SHIPPED, KLING)
    prompt = kling.parameters["prompt"]

    values = resolve(kling, a_scene_request())

    assert isinstance(prompt, TextParameter)
    assert prompt.required
    assert values == {"guidance_scale": 0.5, "duration_s": 5}


def test_an_avatar_needs_no_prompt_and_one_that_is_given_is_sent() -> None:
    talk = entry_of(SHIPPED, TALK)

    assert resolve(talk, an_avatar_request()) == {"seed": -1, "resolution": "480p"}
    assert resolve(talk, an_avatar_request(prompt="She smiles."))["prompt"] == "She smiles."


@pytest.mark.parametrize("duration_s", [5, 10])
@pytest.mark.parametrize("guidance_scale", [0.0, 0.5, 1.0])
def test_a_scene_is_sent_as_it_was_asked(duration_s: int, guidance_scale: float) -> None:
    request = a_scene_request(
        duration_s=duration_s, guidance_scale=guidance_scale, negative_prompt="people"
    )
    kling = choose(SHIPPED, request)

    values = resolve(kling, request)
    told = quote(SHIPPED, kling, values, an_image())

    assert told.cost_usd_micros == 42_000 * duration_s
    assert (told.duration_s, told.resolution) == (duration_s, "720p")
    assert provider_inputs(kling, values, {"image": "https://x/1.jpg"}) == {
        "image": "https://x/1.jpg",
        "negative_prompt": "people",
        "guidance_scale": guidance_scale,
        "duration": duration_s,
    }


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"guidance_scale": 1.5}, "guidance_scale: 1.5; allowed: from 0.0 to 1.0."),
        ({"guidance_scale": -1e-9}, "guidance_scale: -1e-09; allowed: from 0.0 to 1.0."),
        ({"duration_s": 6}, "duration_s: 6; allowed: one of 5, 10."),
        (
            {"negative_prompt": "x" * 2501},
            "negative_prompt: '2501 characters'; allowed: at most 2500 characters.",
        ),
        ({"model": TALK}, f"model: '{TALK}'; allowed: one of ['{KLING}']."),
    ],
    ids=lambda each: str(each)[:50],
)
def test_a_scenes_parameter_is_refused_and_never_clamped(
    asked: dict[str, object], told: str
) -> None:
    request = a_scene_request(**asked)

    with pytest.raises(RequestRefused) as refused:
        resolve(choose(SHIPPED, request), request)

    assert refused.value.failure.message == told


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        ({"width": 255}, "mask_image: 255x720 pixels; allowed: each side from 256 to 4096 pixels."),
        ({"mime_type": "image/bmp"}, "mask_image: image/bmp; allowed: one of image/jpeg, "),
        ({"has_alpha": True}, "mask_image: with an alpha channel; allowed: "),
        ({"size_bytes": 10_485_761}, "mask_image: 10.0 MB; allowed: at most 10.0 MB."),
    ],
    ids=str,
)
def test_a_mask_is_measured_like_a_picture_and_refused_by_its_own_name(
    mask: dict[str, object], told: str
) -> None:
    talk = entry_of(SHIPPED, TALK)
    values = resolve(talk, an_avatar_request())

    with pytest.raises(RequestRefused) as refused:
        quote(SHIPPED, talk, values, an_image(), a_sound(), an_image(**mask))

    assert refused.value.failure.kind is FailureKind.INVALID_MEDIA
    assert refused.value.failure.message.startswith(told)


def test_a_mask_is_refused_where_an_operators_model_takes_none() -> None:
    maskless = entry_of(SHIPPED, TALK).model_copy(update={"mask": False})

    with pytest.raises(RequestRefused, match="it takes image, audio") as refused:
        resolve(maskless, an_avatar_request(mask_image=A_SOUND))

    assert refused.value.failure.message.startswith("mask_image: InfiniteTalk does not take it;")


def test_a_mask_changes_neither_price_nor_size() -> None:
    talk = entry_of(SHIPPED, TALK)
    values = resolve(talk, an_avatar_request())

    plain = quote(SHIPPED, talk, values, an_image(), a_sound())
    masked = quote(SHIPPED, talk, values, an_image(), a_sound(), an_image(width=512, height=512))

    assert masked == plain


@settings(deadline=None)
@given(st.floats(0.5, 600), st.sampled_from([("480p", 30_000), ("720p", 60_000)]))
def test_an_avatar_is_priced_by_started_second_and_waited_for_by_its_length(
    duration_s: float, size: tuple[str, int]
) -> None:
    resolution, rate = size

    told = avatar_quote(duration_s, resolution)

    assert told.cost_usd_micros == rate * max(5, math.ceil(duration_s))
    assert told.cost_usd_micros % rate == 0
    assert told.duration_s == duration_s
    assert told.deadline_s == 900 + round(45 * duration_s)
    assert told.expected_s < told.deadline_s


@pytest.mark.parametrize("duration_s", [0, 0.49, 600.01, 3600, math.nan, math.inf])
def test_sound_that_is_too_short_or_too_long_is_refused_with_its_length(duration_s: float) -> None:
    with pytest.raises(RequestRefused, match=r"^audio: .* s long; allowed: from 0.5 to 600 s\.$"):
        avatar_quote(duration_s)
