"""Prompts by rule, by their properties and by a few examples."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from activities.ledger.catalogues import load_catalogue
from activities.prompts.lengths import fit
from activities.prompts.rules import AVATAR_CHARACTERS_MAX, avatar_prompt, scene_prompt
from tests.activities.prompts.conftest import SCENE, STORY
from workflows.contracts.stories import Scene, StoryContext

words = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=600)
scenes = st.builds(
    Scene,
    title=words,
    description=words,
    image_prompt=words,
    narration=words,
    lines=st.lists(st.fixed_dictionaries({"text": words}), max_size=4),
)
stories = st.builds(
    StoryContext.model_validate,
    st.fixed_dictionaries(
        {
            "tone": words,
            "setting": words,
            "style_bible": st.fixed_dictionaries(
                {"visual_style": st.fixed_dictionaries({"style_preset": words})}
            ),
            "analysis": st.fixed_dictionaries({"contentType": words, "audience": words}),
            "bible": st.fixed_dictionaries({"host_persona": words, "tone": words}),
        }
    ),
)
LONG = "a very long word after the other " * 100


def of_scene(scene: Scene, story: StoryContext = STORY, limit: int = 2500) -> str:
    return scene_prompt(scene, story, duration_s=10, characters_max=limit)


def of_avatar(scene: object = None, limit: int = 2000, **story: Any) -> str | None:
    told = StoryContext.model_validate(story)
    return avatar_prompt(Scene.model_validate(scene or {}), told, characters_max=limit)


@given(scenes, stories, st.integers(1, 3000))
def test_a_scenes_prompt_is_never_empty_and_never_too_long(
    scene: Scene, story: StoryContext, limit: int
) -> None:
    prompt = of_scene(scene, story, limit)

    assert 1 <= len(prompt) <= limit
    assert prompt == " ".join(prompt.split())


@given(scenes, stories)
def test_a_scenes_prompt_always_tells_the_duration(scene: Scene, story: StoryContext) -> None:
    assert "10 seconds" in of_scene(scene, story, 300)


@example(Scene(), StoryContext.model_validate({"bible": {"tone": "... and so on and on"}}), 1)
@given(scenes, stories, st.integers(1, 3000))
def test_an_avatars_prompt_is_missing_or_fits(
    scene: Scene, story: StoryContext, limit: int
) -> None:
    prompt = avatar_prompt(scene, story, characters_max=limit)

    assert prompt is None or 1 <= len(prompt) <= min(limit, AVATAR_CHARACTERS_MAX)
    assert prompt is None or prompt[-1] not in ".,"


@given(words, st.integers(1, 700))
def test_a_cut_takes_whole_words_from_the_beginning(text: str, limit: int) -> None:
    line, cut = " ".join(text.split()), fit(text, limit)

    assert line.startswith(cut)
    assert len(cut) <= limit
    assert bool(cut) == bool(line)


@pytest.mark.parametrize(
    ("limit", "cut"), [(11, "one two six"), (10, "one two"), (7, "one two"), (2, "on")]
)
def test_a_cut_ends_with_a_word_where_one_ends_near(limit: int, cut: str) -> None:
    assert fit("one two six", limit) == cut


def test_a_script_without_blanks_is_not_cut_back_to_its_first_word() -> None:
    assert fit("第一 " + "雨" * 500, 200) == "第一 " + "雨" * 197


def test_the_limit_is_the_models_own() -> None:
    limits = {entry.title: entry.prompt_characters_max for entry in load_catalogue().models}

    assert limits["Kling 2.5 turbo std"] == 2500
    assert limits["InfiniteTalk"] == 2000


def test_a_scenes_prompt_tells_every_part() -> None:
    scene = Scene.model_validate({**SCENE.model_dump(), "image_prompt": "oil lamp, wet rocks"})

    prompt = of_scene(scene)

    told = [
        "The lighthouse",
        "10 seconds",
        "Gulls circle an old lighthouse.",
        "a stormy coast",
        "wistful",
        "oil lamp, wet rocks",
        "watercolour anime",
        "handheld",
        "muted teal",
        "golden hour",
        "thin ink",
        "film grain, soft focus",
        "Mira, Old Tom",
    ]
    assert [part for part in told if part not in prompt] == []


def test_no_part_of_a_scene_pushes_another_out() -> None:
    scene = Scene(title=LONG, description=LONG, image_prompt=LONG)
    story = STORY.model_copy(update={"setting": LONG})

    prompt = of_scene(scene, story)

    assert "The mood stays wistful." in prompt
    assert "golden hour" in prompt
    assert "seconds" in prompt


def test_the_same_scene_gives_the_same_prompt() -> None:
    assert of_scene(SCENE) == of_scene(SCENE.model_copy())


def test_an_avatar_is_told_of_title_analysis_and_bible_in_this_order() -> None:
    analysis = {
        "contentType": "interview",
        "keyTakeaways": ["Bees dance", "Hives hum"],
        "audience": "curious young people everywhere",
        "guestName": "Dr. Wu",
        "guestExpertise": "apiology",
    }
    bible = {"host_persona": "warm host", "tone": "calm", "background": "a studio"}

    prompt = of_avatar(
        {"title": "The life of bees", "image_prompt": "a face"}, analysis=analysis, bible=bible
    )

    assert prompt is not None
    assert prompt.startswith(
        "The life of bees. interview. Bees dance, Hives hum. curious young people. Dr. Wu."
        " apiology. warm host. calm. a studio. Natural"
    )
    assert "a face" not in prompt


def test_an_avatar_of_which_little_is_told_is_told_of_picture_and_words() -> None:
    scene = {
        "title": "Episode 12",
        "image_prompt": "A woman in a library. She smiles.",
        "lines": ["Good evening.", "Welcome.", "Tonight: owls.", "And bats."],
    }

    prompt = of_avatar(scene)

    assert prompt is not None
    assert prompt.startswith(
        "A woman in a library. Good evening. Welcome. Tonight: owls. Natural small gestures"
    )


@pytest.mark.parametrize("title", ["Scene 4", "podcast", "Episode #7", "Dawn", "A sunny dawn"])
def test_a_title_that_says_too_little_sends_no_prompt(title: str) -> None:
    assert of_avatar({"title": title}) is None


def test_nothing_told_sends_no_prompt() -> None:
    assert of_avatar() is None


def test_an_avatars_prompt_is_cut_at_350_characters() -> None:
    prompt = of_avatar(analysis={"content_type": LONG})

    assert prompt is not None
    assert 330 < len(prompt) <= 350
