"""The quote for a request: the one code that estimates and reserves.

Inputs are resolved first, so the price is of the real media, not of what the caller says of it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from activities.media.inputs import Check, Input, Inputs, Role
from workflows.contracts.catalogue import Catalogue, ModelEntry
from workflows.contracts.media import AudioFacts, ImageFacts, MediaReference
from workflows.contracts.quoting import (
    Parameters,
    Quote,
    check_audio,
    check_image,
    choose,
    quote,
    resolve,
)
from workflows.contracts.requests import ImageToVideoRequest


class Priced(NamedTuple):
    """A request that its model takes, with its quote."""

    entry: ModelEntry
    parameters: Parameters
    inputs: dict[Role, Input]
    quote: Quote


async def price(catalogue: Catalogue, inputs: Inputs, request: ImageToVideoRequest) -> Priced:
    """Validate `request` against the catalogue and its real inputs.

    Raises:
        RequestRefused: what the model doesn't take, in a parameter or in a file.
        MediaError: an input could not be read for now.
    """
    entry = choose(catalogue, request)
    parameters = resolve(entry, request)
    references: dict[Role, MediaReference | None] = {"image": request.image, "audio": request.audio}
    found: dict[Role, Input] = {
        role: await inputs.resolve(request.user_id, reference, role, checks(entry, role))
        for role, reference in references.items()
        if reference is not None
    }
    facts: dict[Role, ImageFacts | AudioFacts] = {role: one.facts for role, one in found.items()}
    return Priced(entry, parameters, found, quote_by_role(catalogue, entry, parameters, facts))


def quote_by_role(
    catalogue: Catalogue,
    entry: ModelEntry,
    parameters: Parameters,
    facts: Mapping[Role, ImageFacts | AudioFacts],
) -> Quote:
    """The quote for inputs that were measured, stored or not.

    Raises:
        RequestRefused: an input does not fit the model.
    """
    image, audio = facts["image"], facts.get("audio")
    assert isinstance(image, ImageFacts), "inputs are measured by role"
    assert audio is None or isinstance(audio, AudioFacts), "inputs are measured by role"
    return quote(catalogue, entry, parameters, image, audio)


def checks(entry: ModelEntry, role: Role) -> Check:
    """What a model demands of the file in this role."""

    def check(facts: ImageFacts | AudioFacts) -> None:
        if isinstance(facts, ImageFacts):
            check_image(entry.image, facts, role)
        elif entry.audio is not None:
            check_audio(entry.audio, facts)

    return check
