"""What the LLM is asked: everything that is told, within bounds."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.prompts.questions import ANSWER_SCHEMA, QUESTION_CHARACTERS_MAX, question_for
from tests.activities.prompts.conftest import SCENE, STORY
from workflows.contracts.stories import CastMember, Line, Scene, StoryContext, Telling

ITEMS: dict[str, type[Telling]] = {"lines": Line, "main_cast": CastMember}


def filled(model: type[Telling], words: Iterator[str]) -> Telling:
    """`model` with other words in every text that it has, however deep."""
    given: dict[str, object] = {}
    for name, value in model():
        if isinstance(value, Telling):
            given[name] = filled(type(value), words)
        elif isinstance(value, tuple):
            given[name] = [filled(ITEMS[name], words)]
        elif isinstance(value, str):
            given[name] = next(words)
    return model.model_validate(given)


def everything(words: Iterator[str]) -> tuple[Scene, StoryContext]:
    scene, story = filled(Scene, words), filled(StoryContext, words)
    assert isinstance(scene, Scene)
    assert isinstance(story, StoryContext)
    return scene, story


def asked(scene: Scene, story: StoryContext, duration_s: float | None = 10) -> str:
    return question_for(scene, story, duration_s=duration_s, characters_max=2500).user


def test_every_field_of_scene_and_story_is_told() -> None:
    told: list[str] = []
    words = (told.append(f"told{number}.") or told[-1] for number in itertools.count())

    user = asked(*everything(words))

    assert len(told) > 35
    assert [word for word in told if word not in user] == []


def test_every_style_field_is_told_however_long_the_story_is() -> None:
    long = {"story_content": "and then " * 20_000, "outline": "first " * 20_000}
    story = StoryContext.model_validate(STORY.model_dump() | long)

    user = asked(SCENE, story)

    styles = [
        *("watercolour anime", "handheld", "muted teal", "golden hour", "thin ink"),
        *("film grain, soft focus", "an island of wrecks", "Mira | Old Tom"),
    ]
    assert [style for style in styles if style not in user] == []
    assert "- color mood: muted teal" in user
    assert len(user) < 10_000


def test_the_longest_story_gives_a_bounded_question() -> None:
    user = asked(*everything(itertools.repeat("word " * 5_000)))

    assert 20_000 < len(user) <= QUESTION_CHARACTERS_MAX


WORDS = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=50)


@given(WORDS, WORDS)
def test_whatever_is_told_stands_on_one_line_under_its_own_name(title: str, tone: str) -> None:
    user = asked(Scene(title=title), StoryContext(tone=tone))

    named = [line.partition(": ")[0] for line in user.split("\n") if line.startswith("- t")]
    expected = (["- title"] if title.split() else []) + (["- tone"] if tone.split() else [])
    assert named == expected


@pytest.mark.parametrize("duration_s", [5, 10])
def test_the_asked_duration_and_the_models_limit_are_told(duration_s: int) -> None:
    user = asked(SCENE, STORY, duration_s)

    assert f"exactly {duration_s} seconds" in user
    assert "at most 2500 characters" in user


def test_the_form_of_the_answer_is_told() -> None:
    question = question_for(SCENE, STORY, duration_s=5, characters_max=100)

    assert '{"type": "object", "properties": {"animation_prompt"' in question.user
    assert ANSWER_SCHEMA["required"] == ["animation_prompt"]
    assert "cinematic animation director" in question.system


def test_what_is_not_told_leaves_no_trace() -> None:
    user = asked(Scene(title="Dawn"), StoryContext(), None)

    assert user.startswith("## Scene\n- title: Dawn\n\n## Your task\n")
    assert "seconds" not in user


def test_a_line_is_told_with_who_speaks_it() -> None:
    lines = [{"speaker": "Mira", "text": "Look!"}, "Where?"]

    user = asked(Scene.model_validate({"lines": lines}), StoryContext())

    assert "- lines: Mira: Look! | Where?" in user


def test_keys_that_were_dropped_are_not_told() -> None:
    user = asked(Scene.model_validate({"title": "Dawn", "x": 1}), StoryContext())

    assert "unknown" not in user
