"""The form for a new video, empty or filled in from an earlier one. It is sent by its script."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from starter.api.callers import Caller, CallerOf
from starter.api.pages.earlier import NOTHING, Earlier, again, like
from starter.api.pages.rendering import PageRoute, page
from starter.api.parts import Parts, PartsOf
from starter.api.scopes import generation_of
from workflows.contracts.catalogue import Catalogue, ModelEntry, Parameter
from workflows.contracts.requests import REQUESTS, Operation

OPERATIONS = (
    (Operation.IMAGE_TO_VIDEO, "picture", "A picture and a prompt, with sound if you like."),
    (Operation.SCENE_ANIMATION, "scene", "A scene of a story; its prompt is written for you."),
    (Operation.TALKING_AVATAR, "face", "A face and a voice: the picture speaks."),
)
"""Each with its icon, and what it needs."""

FIRST = ("duration_s", "resolution")
"""What most people choose; everything else stands under “More settings”."""

ID_CHARACTERS_MAX = 200

router = APIRouter(route_class=PageRoute, include_in_schema=False)


class Asked(BaseModel):
    """What the form begins with; an earlier video's own operation and model, if one is named."""

    operation: str = Field(default=Operation.IMAGE_TO_VIDEO, max_length=40)
    model: str = Field(default="", max_length=200)
    like: str = Field(default="", max_length=ID_CHARACTERS_MAX)
    """The id of a video whose prompt and settings it takes."""
    again: str = Field(default="", max_length=ID_CHARACTERS_MAX)
    """The id of a video that it makes once more: its files, too."""


@router.get("/new")
async def form(
    request: Request, caller: CallerOf, parts: PartsOf, asked: Annotated[Asked, Query()]
) -> Response:
    """The form of one operation.

    Raises:
        Problem: 404: the earlier video is another's, or there is none.
    """
    earlier = await _earlier(parts, caller, asked)
    operation = earlier.operation or _operation(asked.operation)
    catalogue = parts.client.catalogue
    entry = _entry(catalogue, operation, earlier.model or asked.model)
    values = {
        "operation": operation,
        "operations": OPERATIONS,
        "models": catalogue.models_for(operation),
        "sources": caller.sources,
        "source": earlier.source if earlier.source in caller.sources else caller.sources[0],
        "origin": earlier.told,
        "given": earlier.media,
        "previews": earlier.previews,
        "scene": earlier.fields_of("scene", "title", "description", "image_prompt"),
        "story": earlier.fields_of("story_context", "setting", "characters", "plot", "tone"),
        "kept": {name: earlier.tellings.get(name) for name in ("scene", "story_context")},
        **_values_of(entry, earlier.parameters),
    }
    return page(request, "new.html", values)


@router.get("/new/parameters")
async def parameters(
    request: Request, _: CallerOf, parts: PartsOf, asked: Annotated[Asked, Query()]
) -> Response:
    """What one model takes, for the form that chose it."""
    catalogue = parts.client.catalogue
    found = [entry for entry in catalogue.models if entry.model == asked.model]
    entry = found[0] if found else _entry(catalogue, _operation(asked.operation), "")
    return page(request, "parameters.html", _values_of(entry, {}))


async def _earlier(parts: Parts, caller: Caller, asked: Asked) -> Earlier:
    if not (asked.again or asked.like):
        return NOTHING
    generation = await generation_of(parts, caller, asked.again or asked.like)
    return await (again if asked.again else like)(parts, generation)


def _operation(name: str) -> Operation:
    return Operation(name) if name in tuple(Operation) else Operation.IMAGE_TO_VIDEO


def _entry(catalogue: Catalogue, operation: Operation, model: str) -> ModelEntry:
    """The model of that name, else the operation's default."""
    entries = catalogue.models_for(operation)
    return next((entry for entry in entries if entry.model == model), entries[0])


def _values_of(entry: ModelEntry, filled: Mapping[str, object]) -> dict[str, object]:
    """What the template of a model's parameters shows."""
    fields = REQUESTS[entry.operation].model_fields
    # The prompt has a place of its own; what no request can say is the model's own affair.
    shown: dict[str, Parameter] = {
        name: each for name, each in entry.parameters.items() if name in fields and name != "prompt"
    }
    further = [(name, each) for name, each in shown.items() if name not in FIRST]
    takes = ["image"]
    takes += ["audio"] if entry.audio is not None else []
    takes += ["mask_image"] if entry.mask else []
    return {
        "entry": entry,
        "takes": takes,
        "chosen": [(name, shown[name]) for name in FIRST if name in shown],
        "further": further,
        "opened": any(filled.get(name) is not None for name, _ in further),
        "values": {name: filled.get(name) for name in (*shown, "prompt")},
        "prompt_characters_max": entry.prompt_characters_max,
    }
