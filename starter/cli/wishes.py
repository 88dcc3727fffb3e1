"""What a video should be and how it is started, as groups of flags.

A flag's name is the request's field without its unit. What is not given is the model's default;
what the model doesn't take is refused by the same code that refuses it elsewhere. The constants at
the end are what stands where no flag of a group was given.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from starter.cli import flags
from starter.cli.flags import SWITCH, WORDS
from starter.cli.spending import usd_micros
from workflows.contracts.requests import Source

_FIELDS = {"duration": "duration_s", "mask": "mask_image", "story": "story_context"}
"""Where the flag is shorter than the field."""

_OWN = frozenset({"user", "max_cost"})
"""What becomes a field in another form."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Wish:
    """What every operation takes."""

    model: Annotated[str | None, Parameter(help="A model id; see: stillmotion models")] = None
    user: Annotated[
        str | None, Parameter(help="Whose quota it takes [default under dev: local]")
    ] = None
    source: Annotated[Source, WORDS, Parameter(help="The product that asks", name="--source")] = (
        Source.API
    )
    max_cost: Annotated[
        str | None, Parameter(help="Refuse when the quote is higher, in USD, such as 0.60")
    ] = None

    def fields(self) -> dict[str, Any]:
        """The request's fields by their names, but for its owner.

        Raises:
            Usage: the amount is none.
        """
        given = {
            _FIELDS.get(field.name, field.name): getattr(self, field.name)
            for field in fields(self)
            if field.name not in _OWN
        }
        return given | {"max_cost_usd_micros": usd_micros(self.max_cost)}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ImageToVideoWish(Wish):
    """What an image-to-video takes."""

    prompt: Annotated[str, flags.PROMPT]
    audio: flags.Audio = None
    negative_prompt: flags.NegativePrompt = None
    seed: flags.Seed = None
    prompt_expansion: flags.PromptExpansion = None
    duration: flags.Duration = None
    resolution: flags.Resolution = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SceneWish(Wish):
    """What a scene animation takes."""

    scene: Annotated[str, flags.SCENE]
    story: flags.Story = None
    negative_prompt: flags.NegativePrompt = None
    guidance_scale: flags.GuidanceScale = None
    duration: flags.Duration = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AvatarWish(Wish):
    """What a talking avatar takes."""

    prompt: flags.Prompt = None
    mask: flags.Mask = None
    seed: flags.Seed = None
    resolution: flags.Resolution = None
    scene: flags.Scene = None
    story: flags.Story = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AnyWish(Wish):
    """What any operation takes; the request's own rules say which of it fits."""

    prompt: flags.Prompt = None
    scene: flags.Scene = None
    story: flags.Story = None
    mask: flags.Mask = None
    negative_prompt: flags.NegativePrompt = None
    guidance_scale: flags.GuidanceScale = None
    seed: flags.Seed = None
    prompt_expansion: flags.PromptExpansion = None
    duration: flags.Duration = None
    resolution: flags.Resolution = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Launch:
    """How a generation is started, and whether it is waited for."""

    key: Annotated[
        str | None,
        Parameter(
            name="--id", help="Your own key: a repeat finds the same generation, pays nothing"
        ),
    ] = None
    callback_url: Annotated[
        str | None, Parameter(help="Where each stage is told, signed by the source's secret")
    ] = None
    wait: Annotated[
        bool | None,
        Parameter(negative="--detach", help="Follow it to its end [default: on a terminal]"),
    ] = None
    timeout: flags.Timeout = None
    dry_run: Annotated[
        bool, SWITCH, Parameter(help="Check and quote only; exit code 4 where it would be refused")
    ] = False
    yes: flags.Yes = False
    save: Annotated[
        Path | None, Parameter(help="Copy the finished video to this file or folder")
    ] = None


ANY_DEFAULT = AnyWish()
AVATAR_DEFAULT = AvatarWish()
LAUNCH_DEFAULT = Launch()
