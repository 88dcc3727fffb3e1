"""What an earlier video was asked for, as the beginning of a new one.

Its files are named by their media ids, so nothing is uploaded again. What came from an address was
copied into the store then, and is named by that copy: addresses end, and may hold secrets.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from starter.api.pages.stills import SQL
from starter.api.pages.words import segment
from starter.api.parts import Parts
from workflows.contracts.media import PROVIDER_ROLES
from workflows.contracts.requests import Operation, Source
from workflows.contracts.results import Generation

_TOLD = ("scene", "story_context")
_NOT_PARAMETERS = frozenset(
    {
        *PROVIDER_ROLES,
        *_TOLD,
        "operation",
        "user_id",
        "source",
        "model",
        "idempotency_key",
        "max_cost_usd_micros",
        "callback_url",
    }
)
_EMPTY: dict[str, str | None] = dict.fromkeys((*PROVIDER_ROLES, *_TOLD))


class Earlier(NamedTuple):
    """What to begin with."""

    told: str
    """What stands above the form."""
    operation: Operation | None = None
    model: str | None = None
    source: Source | None = None
    parameters: Mapping[str, object] = {}
    media: Mapping[str, str | None] = _EMPTY
    """Media ids by role."""
    previews: Mapping[str, str | None] = _EMPTY
    """Where to see them."""
    tellings: Mapping[str, Mapping[str, Any]] = {}
    """Scene and story, as they were given in the request itself."""

    def fields_of(self, name: str, *fields: str) -> dict[str, str]:
        """Some of the fields of scene or story; empty where they aren't told."""
        given = self.tellings.get(name, {})
        return {field: str(given.get(field) or "") for field in fields}


NOTHING = Earlier("Choose what to make, and see what it costs before anything is spent.")


async def like(parts: Parts, generation: Generation) -> Earlier:
    """With an earlier video's prompt and settings, and other files."""
    row = await parts.pool.fetchrow(SQL["asked"], generation.generation_id, generation.user_id)
    request: dict[str, Any] = {} if row is None else row["request"]
    given = {name: value for name, value in request.items() if name not in _NOT_PARAMETERS}
    if generation.prompt is not None and generation.operation is not Operation.SCENE_ANIMATION:
        given["prompt"] = generation.prompt
    return Earlier(
        "With the prompt and the settings of an earlier video.",
        generation.operation,
        generation.model,
        generation.source,
        given,
    )


async def again(parts: Parts, generation: Generation) -> Earlier:
    """With everything that an earlier video was made of. A second time it is another video."""
    row = await parts.pool.fetchrow(SQL["asked"], generation.generation_id, generation.user_id)
    request: dict[str, Any] = {} if row is None else row["request"]
    copied: dict[str, str] = {} if row is None else row["inputs"]
    media = {role: copied.get(role) or _media_id(request.get(role)) for role in _EMPTY}
    tellings = {
        name: request[name]
        for name in _TOLD
        if isinstance(request.get(name), dict) and media[name] is None
    }
    still = f"/generations/{segment(generation.generation_id)}/still" if media["image"] else None
    earlier = await like(parts, generation)
    given = {**earlier.parameters, "prompt": request.get("prompt")}
    return earlier._replace(
        told="As an earlier video was made. Change what you like; it costs what a new one does.",
        parameters=given,
        media=media,
        previews={**_EMPTY, "image": still},
        tellings=tellings,
    )


def _media_id(reference: object) -> str | None:
    """The id of media that was stored before; None for an address."""
    return reference.get("media_id") if isinstance(reference, dict) else None
