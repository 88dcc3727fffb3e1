"""Prompts by rule: the same scene gives the same words, with no LLM and at no cost.

Pure. Each part has its own limit, so that no long one pushes the others out.
"""

import re
from collections.abc import Iterable

from activities.prompts.lengths import fit
from workflows.contracts.stories import Scene, StoryContext

AVATAR_CHARACTERS_MAX = 350
"""What the talking model makes use of; the limit of the products' old code."""

AVATAR_CHARACTERS_MIN = 15
"""Less says nothing of a person, so no prompt is sent."""

_SCENE_MOTION = (
    "Figures breathe and turn, cloth, hair and leaves stir; the motion begins softly and settles"
    " before the end"
)
_AVATAR_MOTION = "Natural small gestures, steady camera, soft film light, fine detail"

_NO_TITLE = re.compile(r"(scene|podcast|episode)[\W\d_]*", re.IGNORECASE)
_TITLE_CHARACTERS_MIN = 6
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")
_AUDIENCE_WORDS_MAX = 3
_LINES_MAX = 3
_PARTS_ENOUGH_FOR_A_PICTURE = 3
_PARTS_ENOUGH_FOR_WORDS = 4


def scene_prompt(
    scene: Scene, story: StoryContext, *, duration_s: float | None, characters_max: int
) -> str:
    """What an animator can do with title, description, setting, tone, picture and style.

    Never empty and never longer than `characters_max`; the duration stands early, so that no cut
    takes it away.
    """
    title = fit(scene.title, 120).rstrip(" .:") or "The scene"
    lasting = "" if duration_s is None else f" that lasts {duration_s:g} seconds"
    setting = fit(story.setting or story.style_bible.world.setting, 160).rstrip(" .")
    parts = [
        f"{title}: the picture comes alive in one unbroken shot{lasting}",
        fit(scene.description, 400),
        _named("The place:", setting),
        "The camera moves slowly, near things passing faster than far ones",
        _named("The mood stays", fit(story.tone, 80)),
        _named("As in the picture:", fit(scene.image_prompt, 300)),
        _named("In this style:", fit(_style(story), 500)),
        _SCENE_MOTION,
    ]
    return fit(_sentences(parts), characters_max)


def avatar_prompt(scene: Scene, story: StoryContext, *, characters_max: int) -> str | None:
    """What is told of a podcast or a scene, in few words; None where it is too little.

    The order is that of the products' old code: title, analysis, bible; then picture and words,
    as long as there is little else.
    """
    analysis, bible = story.analysis, story.podcast_bible
    title = " ".join(scene.title.split())
    named = len(title) >= _TITLE_CHARACTERS_MIN and not _NO_TITLE.fullmatch(title)
    parts = [
        title if named else "",
        analysis.content_type,
        fit(analysis.key_takeaways, 80),
        " ".join(analysis.audience.split()[:_AUDIENCE_WORDS_MAX]),
        analysis.guest_name,
        analysis.guest_expertise,
        bible.host_persona,
        bible.tone,
        bible.visual_style,
        bible.background,
    ]
    parts = _told(parts)
    if len(parts) < _PARTS_ENOUGH_FOR_A_PICTURE:
        first, *_ = _SENTENCE_END.split(scene.image_prompt.strip(), maxsplit=1)
        parts += _told([fit(first, 100)])
    if len(parts) < _PARTS_ENOUGH_FOR_WORDS:
        lines = " ".join(line.text for line in scene.lines[:_LINES_MAX])
        parts += _told([fit(lines or scene.narration, 150)])
    if len(" ".join(parts)) < AVATAR_CHARACTERS_MIN:
        return None
    limit = min(characters_max, AVATAR_CHARACTERS_MAX)
    return fit(". ".join([*parts, _AVATAR_MOTION]), limit).rstrip(" .,") or None


def _style(story: StoryContext) -> str:
    bible = story.style_bible
    looks = [value for name, value in bible.visual_style if name != "unknown_keys"]
    cast = ", ".join(filter(None, (one.name for one in bible.main_cast[:4])))
    return "; ".join(_told([*looks, _named("with", cast)]))


def _named(name: str, words: str) -> str:
    return f"{name} {words}" if words.strip() else ""


def _told(parts: Iterable[str]) -> list[str]:
    """What is told of `parts`, each without the dots that a joint would double."""
    lines = (" ".join(part.split()).rstrip(" .,;:") for part in parts)
    return [line for line in lines if line]


def _sentences(parts: Iterable[str]) -> str:
    return " ".join(line if line[-1] in "!?" else f"{line}." for line in _told(parts))
