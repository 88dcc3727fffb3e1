"""What a story or a podcast tells of a scene: what prompts are made of when nobody wrote one.

The fields are those that the products' editors send, by our names or by theirs. A key that nobody
knows is dropped and counted, since editors grow; a value may be text, a number, or a list or object
of these, and becomes text; null and empty values are what an editor sends where nothing is told.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo

from workflows.contracts.texts import Storable

INLINE_BYTES_MAX = 16_384
"""Scene and story in one request, as JSON; Temporal keeps every input in history."""

DOCUMENT_BYTES_MAX = 262_144
"""A scene or story that is stored as media: some ten times the longest that an editor sends."""

_DEPTH_MAX = 6
_COUNT = "unknown_keys"
_COUNT_MAX = 2**53
_HEADING_CHARACTERS_MAX = 120
_NUMBER_DIGITS_MAX = 6
_UNTOLD: tuple[object, ...] = ("", None, [], {}, ())
"""What is not written: history keeps what was told, not every field that could have been."""


def _words(value: object, depth: int = 0) -> str:
    """Any JSON value as text; what is not one is refused."""
    if depth > _DEPTH_MAX:
        raise ValueError(f"it is nested deeper than {_DEPTH_MAX} levels")
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return str(value)
        case list() | tuple():
            return ", ".join(filter(None, (_words(part, depth + 1) for part in value)))
        case Mapping():
            parts = ((str(key), _words(part, depth + 1)) for key, part in value.items())
            return "; ".join(f"{key}: {part}" for key, part in parts if part)
        case _:
            raise ValueError(f"{type(value).__name__} is no value of JSON")


Words = Annotated[Storable, BeforeValidator(_words)]
"""Text, whatever JSON it came as."""


class Telling(BaseModel):
    """A part of a story. Unknown keys are dropped and counted."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    text_is: ClassVar[str | None] = None
    """The field that a text in place of this part's object means."""

    unknown_keys: int | None = Field(default=None, ge=1)
    """How many keys of this part were dropped; what is in its parts is counted there."""

    @model_validator(mode="before")
    @classmethod
    def _what_is_told(cls, given: Any) -> Any:  # noqa: ANN401 - anything may come
        """The fields that say something, each by one of its names; all other keys are counted."""
        if isinstance(given, str) and cls.text_is is not None:
            return {cls.text_is: given}
        if not isinstance(given, Mapping):
            return given
        fields = [_names_of(*each) for each in cls.model_fields.items() if each[0] != _COUNT]
        known = {_COUNT}.union(*fields)
        dropped = _dropped_before(given.get(_COUNT)) + sum(key not in known for key in given)
        told: dict[str, Any] = {}
        for names in fields:
            said = [name for name in names if _is_told(given.get(name))]
            told |= {name: given[name] for name in said[:1]}
            dropped += sum(given[other] != given[said[0]] for other in said[1:])
        return {**told, _COUNT: min(dropped, _COUNT_MAX) or None}

    @model_serializer(mode="wrap")
    def _without_the_untold(self, write: SerializerFunctionWrapHandler):  # noqa: ANN202 - keeps the schema
        return {name: value for name, value in write(self).items() if _is_told(value)}

    def dropped_keys(self) -> int:
        """How many keys were dropped in this part and in all of its parts."""
        return (self.unknown_keys or 0) + sum(
            part.dropped_keys()
            for _, value in self
            for part in (value if isinstance(value, tuple) else (value,))
            if isinstance(part, Telling)
        )

    def inline_bytes(self) -> int:
        """Its size as JSON."""
        return len(self.model_dump_json().encode())


def _names_of(name: str, field: FieldInfo) -> tuple[str, ...]:
    """Every name by which a field may come, the one that counts most first."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else ()
    return (name, *(str(choice) for choice in choices if choice != name))


def _is_told(value: object) -> bool:
    return value not in _UNTOLD


def _dropped_before(count: object) -> int:
    """What a part that comes back says of itself; an editor's key of that name is one more."""
    if type(count) is int and 0 < count <= _COUNT_MAX:
        return count
    return int(_is_told(count))


