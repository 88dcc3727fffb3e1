"""The bodies of the routes that read them themselves, for the OpenAPI document.

FastAPI describes what it parses; bodies that may be forms with files are parsed as they stream in.
Their schemas are made of the contracts' models, so that there is one source of what is taken.
"""

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import models_json_schema

from starter.api.batch_wishes import BatchWish
from starter.api.messages import EventDocument, ProgressDocument
from starter.api.multipart import MEDIA_TYPE as MULTIPART
from starter.api.shown import REPLIES
from starter.api.wishes import JSON, REQUEST, ROLES
from workflows.contracts.requests import REQUESTS, WORKFLOW_TYPES, Operation, Source
from workflows.contracts.stages import Stage

FILE = "file"
"""The part of an upload's form."""

_COMPONENTS = "#/components/schemas/"
_MEDIA = {"media_id": "med_5mzq3kcfwnzvj4y2tqk7x6ab2e"}
_BYTES: dict[str, Any] = {"type": "string", "format": "binary"}

EXAMPLES: dict[Operation, dict[str, Any]] = {
    Operation.IMAGE_TO_VIDEO: {
        "operation": "image-to-video",
        "image": _MEDIA,
        "prompt": "Steam rises from the cup; the camera moves slowly closer.",
        "duration_s": 5,
        "resolution": "480p",
        "max_cost_usd_micros": 500_000,
    },
    Operation.SCENE_ANIMATION: {
        "operation": "scene-animation",
        "image": _MEDIA,
        "scene": {
            "scene_number": 3,
            "title": "The lighthouse",
            "description": "A storm comes up; the keeper climbs the stairs.",
        },
        "story_context": {"setting": "A rocky coast, a hundred years ago", "tone": "quiet"},
        "duration_s": 5,
    },
    Operation.TALKING_AVATAR: {
        "operation": "talking-avatar",
        "image": _MEDIA,
        "audio": {"media_id": "med_7k2wq4ynx3dpvh6t5mzjc2ra4e"},
        "prompt": "She speaks calmly into the camera.",
        "resolution": "480p",
    },
}
"""A body of each operation."""

BATCH_EXAMPLE: dict[str, Any] = {
    "items": [
        EXAMPLES[Operation.SCENE_ANIMATION],
        {**EXAMPLES[Operation.SCENE_ANIMATION], "scene": {"title": "The stairs"}},
    ],
    "max_parallel": 2,
    "max_cost_usd_micros": 2_000_000,
}


def with_bodies(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with the schemas that the bodies below refer to, and with examples."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in _components().items():
        schemas.setdefault(name, schema)
    for model, examples in REPLIES.items():
        schemas[model.__name__]["examples"] = examples
    return document


def _wish_name(operation: Operation) -> str:
    return f"{WORKFLOW_TYPES[operation]}Wish"


_WISH: dict[str, Any] = {
    "oneOf": [{"$ref": _COMPONENTS + _wish_name(operation)} for operation in Operation],
    "discriminator": {
        "propertyName": "operation",
        "mapping": {
            operation.value: _COMPONENTS + _wish_name(operation) for operation in Operation
        },
    },
}

WISH: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": _WISH,
                "examples": {each.value: {"value": EXAMPLES[each]} for each in Operation},
            },
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "properties": {REQUEST: _WISH, **dict.fromkeys(ROLES, _BYTES)},
                    "required": [REQUEST],
                    "additionalProperties": False,
                },
                "encoding": {REQUEST: {"contentType": JSON}},
            },
        },
    }
}
"""Of a route that takes one wish, as JSON or with files."""

BATCH: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {"$ref": _COMPONENTS + BatchWish.__name__},
                "examples": {"two_scenes": {"value": BATCH_EXAMPLE}},
            }
        },
    }
}
"""Of a route that takes many."""

UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **{
                media_type: {"schema": _BYTES}
                for media_type in ("application/octet-stream", "image/*", "audio/*", JSON)
            },
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "properties": {FILE: _BYTES},
                    "required": [FILE],
                    "additionalProperties": False,
                }
            },
        },
    }
}
"""Of the route that takes one file."""


EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "What to go on from; none at `progress`."},
        "event": {"type": "string", "enum": [*(each.value for each in Stage), "progress"]},
        "data": {
            "type": "string",
            "contentMediaType": JSON,
            "contentSchema": {
                "anyOf": [
                    {"$ref": _COMPONENTS + EventDocument.__name__},
                    {"$ref": _COMPONENTS + ProgressDocument.__name__},
                ]
            },
        },
        "retry": {"type": "integer", "description": "When to ask again, in milliseconds."},
    },
    "required": ["event", "data"],
}
"""One of a stream's, as OpenAPI 3.2 describes them; readers of 3.1 that don't know it skip it."""


@cache
def _components() -> dict[str, Any]:
    models: list[type[BaseModel]] = [*map(_wish_model, Operation), BatchWish]
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template=_COMPONENTS + "{model}"
    )
    schemas: dict[str, Any] = _any_of(found["$defs"])
    schemas[BatchWish.__name__]["properties"]["items"]["items"] = _WISH
    return schemas | _events()


def _events() -> dict[str, Any]:
    """What stands in the `data` of events."""
    _, found = models_json_schema(
        [(EventDocument, "serialization"), (ProgressDocument, "serialization")],
        ref_template=_COMPONENTS + "{model}",
    )
    return found["$defs"]


def _any_of(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """The same, where both forms of a scene may fit: a stored one is an object as well."""
    if isinstance(schema, dict):
        names = {"oneOf": "anyOf"}
        return {names.get(name, name): _any_of(inner) for name, inner in schema.items()}
    return [_any_of(inner) for inner in schema] if isinstance(schema, list) else schema


def _wish_model(operation: Operation) -> type[BaseModel]:
    """The request of an operation without what the headers say."""
    request = REQUESTS[operation]
    fields: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in request.model_fields.items()
        if name != "user_id"
    }
    fields["operation"] = (request.model_fields["operation"].annotation, Field())
    about = "The product that asks; the key's first one unless given."
    fields["source"] = (Source | None, Field(default=None, description=about))
    return create_model(
        _wish_name(operation),
        __config__=ConfigDict(extra="forbid"),
        __doc__=request.__doc__,
        **fields,
    )
