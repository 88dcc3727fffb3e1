"""The catalogue as it is shipped, its prices against the provider's, and an operator's own file."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.ledger.catalogues import CatalogueInvalid, load_catalogue
from tests.contracts.conftest import FAST, KANDINSKY, KLING, TALK, WAN, entry_of
from workflows.contracts.catalogue import Catalogue, ChoiceParameter, ModelEntry
from workflows.contracts.quoting import cost
from workflows.contracts.requests import Operation

SHIPPED = load_catalogue()
ENTRIES = list(SHIPPED.models)


def document() -> dict[str, Any]:
    shipped = resources.files("workflows.contracts") / "catalogue.json"
    return json.loads(shipped.read_text("utf-8"))


def test_every_operation_has_its_models_with_the_default_first() -> None:
    ids = {
        operation: [entry.model for entry in SHIPPED.models_for(operation)]
        for operation in Operation
    }

    assert ids == {
        Operation.IMAGE_TO_VIDEO: [WAN, FAST, KANDINSKY],
        Operation.SCENE_ANIMATION: [KLING],
        Operation.TALKING_AVATAR: [TALK],
    }


# The provider's price pages: USD per second, or per run where a length is fixed.
@pytest.mark.parametrize(
    ("model", "size_class", "duration_s", "usd_micros"),
    [
        (WAN, "480p", 5, 250_000),
        (WAN, "720p", 5, 500_000),
        (WAN, "1080p", 5, 750_000),
        (WAN, "480p", 10, 500_000),
        (WAN, "720p", 10, 1_000_000),
        (WAN, "1080p", 10, 1_500_000),
        (FAST, "720p", 5, 340_000),
        (FAST, "1080p", 5, 510_000),
        (FAST, "720p", 10, 680_000),
        (FAST, "1080p", 10, 1_020_000),
        (KANDINSKY, "512p", 5, 200_000),
        (KANDINSKY, "1024p", 5, 600_000),
        (KLING, "720p", 5, 210_000),
        (KLING, "720p", 10, 420_000),
        (TALK, "480p", 10, 300_000),
        (TALK, "720p", 10, 600_000),
        # At least five seconds are billed, at most six hundred.
        (TALK, "480p", 0.5, 150_000),
        (TALK, "720p", 5, 300_000),
        (TALK, "480p", 600, 18_000_000),
        (TALK, "720p", 600, 36_000_000),
        (TALK, "720p", 601, 36_000_000),
        # Every second that was started.
        (TALK, "480p", 7.01, 240_000),
        (TALK, "480p", 7.0, 210_000),
    ],
)
def test_a_price_is_the_providers(
    model: str, size_class: str, duration_s: float, usd_micros: int
) -> None:
    assert cost(entry_of(SHIPPED, model), size_class, duration_s) == usd_micros


@given(st.sampled_from(ENTRIES), st.floats(0, 700), st.floats(0, 700))
def test_a_longer_video_never_costs_less(entry: ModelEntry, a_s: float, b_s: float) -> None:
    for size_class in entry.size_classes:
        short, long = (cost(entry, size_class, each) for each in sorted((a_s, b_s)))

        assert 0 < short <= long


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.model)
def test_a_larger_video_never_costs_less(entry: ModelEntry) -> None:
    by_size = sorted(entry.size_classes, key=lambda name: entry.size_classes[name])
    costs = [cost(entry, name, 5) for name in by_size]

    assert costs == sorted(costs)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.model)
def test_a_deadline_leaves_much_more_time_than_is_expected(entry: ModelEntry) -> None:
    longest_s = entry.audio.duration_s_max if entry.audio and entry.audio.required else 10

    assert entry.deadline.seconds(longest_s) >= 2 * entry.expected.seconds(longest_s)
    assert entry.deadline.seconds(5) >= 2 * entry.expected.seconds(5)


def test_kandinskys_resolutions_are_the_providers_two() -> None:
    resolution = entry_of(SHIPPED, KANDINSKY).parameters["resolution"]

    assert isinstance(resolution, ChoiceParameter)
    assert {each: resolution.provider_value(each) for each in resolution.allowed} == {
        "480p": "512p",
        "720p": "1024p",
        "1080p": "1024p",
    }
    assert entry_of(SHIPPED, KANDINSKY).provider_path == (
        "wavespeed-ai/kandinsky5-pro/image-to-video"
    )


def broken(place: str, value: object) -> str:
    """The shipped document with another value at a place such as `models.0.price.unit`."""
    whole = document()
    *way, last = place.split(".")
    here: Any = whole
    for step in way:
        here = here[int(step)] if isinstance(here, list) else here[step]
    here[last] = value
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "Invalid JSON"),
        ("[]", "object"),
        (broken("models.0.price.usd_micros", {"480p": 1}), "prices"),
        (broken("models.0.price.unit", "minute"), r"models\.0\.price\.unit"),
        (broken("models.0.price.usd_micros.480p", 0.05), r"usd_micros\.480p"),
        (broken("models.0.price.usd_micros.480p", 0), r"usd_micros\.480p"),
        (broken("models.0.model", "wan 2.5"), r"models\.0\.model"),
        (broken("models.0.provider_path", "../admin"), r"models\.0\.provider_path"),
        (broken("models.0.expected.per_second_s", -1), r"expected\.per_second_s"),
        (broken("models.1.model", WAN), "stands twice"),
        (broken("models.1.default", True), "one default model is needed, not 2"),  # noqa: FBT003
        (broken("models.3.default", False), "one default model is needed, not 0"),  # noqa: FBT003
        (broken("models.0.parameters.duration_s.default", 7), "default 7 is not among"),
        (broken("models.0.parameters.resolution.allowed", ["720p"]), "resolutions"),
        (broken("models.0.parameters.seed.kind", "number?"), r"parameters\.seed"),
        (broken("models.0.prize", 1), r"models\.0\.prize"),
        (broken("models.4.size_classes", {"480p": 480}), "sizes"),
    ],
    ids=lambda each: each if len(str(each)) < 60 else "file",
)
def test_an_operators_file_that_breaks_a_rule_is_refused_with_the_place(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "mine.json"
    file.write_text(text)

    with pytest.raises(CatalogueInvalid, match=told) as refused:
        load_catalogue(file)

    assert str(refused.value).startswith(str(file))


def test_an_operators_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueInvalid, match="No such file"):
        load_catalogue(tmp_path / "none.json")


def test_an_operators_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(CatalogueInvalid):
        load_catalogue(file)


def test_an_operators_file_replaces_the_shipped_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(broken("models.0.price.usd_micros.480p", 60_000))

    mine = load_catalogue(file)

    assert cost(entry_of(mine, WAN), "480p", 5) == 300_000


def test_a_model_of_one_size_needs_no_resolution_and_one_of_several_does() -> None:
    whole = document()
    del whole["models"][0]["parameters"]["resolution"]

    with pytest.raises(ValueError, match="several sizes but no resolution"):
        Catalogue.model_validate(whole)
