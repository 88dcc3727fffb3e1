"""The three operations' requests: told apart on the wire, each with its own fields and hash."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.contracts.conftest import A_PICTURE, A_SOUND, LEAST, a_request_for
from workflows.contracts.activities import Reserve
from workflows.contracts.media import MediaById
from workflows.contracts.requests import (
    REQUESTS,
    WORKFLOW_TYPES,
    Claimed,
    GenerationRequest,
    Operation,
    Source,
    parse_request,
    request_hash,
)
from workflows.contracts.texts import place_of

ALL = list(Operation)
NO_WISH = {"operation", "idempotency_key", "max_cost_usd_micros"}
A_STORY = {"media_id": "med_" + "c" * 26}

# Another value for every field of every operation that is a part of the wish.
OTHERWISE: dict[str, object] = {
    "user_id": "bob",
    "source": "podcast_maker",
    "model": "a/b",
    "callback_url": "https://example.com/hook",
    "image": {"url": "https://example.com/a"},
    "audio": {"url": "https://example.com/a"},
    "mask_image": A_PICTURE,
    "prompt": "a rough sea",
    "negative_prompt": "people",
    "seed": 7,
    "prompt_expansion": False,
    "duration_s": 10,
    "resolution": "480p",
    "guidance_scale": 0.0,
    "scene": {"title": "A rough sea"},
    "story_context": {"tone": "wild"},
}
FIELDS = [
    (operation, field)
    for operation in ALL
    for field in REQUESTS[operation].model_fields
    if field not in NO_WISH
]

words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)
media = st.sampled_from([A_PICTURE, A_SOUND, {"url": "https://example.com/a?b=c"}])
anything: dict[str, st.SearchStrategy[Any]] = {
    "user_id": names,
    "source": st.sampled_from([each.value for each in Source]),
    "idempotency_key": names,
    "max_cost_usd_micros": st.integers(0, 2**53),
    "model": words,
    "callback_url": st.sampled_from(["https://example.com/a?b", "http://127.0.0.1:8000/"]),
    "image": media,
    "audio": media,
    "mask_image": media,
    "prompt": words,
    "negative_prompt": words,
    "seed": st.integers(-(2**63), 2**63 - 1),
    "prompt_expansion": st.booleans(),
    "duration_s": st.integers(-100, 100),
    "resolution": st.text("0123456789p", max_size=20),
    "guidance_scale": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
    "scene": st.just(A_STORY) | words.map(lambda each: {"title": "x", "outline": each}),
    "story_context": st.just(A_STORY) | words.map(lambda each: {"story_tone": [each, 1]}),
}


def fields_of(operation: Operation) -> st.SearchStrategy[dict[str, Any]]:
    fields = REQUESTS[operation].model_fields.keys() - {"operation"}
    needed = LEAST[operation].keys()
    return st.fixed_dictionaries(
        {name: anything[name] for name in sorted(needed)},
        optional={name: anything[name] for name in sorted(fields - needed)},
    ).map(lambda given_: {"operation": operation.value, **given_})


requests = st.sampled_from(ALL).flatmap(fields_of)


@settings(deadline=None)
@given(requests)
def test_a_request_comes_back_from_wire_history_and_database_as_it_went(
    asked: dict[str, Any],
) -> None:
    request = parse_request(asked)

    on_the_wire = type(request).model_validate_json(request.model_dump_json(exclude_none=True))
    in_history = Reserve.model_validate_json(
        Reserve(generation_id="gen_one", request=request).model_dump_json()
    )
    stored = parse_request(json.loads(json.dumps(request.model_dump(mode="json"))))

    for back in (on_the_wire, in_history.request, stored):
        assert isinstance(back, REQUESTS[Operation(asked["operation"])])
        assert back == request
        assert request_hash(back) == request_hash(request)


@pytest.mark.parametrize("operation", ALL)
def test_the_operation_decides_which_request_it_is(operation: Operation) -> None:
    request = a_request_for(operation)

    assert type(request) is REQUESTS[operation]
    assert request.operation is operation
    assert WORKFLOW_TYPES[operation].lower() == operation.replace("-", "")


def test_a_document_of_the_first_release_is_image_to_video() -> None:
    old = LEAST[Operation.IMAGE_TO_VIDEO]

    assert parse_request(old) == a_request_for(Operation.IMAGE_TO_VIDEO)
    in_history = Reserve.model_validate({"generation_id": "gen_one", "request": old})
    assert in_history.request == parse_request(old)


def test_the_hash_of_a_request_of_the_first_release_is_what_was_stored_then() -> None:
    old = {**LEAST[Operation.IMAGE_TO_VIDEO], "seed": 7, "source": "video_studio"}

    assert (
        request_hash(parse_request(old))
        == "075e63482fc17e603990028748c118cee18f4f496e81f1ea221d1be2349d42fa"
    )


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "image-to-video",
        {"operation": "text-to-video"},
        {"operation": None},
        {"operation": ["image-to-video"]},
        pytest.param({"operation": 10**5000}, id="a huge integer"),
        {"operation": "scene-animation", **LEAST[Operation.IMAGE_TO_VIDEO]},
        {**LEAST[Operation.TALKING_AVATAR]},
    ],
    ids=lambda each: str(each)[:60],
)
def test_what_is_no_request_of_any_operation_is_a_validation_error(document: object) -> None:
    with pytest.raises(ValidationError):
        parse_request(document)


@pytest.mark.parametrize("operation", ALL)
@pytest.mark.parametrize("field", [*OTHERWISE, "colour", "path"])
def test_a_field_that_the_operation_has_not_is_refused_by_its_name(
    operation: Operation, field: str
) -> None:
    value = OTHERWISE.get(field, "x")
    if field in REQUESTS[operation].model_fields:
        assert getattr(a_request_for(operation, **{field: value}), field) is not None
        return

    with pytest.raises(ValidationError) as refused:
        a_request_for(operation, **{field: value})

    (told,) = refused.value.errors()
    assert (place_of(told["loc"]), told["type"]) == (field, "extra_forbidden")


@pytest.mark.parametrize(
    ("operation", "field"),
    [(each, field) for each in ALL for field in LEAST[each]],
)
def test_what_an_operation_can_not_do_without_is_missed_by_its_name(
    operation: Operation, field: str
) -> None:
    asked = {name: value for name, value in LEAST[operation].items() if name != field}

    with pytest.raises(ValidationError) as refused:
        parse_request({"operation": operation.value, **asked})

    assert {place_of(each["loc"]).split(".")[0] for each in refused.value.errors()} == {field}


@pytest.mark.parametrize(("operation", "field"), FIELDS)
def test_another_wish_has_another_hash(operation: Operation, field: str) -> None:
    otherwise = a_request_for(operation, **{field: OTHERWISE[field]})

    assert request_hash(otherwise) != request_hash(a_request_for(operation))


def test_a_wish_of_another_operation_has_another_hash() -> None:
    hashes = {request_hash(a_request_for(operation)) for operation in ALL}

    assert len(hashes) == len(ALL)


@pytest.mark.parametrize("operation", ALL)
@pytest.mark.parametrize(
    "same",
    [
        {"idempotency_key": "k"},
        {"max_cost_usd_micros": 1},
        {"source": "api"},
        {"model": None},
        {"callback_url": None},
    ],
    ids=str,
)
def test_key_cost_limit_and_given_defaults_are_no_part_of_the_wish(
    operation: Operation, same: dict[str, object]
) -> None:
    assert request_hash(a_request_for(operation, **same)) == request_hash(a_request_for(operation))


def test_a_story_that_is_told_by_other_names_or_with_empty_fields_is_the_same_wish() -> None:
    hashes = {
        request_hash(a_request_for(Operation.SCENE_ANIMATION, story_context=story))
        for story in (
            {"tone": "calm"},
            {"story_tone": "calm", "plot": ""},
            {"story_tone": ["calm"], "anime_bible": {}, "bible": {"tone": None}},
        )
    }

    assert len(hashes) == 1


@pytest.mark.parametrize("operation", ALL)
def test_media_and_documents_are_found_by_their_roles(operation: Operation) -> None:
    fields = {
        name: {"media_id": f"med_{name.replace('_', ''):z<26}"}
        for name in ("image", "audio", "mask_image", "scene", "story_context")
        if name in REQUESTS[operation].model_fields
    }

    request = a_request_for(operation, **fields)

    found: dict[str, Any] = {**request.media, **request.documents}
    assert found == {name: MediaById.model_validate(value) for name, value in fields.items()}
    assert set(request.documents) <= {"scene", "story_context"}


@pytest.mark.parametrize(
    "given_",
    [{}, {"claimed": True}],
    ids=str,
)
def test_claimed_says_nothing_but_that(given_: dict[str, object]) -> None:
    assert Claimed.model_validate(given_).model_dump() == {"claimed": True}


@pytest.mark.parametrize(
    "given_",
    [{"claimed": False}, {"claimed": None}, {"claimed": "true"}, {"claimed": True, "user_id": "a"}],
    ids=str,
)
def test_what_is_not_plainly_claimed_is_no_claim(given_: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Claimed.model_validate(given_)


@pytest.mark.parametrize(
    ("operation", "wrong", "place"),
    [
        (Operation.SCENE_ANIMATION, {"scene": {"scene_number": -1}}, "scene.scene_number"),
        (Operation.SCENE_ANIMATION, {"scene": {"media_id": "mine"}}, "scene.media_id"),
        (Operation.SCENE_ANIMATION, {"scene": "A calm sea"}, "scene"),
        (
            Operation.SCENE_ANIMATION,
            {"story_context": {"anime_bible": {"main_cast": [{"name": "a\x00"}]}}},
            "story_context.anime_bible.main_cast.0.name",
        ),
        (Operation.TALKING_AVATAR, {"audio": {"url": "http://example.com"}}, "audio.url"),
        (Operation.TALKING_AVATAR, {"mask_image": {"media_id": "../x"}}, "mask_image.media_id"),
        (Operation.IMAGE_TO_VIDEO, {"seed": "seven"}, "seed"),
    ],
    ids=lambda each: str(each)[:50],
)
def test_a_place_is_told_as_callers_write_it(
    operation: Operation, wrong: dict[str, object], place: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        a_request_for(operation, **wrong)

    assert place in {place_of(each["loc"]) for each in refused.value.errors()}


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ((), "input"),
        (("inline",), "inline"),
        (("talking-avatar", "audio", "MediaByUrl", "url"), "audio.url"),
        (("request", "scene-animation", "scene", "inline", "lines", 0), "request.scene.lines.0"),
    ],
    ids=str,
)
def test_the_tags_of_unions_are_no_part_of_a_place(
    location: tuple[int | str, ...], place: str
) -> None:
    assert place_of(location) == place


def test_every_model_of_a_request_is_one_of_three() -> None:
    assert set(REQUESTS.values()) == set(GenerationRequest.__args__)
    assert set(REQUESTS) == set(WORKFLOW_TYPES) == set(Operation)
