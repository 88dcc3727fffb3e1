"""Scenes and stories: what editors send becomes text, or is dropped and counted, or is refused."""

import json
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.contracts.conftest import a_scene_request
from workflows.contracts.requests import SceneAnimationRequest, request_hash
from workflows.contracts.stories import INLINE_BYTES_MAX, Scene, StoryContext, Telling

TELLINGS = [Scene, StoryContext]
KEYS = [
    *Scene.model_fields,
    *StoryContext.model_fields,
    *("anime_bible", "bible", "visual_style", "world", "main_cast", "name", "text", "media_id"),
]

HUGE = 10**5000
"""An integer with more digits than Python turns into text."""

# What JSON can hold, and what Python callers and broken clients may add to it.
texts = st.text(max_size=20) | st.just("\ud800") | st.just("\x00")
scalars = st.none() | st.booleans() | st.integers() | st.builds(lambda: HUGE) | st.floats() | texts
keys: st.SearchStrategy[Any] = st.sampled_from(KEYS) | texts | st.integers()
anything: st.SearchStrategy[Any] = st.recursive(
    scalars | st.binary(max_size=3) | st.just(object()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=6)
    ),
    max_leaves=20,
)

# What an editor sends.
words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
extras = st.dictionaries(words.filter(lambda key: key not in KEYS), values, max_size=3)


