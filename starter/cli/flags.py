"""Flags that several verbs share, with their help: each is described once."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter, Token


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """A whole number, or a refusal: `5.5` must not become 6 without a word."""
    typed = tokens[0].value
    try:
        return int(typed)
    except ValueError:
        raise ValueError(f"{typed[:40]!r}; allowed: a whole number") from None


Whole = Annotated[int, Parameter(converter=_whole)]

SWITCH = Parameter(negative=(), show_default=False)
"""A flag that is on where it stands."""

WORDS = Parameter(name_transform=str.lower)
"""Choices by their values, `timed_out`, not by their dashed names."""

# Which one

GenerationId = Annotated[
    str,
    Parameter(help="Its id, a beginning of it that names one, or the provider's prediction id"),
]
AssetId = Annotated[str, Parameter(help="Its id, or a beginning of it that names one")]
User = Annotated[str | None, Parameter(help="Only what belongs to this user")]
Owner = Annotated[str | None, Parameter(help="The owner [default under dev: local]")]
Limit = Annotated[Whole, Parameter(help="How many at most")]

# What goes in

Image = Annotated[str, Parameter(help="A file, an https URL or a media id")]
Audio = Annotated[
    str | None, Parameter(help="Sound for the video: a file, an https URL or a media id")
]
Mask = Annotated[
    str | None,
    Parameter(help="A picture, white where the image may move: a file, an https URL or a media id"),
]
SCENE = Parameter(help="The scene: a JSON file or a media id")
Scene = Annotated[str | None, SCENE]
Story = Annotated[
    str | None, Parameter(help="The story that the scene is from: a JSON file or a media id")
]

# What comes out

PROMPT = Parameter(allow_leading_hyphen=True, help="What should happen in the video")
Prompt = Annotated[str | None, PROMPT]
NegativePrompt = Annotated[
    str | None, Parameter(allow_leading_hyphen=True, help="What should not be seen")
]
Seed = Annotated[Whole | None, Parameter(help="-1 is a new one each time")]
PromptExpansion = Annotated[
    bool | None, Parameter(help="Whether the provider may enlarge on the prompt")
]
GuidanceScale = Annotated[
    float | None, Parameter(help="0 to 1: how closely the video follows the prompt")
]
Duration = Annotated[Whole | None, Parameter(help="Seconds: 5 or 10, as the model has it")]
Resolution = Annotated[str | None, Parameter(help="480p, 720p or 1080p, as the model has it")]

# How to go on

Timeout = Annotated[
    float | None, Parameter(help="Stop waiting after so many seconds; the generation goes on")
]
Yes = Annotated[bool, Parameter(negative=(), show_default=False, help="Don't ask")]
