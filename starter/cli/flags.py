"""Flags that several verbs share, with their help."""

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

GenerationId = Annotated[str, Parameter(help="Its id, or a beginning of it that names one")]
AssetId = Annotated[str, Parameter(help="Its id, or a beginning of it that names one")]
User = Annotated[str | None, Parameter(help="Only what belongs to this user")]
Owner = Annotated[str | None, Parameter(help="The owner [default under dev: local]")]
Limit = Annotated[Whole, Parameter(help="How many at most")]
Timeout = Annotated[
    float | None, Parameter(help="Stop waiting after so many seconds; the generation goes on")
]
Yes = Annotated[bool, Parameter(negative=(), show_default=False, help="Don't ask")]
