"""What a story or a podcast tells of a scene: what prompts are made of when nobody wrote one.

The fields are those that the products' editors send, by our names or by theirs. A key that nobody
knows is dropped and counted, since editors grow; a value may be text, a number, or a list or object
of these, and becomes text.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

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

from workflows.contracts.texts import Storable

INLINE_BYTES_MAX = 16_384
"""Scene and story in one request, as JSON; Temporal keeps every input in history."""

DOCUMENT_BYTES_MAX = 262_144
"""A scene or story that is stored as media: some ten times the longest that an editor sends."""

_DEPTH_MAX = 6
_UNTOLD: tuple[object, ...] = ("", None, [], {}, ())
"""What is not written: history keeps what was told, not every field that could have been."""


def _words(value: object, depth: int = 0) -> object:
    """Any JSON value as text; what is not one goes on to be refused."""
    if depth > _DEPTH_MAX:
        raise ValueError(f"it is nested deeper than {_DEPTH_MAX} levels")
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return str(value)
        case list() | tuple():
            return ", ".join(filter(None, (str(_words(part, depth + 1)) for part in value)))
        case Mapping():
            parts = ((str(key), str(_words(part, depth + 1))) for key, part in value.items())
            return "; ".join(f"{key}: {part}" for key, part in parts if part)
        case _:
            return value


Words = Annotated[Storable, BeforeValidator(_words)]
"""Text, whatever JSON it came as."""


def _line(value: object) -> object:
    return {"text": value} if isinstance(value, str) else value


class Telling(BaseModel):
    """A part of a story. Unknown keys are dropped and counted."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    unknown_keys: int | None = Field(default=None, ge=1)
    """How many keys of this part were dropped; what is in its parts is counted there."""

    @model_validator(mode="before")
    @classmethod
    def _count_unknown(cls, given: Any) -> Any:  # noqa: ANN401 - anything may come
        if not isinstance(given, Mapping):
            return given
        known = set(_names_of(cls))
        dropped = sum(1 for key in given if key not in known)
        if not dropped:
            return given
        return {**given, "unknown_keys": (given.get("unknown_keys") or 0) + dropped}

    @model_serializer(mode="wrap")
    def _without_the_untold(self, write: SerializerFunctionWrapHandler):  # noqa: ANN202 - keeps the schema
        return {name: value for name, value in write(self).items() if value not in _UNTOLD}

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


def _names_of(model: type[BaseModel]) -> Iterator[str]:
    """Every name by which a field of `model` may come."""
    for name, field in model.model_fields.items():
        yield name
        if isinstance(field.validation_alias, AliasChoices):
            yield from (str(choice) for choice in field.validation_alias.choices)


class Line(Telling):
    """One spoken line."""

    text: Words = ""
    speaker: Words = ""


class Scene(Telling):
    """The scene that becomes a video."""

    scene_number: int | None = Field(default=None, ge=0, le=1_000_000)
    scene_id: Words = ""
    """The product's own id, such as `scene_3`; without a `scene_number` its digits are the number.
    """
    title: Words = ""
    description: Words = ""
    image_prompt: Words = ""
    """What the still picture was made from."""
    narration: Words = Field(
        default="", validation_alias=AliasChoices("narration", "audio_narration", "voiceover")
    )
    lines: tuple[Annotated[Line, BeforeValidator(_line)], ...] = Field(default=(), max_length=500)
    character_descriptions: Words = ""
    key_events: Words = ""

    def heading(self) -> str:
        """Number and title, as far as they are told: `Scene 3: The lighthouse`."""
        number = "Scene" if self.number is None else f"Scene {self.number}"
        title = " ".join((self.title or self.description).split())
        return f"{number}: {title}" if title else number

    def is_told(self) -> bool:
        """Whether it says anything that can be animated."""
        return any(text.strip() for text in (self.title, self.description, self.image_prompt))

    @property
    def number(self) -> int | None:
        """The scene's number, given or read from its id."""
        if self.scene_number is not None:
            return self.scene_number
        digits = "".join(filter(str.isascii, filter(str.isdigit, self.scene_id)))
        return int(digits[:6]) if digits else None


class VisualStyle(Telling):
    """How everything of a story looks."""

    style_preset: Words = ""
    camera_style: Words = ""
    color_mood: Words = ""
    lighting: Words = ""
    line_style: Words = ""
    extra_tags: Words = ""


class World(Telling):
    """Where a story happens."""

    setting: Words = ""


class CastMember(Telling):
    """Somebody who appears again and again."""

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
