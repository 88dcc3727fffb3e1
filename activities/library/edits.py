"""What an owner may change of an asset, and how much of it: its words, its tags, its star.

The file, what was asked for and what it cost are facts, which nobody edits.
"""

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    field_validator,
)

from workflows.contracts.texts import storable

TITLE_CHARACTERS_MAX = 200
DESCRIPTION_CHARACTERS_MAX = 2000
TAG_CHARACTERS_MAX = 60
TAGS_MAX = 50
"""A product files a video under a handful; the others are the owner's own."""


def _one_line(text: str) -> str:
    if not storable(text).isprintable():
        raise ValueError("must be printable characters on one line")
    return text


Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=TITLE_CHARACTERS_MAX),
    AfterValidator(_one_line),
]
Description = Annotated[
    str, StringConstraints(max_length=DESCRIPTION_CHARACTERS_MAX), AfterValidator(storable)
]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=TAG_CHARACTERS_MAX),
    AfterValidator(_one_line),
]


class AssetChanges(BaseModel):
    """What to change of an asset. What is left out or null stays as it is."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"title": "The lighthouse at dusk", "tags": ["scene_3"], "favorite": True}]
        },
    )

    title: Title | None = Field(default=None, description="One line of 1 to 200 characters.")
    description: Description | None = Field(
        default=None, description="Up to 2,000 characters; empty text clears it."
    )
    tags: Annotated[tuple[Tag, ...], Field(max_length=TAGS_MAX)] | None = Field(
        default=None, description="All of them, at most 50; an empty list clears them."
    )
    favorite: StrictBool | None = Field(default=None, description="Whether it has a star.")

    @field_validator("tags")
    @classmethod
    def _each_once(cls, tags: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if tags is None else tuple(dict.fromkeys(tags))
