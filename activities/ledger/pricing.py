"""The quote for a request: the one code that estimates and reserves.

Inputs are resolved first, so the price is of the real media, not of what the caller says of it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from activities.ledger.expectations import usual_s
from activities.media.inputs import Check, Input, Inputs
from workflows.contracts.catalogue import Catalogue, ModelEntry
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import AudioFacts, ImageFacts, InputFacts, Role
from workflows.contracts.quoting import (
    Parameters,
    Quote,
    check_audio,
    check_image,
    choose,
    quote,
    resolve,
)
from workflows.contracts.requests import GenerationRequest, Operation
from workflows.contracts.stories import Scene


class Priced(NamedTuple):
    """A request that its model takes, with its quote."""

    entry: ModelEntry
    parameters: Parameters
    inputs: dict[Role, Input]
    quote: Quote


async def price(
    catalogue: Catalogue, inputs: Inputs, request: GenerationRequest, provider: str
) -> Priced:
    """Validate `request` against the catalogue and its real inputs.

    `provider` is the name of the one whose recent runs the expected time is taken from.

    Raises:
        RequestRefused: what the model doesn't take, in a parameter or in a file.
        MediaError: an input could not be read for now.
    """
    entry = choose(catalogue, request)
    parameters = resolve(entry, request)
    found: dict[Role, Input] = {
        role: await inputs.resolve(request.user_id, reference, role, checks(entry, role))
        for role, reference in (request.media | request.documents).items()
    }
    await _check_stories(inputs, request)
    facts: dict[Role, InputFacts] = {role: one.facts for role, one in found.items()}
    quoted = quote_by_role(catalogue, entry, parameters, facts)
    expected_s = await usual_s(inputs.pool, entry, quoted.duration_s, provider)
    return Priced(entry, parameters, found, quoted.model_copy(update={"expected_s": expected_s}))


async def _check_stories(inputs: Inputs, request: GenerationRequest) -> None:
    """Read what is stored of scene and story, which inline was checked with the request."""
    for role, reference in request.documents.items():
        told = await inputs.told(request.user_id, reference.media_id, role)
        animated = request.operation is Operation.SCENE_ANIMATION
        if animated and isinstance(told, Scene) and not told.is_told():
            raise RequestRefused(
                FailureKind.INVALID_MEDIA,
                "scene: a title, a description or an image_prompt is needed.",
            )


def quote_by_role(
    catalogue: Catalogue,
    entry: ModelEntry,
    parameters: Parameters,
    facts: Mapping[Role, InputFacts],
) -> Quote:
    """The quote for inputs that were measured, stored or not.

    Raises:
        RequestRefused: an input does not fit the model.
    """
    image, audio, mask = facts["image"], facts.get("audio"), facts.get("mask_image")
    assert isinstance(image, ImageFacts), "inputs are measured by role"
    assert audio is None or isinstance(audio, AudioFacts), "inputs are measured by role"
    assert mask is None or isinstance(mask, ImageFacts), "inputs are measured by role"
    return quote(catalogue, entry, parameters, image, audio, mask)


def checks(entry: ModelEntry, role: Role) -> Check:
    """What a model demands of the file in this role."""

    def check(facts: InputFacts) -> None:
        if isinstance(facts, ImageFacts):
            check_image(entry.image, facts, role)
        elif isinstance(facts, AudioFacts) and entry.audio is not None:
            check_audio(entry.audio, facts)

    return check
