"""Scenes and stories that were stored as JSON, since they are too large for a request."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from activities.media.errors import MediaInvalid, TooLarge
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import DocumentFacts, Role
from workflows.contracts.stories import DOCUMENT_BYTES_MAX, Scene, StoryContext, Telling
from workflows.contracts.texts import place_of

TELLINGS: dict[Role, type[Telling]] = {"scene": Scene, "story_context": StoryContext}
"""What a document must be to stand in a role."""


def read_document(path: Path, role: Role) -> DocumentFacts:
    """What is known of a JSON file that is to stand in `role`.

    Raises:
        MediaInvalid: too large, not JSON, or no object.
        RequestRefused: as `tell`.
    """
    with path.open("rb") as file:
        content = file.read(DOCUMENT_BYTES_MAX + 1)
    tell(parse_document(content, path.name), role)
    return DocumentFacts(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def parse_document(content: bytes, name: str) -> dict[str, Any]:
    """The JSON object in `content`; `name` is what an error calls it.

    Raises:
        MediaInvalid: too large, not JSON, or no object.
    """
    if len(content) > DOCUMENT_BYTES_MAX:
        allowed = f"at most {DOCUMENT_BYTES_MAX} bytes of JSON"
        raise TooLarge(name, f"has more than {DOCUMENT_BYTES_MAX} bytes", allowed)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MediaInvalid(name, "is not JSON", "a JSON object") from error
    if not isinstance(found, dict):
        raise MediaInvalid(name, "holds no JSON object", "a JSON object")
    return found


def tell(document: dict[str, Any], role: Role) -> Telling:
    """The scene or story in a document.

    Raises:
        RequestRefused: `invalid_media`: it is none, with the place and the reason.
    """
    try:
        return TELLINGS[role].model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        told = f"{place_of((role, *first['loc']))}: {first['msg'].removeprefix('Value error, ')}."
        raise RequestRefused(FailureKind.INVALID_MEDIA, told) from None
