"""Requests: what comes back from the wire, what is refused, and what makes two of them equal."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests.contracts.conftest import a_request
from workflows.contracts.activities import Resolution
from workflows.contracts.requests import (
    ImageToVideoRequest,
    SceneAnimationRequest,
    Source,
    request_hash,
)
from workflows.contracts.texts import Int64, Name, Prose, UsdMicros, dollars, storable

names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=200)
prose = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=300)
media = st.one_of(
    st.from_regex(r"med_[a-z0-9]{26}", fullmatch=True).map(lambda each: {"media_id": each}),
    st.just({"url": "https://example.com/a?b=c"}),
)
requests = st.fixed_dictionaries(
    {"user_id": names, "image": media, "prompt": prose},
    optional={
        "source": st.sampled_from([each.value for each in Source]),
        "idempotency_key": names,
        "max_cost_usd_micros": st.integers(0, 2**53),
        "model": st.text("abc/-", max_size=20),
        "audio": media,
        "negative_prompt": prose,
        "seed": st.integers(-(2**63), 2**63 - 1),
        "prompt_expansion": st.booleans(),
        "duration_s": st.integers(-100, 100),
        "resolution": st.text("0123456789p", max_size=20),
    },
).map(ImageToVideoRequest.model_validate)


@given(requests)
def test_a_request_comes_back_from_the_wire_as_it_went(request: ImageToVideoRequest) -> None:
    sent = request.model_dump_json(exclude_none=True)

    back = ImageToVideoRequest.model_validate_json(sent)

    assert back == request
    assert request_hash(back) == request_hash(request)


def test_a_later_field_with_a_default_keeps_the_hash_of_old_requests() -> None:
    class Later(ImageToVideoRequest):
        camera: str | None = None
        steps: int = 5

    later = Later.model_validate(a_request(seed=7).model_dump())

    assert request_hash(later) == request_hash(a_request(seed=7))


def test_a_default_that_is_given_is_the_same_wish() -> None:
    assert request_hash(a_request(source="api", seed=None)) == request_hash(a_request())


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"promt": "x"}, "promt"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a\nb"}, "user_id"),
        ({"user_id": "x" * 201}, "user_id"),
        ({"idempotency_key": "a\x00b"}, "idempotency_key"),
        ({"prompt": "a\x00b"}, "prompt"),
        ({"prompt": "x" * 20_001}, "prompt"),
        ({"negative_prompt": "a\ud800b"}, "negative_prompt"),
        ({"model": "a\x00b"}, "model"),
        ({"model": "a\ud800b"}, "model"),
        ({"model": "x" * 201}, "model"),
        ({"resolution": "480p\x00"}, "resolution"),
        ({"resolution": "x" * 21}, "resolution"),
        ({"callback_url": "ftp://example.com"}, "callback_url"),
        ({"callback_url": "https://ann:secret@example.com"}, "callback_url"),
        ({"callback_url": "https://example.com/\x00"}, "callback_url"),
        ({"callback_url": "https://example.com/" + "x" * 2048}, "callback_url"),
        ({"seed": 2**63}, "seed"),
        ({"seed": True}, "seed"),
        ({"seed": "7"}, "seed"),
        ({"duration_s": 5.5}, "duration_s"),
        ({"prompt_expansion": "yes"}, "prompt_expansion"),
        ({"max_cost_usd_micros": -1}, "max_cost_usd_micros"),
        ({"max_cost_usd_micros": 0.5}, "max_cost_usd_micros"),
        ({"source": "story writer"}, "source"),
        ({"image": {"media_id": "../../etc/passwd"}}, "image"),
        ({"image": {"url": "http://example.com/a"}}, "image"),
        ({"image": {"url": "https://a b"}}, "image"),
        ({"image": {"media_id": "med_" + "a" * 26, "url": "https://a.example"}}, "image"),
        ({"image": {"path": "/etc/passwd"}}, "image"),
        ({"image": None}, "image"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_at_its_field(wrong: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        a_request(**wrong)

    assert {error["loc"][0] for error in refused.value.errors()} == {field}


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        (Name, ["a", "Ünser Auftrag № 7", "x" * 200], ["", "\x00", "\n", "\u2028", "x" * 201]),
        (Prose, ["", "two\nlines", "😀", "x" * 20_000], ["\x00", "\ud800", "x" * 20_001]),
        (Int64, [-(2**63), 0, 2**63 - 1], [-(2**63) - 1, 2**63, 1.0, True, "1"]),
        (UsdMicros, [0, 2**53], [-1, 2**53 + 1, 1.0, True, "1"]),
    ],
    ids=["Name", "Prose", "Int64", "UsdMicros"],
)
def test_texts_and_numbers_fit_every_store(type_: Any, good: list[Any], bad: list[Any]) -> None:
    adapter: TypeAdapter[object] = TypeAdapter(type_)

    assert [adapter.validate_python(each) for each in good] == good
    for each in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(each)


@pytest.mark.parametrize("text", ["a\x00", "\ud800", "a\udfffb"], ids=repr)
def test_text_that_no_store_takes_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"NUL|surrogate"):
        storable(text)


@given(prose)
def test_text_that_utf_8_takes_is_left_as_it_is(text: str) -> None:
    assert storable(text) == text


@pytest.mark.parametrize(
    ("usd_micros", "told"),
    [
        (0, "$0.00"),
        (250_000, "$0.25"),
        (1_000_000, "$1.00"),
        (1_234_567, "$1.234567"),
        (500, "$0.0005"),
        (-42_000, "-$0.042"),
        (500_000_000, "$500.00"),
    ],
)
def test_money_is_told_in_dollars_with_the_digits_it_needs(usd_micros: int, told: str) -> None:
    assert dollars(usd_micros) == told


@pytest.mark.parametrize(
    ("decision", "prediction_id", "good"),
    [
        ("adopt", "abcd-1234", True),
        ("adopt", None, False),
        ("adopt", "../secret", False),
        ("resubmit", None, True),
        ("resubmit", "abcd-1234", False),
        ("give_up", None, True),
    ],
)
def test_adopting_and_only_adopting_names_a_prediction(
    decision: str,
    prediction_id: str | None,
    good: bool,  # noqa: FBT001 - a column of the table
) -> None:
    given_ = {"decision": decision, "prediction_id": prediction_id}

    if good:
        assert Resolution.model_validate(given_).decision == decision
    else:
        with pytest.raises(ValidationError):
            Resolution.model_validate(given_)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "true", '"0.5"'])
def test_a_guidance_scale_that_is_no_number_is_refused(value: str) -> None:
    asked = (
        '{"user_id": "ann", "image": {"media_id": "med_' + "a" * 26 + '"},'
        ' "scene": {"title": "A calm sea"}, "guidance_scale": ' + value + "}"
    )

    with pytest.raises(ValidationError):
        SceneAnimationRequest.model_validate_json(asked)