def told(*names: str, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object of these fields, each given or not, with keys that nobody knows."""
    fields = st.fixed_dictionaries({}, optional={**dict.fromkeys(names, values), **parts})
    return st.tuples(extras, fields).map(lambda each: {**each[0], **each[1]})


scenes = told(
    *("scene_id", "description", "image_prompt", "audio_narration", "key_events"),
    scene_number=st.none() | st.integers(0, 1_000_000),
    lines=st.lists(words | told("text", "speaker"), max_size=3),
).map(lambda each: {**each, "title": "A calm sea"})
stories = told(
    *("persona", "story_setting", "plot_elements", "story_tone", "outline"),
    anime_bible=told(
        visual_style=words | told("camera_style", "extra_tags"),
        world=words | told("setting"),
        main_cast=st.lists(words | told("name"), max_size=3),
    ),
    bible=told("host_persona", "tone"),
    analysis=told("contentType", "keyTakeaways"),
)


@settings(deadline=None)
@given(st.sampled_from(TELLINGS), anything)
@example(Scene, {"unknown_keys": "5", "colour": "blue"})
@example(Scene, {"unknown_keys": [1], "colour": "blue"})
@example(Scene, {"unknown_keys": HUGE, "colour": "blue"})
@example(Scene, {"scene_number": HUGE})
@example(Scene, {"title": [b"bytes", object()]})
def test_whatever_is_given_is_a_story_or_a_validation_error(
    telling: type[Telling], given_: object
) -> None:
    try:
        made = telling.model_validate(given_)
    except ValidationError:
        return

    assert telling.model_validate_json(made.model_dump_json()) == made


@settings(deadline=None)
@given(scenes, stories)
def test_what_an_editor_sends_comes_back_from_history_with_the_same_hash(
    scene: dict[str, Any], story: dict[str, Any]
) -> None:
    asked = a_scene_request(scene=scene, story_context=story)

    sent = asked.model_dump_json(exclude_none=True)
    stored = asked.model_dump(mode="json", exclude_none=True)

    for back in (
        SceneAnimationRequest.model_validate_json(sent),
        SceneAnimationRequest.model_validate(stored),
    ):
        assert back == asked
        assert request_hash(back) == request_hash(asked)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("calm", "calm"),
        (3, "3"),
        (0.5, "0.5"),
        (True, "yes"),
        (False, "no"),
        (None, ""),
        ([], ""),
        (["calm", None, "wide", 3], "calm, wide, 3"),
        ({"mood": "calm", "none": None, "light": ["low", "warm"]}, "mood: calm; light: low, warm"),
        ([[[[[["deep"]]]]]], "deep"),
    ],
    ids=str,
)
def test_any_json_value_becomes_text(value: object, text: str) -> None:
    assert StoryContext.model_validate({"tone": value}).tone == text
    assert Scene.model_validate({"lines": [{"text": value}]}).lines[0].text == text


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([[[[[[["deeper"]]]]]]], "deeper than 6 levels"),
        ("a\x00b", "NUL"),
        ({"a\x00b": "value"}, "NUL"),
        (["\udfff"], "lone surrogate"),
        ({"\ud800": "value"}, "lone surrogate"),
        ([b"bytes"], "bytes is no value of JSON"),
        ({"key": {1, 2}}, "set is no value of JSON"),
        (HUGE, "Exceeds the limit"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_a_value_that_no_text_can_be_made_of_is_refused_at_its_field(
    value: object, why: str
) -> None:
    with pytest.raises(ValidationError, match=why) as refused:
        StoryContext.model_validate({"style_bible": {"world": {"setting": value}}})

    assert [each["loc"] for each in refused.value.errors()] == [("style_bible", "world", "setting")]


def test_every_field_has_the_names_of_the_products_and_ours() -> None:
    theirs = {
        "story_setting": "a bay",
        "plot_elements": "a storm",
        "story_tone": "calm",
        "anime_bible": {"visual_style": {"lighting": "low"}},
        "bible": {"host_persona": "a sailor"},
        "analysis": {
            "contentType": "talk",
            "keyTakeaways": ["wait", "see"],
            "guestName": "Mira",
            "guestExpertise": "tides",
        },
    }
    ours = {
        "setting": "a bay",
        "plot": "a storm",
        "tone": "calm",
        "style_bible": {"visual_style": {"lighting": "low"}},
        "podcast_bible": {"host_persona": "a sailor"},
        "analysis": {
            "content_type": "talk",
            "key_takeaways": "wait, see",
            "guest_name": "Mira",
            "guest_expertise": "tides",
        },
    }

    story = StoryContext.model_validate(theirs)

    assert story == StoryContext.model_validate(ours)
    assert story.model_dump() == ours
    assert story.dropped_keys() == 0
    for name in ("narration", "audio_narration", "voiceover"):
        assert Scene.model_validate({name: "The sea is calm."}).narration == "The sea is calm."


def test_of_two_names_for_a_field_the_one_that_says_something_is_taken() -> None:
    empty = StoryContext.model_validate({"tone": "", "story_tone": "calm"})
    same = StoryContext.model_validate({"tone": "calm", "story_tone": "calm"})
    other = StoryContext.model_validate({"story_tone": "wild", "tone": "calm"})

    assert [each.tone for each in (empty, same, other)] == ["calm"] * 3
    assert [each.dropped_keys() for each in (empty, same, other)] == [0, 0, 1]


def test_keys_that_nobody_knows_are_dropped_and_counted_at_every_level() -> None:
    scene = Scene.model_validate(
        {"colour": 1, "title": "x", "lines": [{"text": "a", "pause": 1, "mood": 2}, {"loud": 1}]}
    )
    story = StoryContext.model_validate(
        {
            "colour": 1,
            "anime_bible": {
                "version": 2,
                "visual_style": {"grain": "fine"},
                "world": {"setting": "a bay", "era": "now"},
                "main_cast": [{"name": "Mira", "age": 9, "hair": "red"}, {"age": 8}],
            },
        }
    )

    assert (scene.unknown_keys, scene.dropped_keys()) == (1, 4)
    assert (story.unknown_keys, story.dropped_keys()) == (1, 7)
    assert "colour" not in story.model_dump_json()


def test_a_count_that_comes_back_is_added_to_and_an_editors_key_of_that_name_is_one_more() -> None:
    back = Scene.model_validate({"title": "x", "unknown_keys": 3, "colour": 1})
    foreign = Scene.model_validate({"title": "x", "unknown_keys": ["hair"], "colour": 1})

    assert (back.dropped_keys(), foreign.dropped_keys()) == (4, 2)


@pytest.mark.parametrize("nothing", [None, "", [], {}], ids=str)
def test_what_an_editor_leaves_empty_is_not_told_and_not_written(nothing: object) -> None:
    names = [name for name in StoryContext.model_fields if name != "unknown_keys"]

    story = StoryContext.model_validate(dict.fromkeys([*names, "anime_bible", "bible"], nothing))
    scene = Scene.model_validate({"title": "x", "scene_number": nothing, "lines": nothing})

    assert story == StoryContext()
    assert story.model_dump_json() == "{}"
    assert scene.model_dump_json() == '{"title":"x"}'
    assert story.dropped_keys() == scene.dropped_keys() == 0


def test_a_text_in_place_of_a_small_part_is_its_main_field() -> None:
    scene = Scene.model_validate({"lines": ["The sea is calm."]})
    bible = StoryContext.model_validate(
        {"style_bible": {"visual_style": "ink", "world": "a bay", "main_cast": ["Mira"]}}
    ).style_bible

    assert scene.lines[0].text == "The sea is calm."
    assert (bible.visual_style.style_preset, bible.world.setting) == ("ink", "a bay")
    assert [member.name for member in bible.main_cast] == ["Mira"]


@pytest.mark.parametrize(
    ("given_", "number"),
    [
        ({"scene_number": 0, "scene_id": "scene_3"}, 0),
        ({"scene_id": "scene_3"}, 3),
        ({"scene_id": 12}, 12),
        ({"scene_id": "act2-scene7"}, 2),
        ({"scene_id": "opening"}, None),
        ({"scene_id": "٣"}, None),
        ({"scene_id": "1732275600000"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_a_scenes_number_is_given_or_the_first_digits_of_its_id(
    given_: dict[str, object], number: int | None
) -> None:
    assert Scene.model_validate(given_).number == number


@pytest.mark.parametrize(
    "number",
    [-1, 1_000_001, pytest.param(HUGE, id="huge"), 2.5, "three", float("nan"), [3]],
)
def test_a_scene_number_that_is_none_is_refused(number: object) -> None:
    with pytest.raises(ValidationError) as refused:
        Scene.model_validate({"scene_number": number})

    assert [each["loc"] for each in refused.value.errors()] == [("scene_number",)]


@pytest.mark.parametrize(
    ("given_", "heading"),
    [
        ({"scene_number": 3, "title": "The lighthouse"}, "Scene 3: The lighthouse"),
        ({"title": "The\n lighthouse "}, "Scene: The lighthouse"),
        ({"scene_id": "scene_3", "title": " ", "description": "Waves."}, "Scene 3: Waves."),
        ({"scene_number": 3, "image_prompt": "a bay"}, "Scene 3"),
        ({}, "Scene"),
        ({"title": "wave " * 100}, "Scene: " + "wave " * 22 + "wa…"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_heading_is_one_short_line_of_number_and_title(
    given_: dict[str, object], heading: str
) -> None:
    assert Scene.model_validate(given_).heading() == heading
    assert len(heading) <= 120


@pytest.mark.parametrize("scene", [{}, {"title": " \n"}, {"narration": "Hello."}], ids=str)
def test_a_scene_that_tells_nothing_to_animate_is_refused(scene: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="a title, a description or an image_prompt"):
        a_scene_request(scene=scene)


def test_scene_and_story_together_may_have_sixteen_kilobytes_inline() -> None:
    frame = len('{"title":""}') + len('{"outline":""}')
    most = INLINE_BYTES_MAX - frame - len("é".encode())

    asked = a_scene_request(scene={"title": "é"}, story_context={"outline": "x" * most})
    with pytest.raises(ValidationError, match=r"16385 bytes of JSON; allowed: at most 16384"):
        a_scene_request(scene={"title": "éx"}, story_context={"outline": "x" * most})

    assert isinstance(asked.story_context, StoryContext)
    assert asked.story_context.inline_bytes() == most + len('{"outline":""}')


@pytest.mark.parametrize("lines", [501, 10_000])
def test_more_lines_than_a_scene_can_have_are_refused(lines: int) -> None:
    with pytest.raises(ValidationError) as refused:
        Scene.model_validate({"lines": ["a"] * lines})

    assert [each["loc"] for each in refused.value.errors()] == [("lines",)]


def test_a_million_keys_are_counted() -> None:
    many = {f"key_{number}": number for number in range(1_000_000)}

    assert Scene.model_validate({**many, "title": "x"}).dropped_keys() == 1_000_000


def test_nesting_beyond_pythons_recursion_is_refused_or_dropped() -> None:
    deep: Any = "x"
    for _ in range(sys.getrecursionlimit() * 10):
        deep = [deep]
    brackets = "[" * 100_000 + "]" * 100_000

    assert Scene.model_validate({"title": "x", "colour": deep}).dropped_keys() == 1
    with pytest.raises(ValidationError, match="deeper than 6 levels"):
        Scene.model_validate({"title": deep})
    with pytest.raises(ValidationError, match="recursion limit"):
        Scene.model_validate_json(f'{{"colour": {brackets}}}')


def test_a_story_reads_the_same_from_python_and_from_json() -> None:
    given_ = {"tone": 0.1, "outline": {"act": [1, None, "two"]}, "anime_bible": None, "grain": {}}

    from_json = StoryContext.model_validate_json(json.dumps(given_))

    assert StoryContext.model_validate(given_) == from_json
