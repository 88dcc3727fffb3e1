"""What callers in any language are given: a JSON Schema of each message that crosses to them.

The models are the one source: limits are the fields', descriptions the docstrings of models and
fields. Only what no model knows is said here: where on the wire a message stands, and examples.
It runs where contracts are changed, beside their golden files, and in no process of ours.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from tests.contracts import published_examples as wire
from tests.contracts.published_examples import Documents
from workflows.contracts.activities import Resolution
from workflows.contracts.batches import BatchResult, ForBatch
from workflows.contracts.callbacks import CallbackMessage
from workflows.contracts.failures import Failure
from workflows.contracts.progress import ProgressFacts
from workflows.contracts.requests import (
    ImageToVideoRequest,
    SceneAnimationRequest,
    TalkingAvatarRequest,
)
from workflows.contracts.results import GenerationResult

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"

REWORDED = {
    "FailureKind": "The situation. Decide by it, never by the message; later versions may add one.",
    "Stage": "Where a generation is.",
}
"""Where the docstring in the code speaks to those who read the code."""

_OURS = frozenset({"title", "description"})
"""Of a document, what is said in `PUBLISHED` instead."""


class Dialect(GenerateJsonSchema):
    """Pydantic's schemas, told to people who have never seen the models."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        """A title would be the field's name again, and a type of its own to code generators."""
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Give each field the docstring below it."""
        document = super().model_schema(schema)
        if "description" in document:
            document["description"] = _in_json(document["description"])
        words = dict(field_words(schema["cls"]))
        for name, field in document.get("properties", {}).items():
            if name in words:
                field["description"] = words[name]
        return document

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        """Say what callers need of it."""
        document = super().enum_schema(schema)
        told = REWORDED.get(schema["cls"].__name__)
        return document | {"description": told} if told else document

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """Any of the forms: a scene takes unknown keys, so a stored one looks like both."""
        return {"anyOf": super().tagged_union_schema(schema)["oneOf"]}


def field_words(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Each documented field and its docstring on one line, what is inherited first."""
    for owner in reversed(model.__mro__):
        if not issubclass(owner, BaseModel) or owner is BaseModel:
            continue
        (definition,) = ast.parse(dedent(inspect.getsource(owner))).body
        assert isinstance(definition, ast.ClassDef), "the source of a class is one"
        for field, note in pairwise(definition.body):
            match field, note:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(words))),
                ):
                    yield name, _in_json(words)
                case _:
                    pass


def _in_json(words: str) -> str:
    return re.sub(r"\bNone\b", "null", " ".join(words.split()))


@dataclass(frozen=True)
class Published:
    """One message that crosses to or from callers."""

    name: str
    """Of its file, and in its `$id`: the workflow type that takes it, else the model's."""
    model: type[BaseModel]
    stands: str
    """Where on the wire, in a sentence."""
    examples: Documents
    wrong: Documents
    """Not published: what schema and parser must both refuse."""
    written_by: Literal["caller", "us"]

    def schema(self) -> dict[str, Any]:
        """The document that is committed."""
        mode = "validation" if self.written_by == "caller" else "serialization"
        document = self.model.model_json_schema(schema_generator=Dialect, mode=mode)
        return {
            "$schema": Dialect.schema_dialect,
            "$id": f"urn:stillmotion:schema:{self.name}",
            "title": self.model.__name__,
            "description": self.stands,
            "examples": list(self.examples),
            **{name: part for name, part in document.items() if name not in _OURS},
        }


_CHECKED = (
    "What a schema can't say, such as what each model takes, is checked before anything is held."
)

PUBLISHED = (
    Published(
        "ImageToVideo",
        ImageToVideoRequest,
        f"The one input of the workflow type ImageToVideo. {_CHECKED}",
        wire.IMAGE_TO_VIDEO,
        wire.NO_IMAGE_TO_VIDEO,
        "caller",
    ),
    Published(
        "SceneAnimation",
        SceneAnimationRequest,
        f"The one input of the workflow type SceneAnimation. {_CHECKED} Scene and story are read"
        " tolerantly: any JSON value is taken as text, an unknown key is dropped and counted.",
        wire.SCENE_ANIMATION,
        wire.NO_SCENE_ANIMATION,
        "caller",
    ),
    Published(
        "TalkingAvatar",
        TalkingAvatarRequest,
        f"The one input of the workflow type TalkingAvatar. {_CHECKED}",
        wire.TALKING_AVATAR,
        wire.NO_TALKING_AVATAR,
        "caller",
    ),
    Published(
        "Batch",
        ForBatch,
        "The one input of the workflow type Batch, whose workflow id is the batch's. The batch has"
        " to be recorded before, by the HTTP API, the Python client or the command line, which"
        " start it themselves.",
        wire.BATCH,
        wire.NO_BATCH,
        "caller",
    ),
    Published(
        "Resolution",
        Resolution,
        "The argument of the update resolve_submission of an unresolved generation: adopt a"
        " prediction (then, and only then, it is named), submit again, or give up.",
        wire.RESOLUTION,
        wire.NO_RESOLUTION,
        "caller",
    ),
    Published(
        "ProgressFacts",
        ProgressFacts,
        "The answer of the query progress: what is known, nothing that a clock changes.",
        wire.PROGRESS_FACTS,
        wire.NO_PROGRESS_FACTS,
        "us",
    ),
    Published(
        "GenerationResult",
        GenerationResult,
        "The result of the workflow types ImageToVideo, SceneAnimation and TalkingAvatar.",
        wire.GENERATION_RESULT,
        wire.NO_GENERATION_RESULT,
        "us",
    ),
    Published(
        "BatchResult",
        BatchResult,
        "The result of the workflow type Batch: how many items ended in which way.",
        wire.BATCH_RESULT,
        wire.NO_BATCH_RESULT,
        "us",
    ),
    Published(
        "Failure",
        Failure,
        "The first detail of the application error that a FAILED workflow ends with; the error's"
        " type is the kind.",
        wire.FAILURE,
        wire.NO_FAILURE,
        "us",
    ),
    Published(
        "CallbackMessage",
        CallbackMessage,
        "The body of one POST to a callback_url, in the form of Standard Webhooks. What is not"
        " known is left out.",
        wire.CALLBACK_MESSAGE,
        wire.NO_CALLBACK_MESSAGE,
        "us",
    ),
)