class Line(Telling):
    """One spoken line."""

    text_is = "text"

    text: Words = ""
    speaker: Words = ""


class Scene(Telling):
    """The scene that becomes a video."""

    scene_number: int | None = Field(default=None, ge=0, le=1_000_000)
    scene_id: Words = ""
    """The product's own id, such as `scene_3`; without a `scene_number` its first digits are it."""
    title: Words = ""
    description: Words = ""
    image_prompt: Words = ""
    """What the still picture was made from."""
    narration: Words = Field(
        default="", validation_alias=AliasChoices("narration", "audio_narration", "voiceover")
    )
    lines: tuple[Line, ...] = Field(default=(), max_length=500)
    character_descriptions: Words = ""
    key_events: Words = ""

    def heading(self) -> str:
        """Number and title, as far as they are told: `Scene 3: The lighthouse`; one line, short."""
        number = "Scene" if self.number is None else f"Scene {self.number}"
        title = " ".join(self.title.split()) or " ".join(self.description.split())
        whole = f"{number}: {title}" if title else number
        if len(whole) <= _HEADING_CHARACTERS_MAX:
            return whole
        return whole[: _HEADING_CHARACTERS_MAX - 1].rstrip() + "…"

    def is_told(self) -> bool:
        """Whether it says anything that can be animated."""
        return any(text.strip() for text in (self.title, self.description, self.image_prompt))

    @property
    def number(self) -> int | None:
        """The scene's number, given or read from its id."""
        if self.scene_number is not None:
            return self.scene_number
        digits = re.search(r"[0-9]+", self.scene_id)
        # A longer one is a time or a key, not the place in a story.
        return int(digits[0]) if digits and len(digits[0]) <= _NUMBER_DIGITS_MAX else None


class VisualStyle(Telling):
    """How everything of a story looks."""

    text_is = "style_preset"

    style_preset: Words = ""
    camera_style: Words = ""
    color_mood: Words = ""
    lighting: Words = ""
    line_style: Words = ""
    extra_tags: Words = ""


class World(Telling):
    """Where a story happens."""

    text_is = "setting"

    setting: Words = ""


class CastMember(Telling):
    """Somebody who appears again and again."""

    text_is = "name"

    name: Words = ""


class StyleBible(Telling):
    """What keeps the scenes of a story alike."""

    visual_style: VisualStyle = VisualStyle()
    world: World = World()
    main_cast: tuple[CastMember, ...] = Field(default=(), max_length=100)


class PodcastBible(Telling):
    """How a podcast looks and sounds."""

    host_persona: Words = ""
    tone: Words = ""
    visual_style: Words = ""
    background: Words = ""


class Analysis(Telling):
    """What a podcast is about."""

    content_type: Words = Field(
        default="", validation_alias=AliasChoices("content_type", "contentType")
    )
    key_takeaways: Words = Field(
        default="", validation_alias=AliasChoices("key_takeaways", "keyTakeaways")
    )
    audience: Words = ""
    guest_name: Words = Field(default="", validation_alias=AliasChoices("guest_name", "guestName"))
    guest_expertise: Words = Field(
        default="", validation_alias=AliasChoices("guest_expertise", "guestExpertise")
    )


class StoryContext(Telling):
    """The story or podcast that the scene belongs to."""

    persona: Words = ""
    setting: Words = Field(default="", validation_alias=AliasChoices("setting", "story_setting"))
    characters: Words = ""
    plot: Words = Field(default="", validation_alias=AliasChoices("plot", "plot_elements"))
    writing_style: Words = ""
    tone: Words = Field(default="", validation_alias=AliasChoices("tone", "story_tone"))
    narrative_pov: Words = ""
    audience_age_group: Words = ""
    content_rating: Words = ""
    story_length: Words = ""
    premise: Words = ""
    outline: Words = ""
    story_content: Words = ""
    style_bible: StyleBible = Field(
        default=StyleBible(), validation_alias=AliasChoices("style_bible", "anime_bible")
    )
    podcast_bible: PodcastBible = Field(
        default=PodcastBible(), validation_alias=AliasChoices("podcast_bible", "bible")
    )
    analysis: Analysis = Analysis()
