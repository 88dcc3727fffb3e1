"""Scenes and stories as callers have them: their fields, a JSON file, or a media id."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from activities.media.documents import TELLINGS, parse_document
from activities.media.errors import MediaInvalid
from starter.refusing import refusal_of
from starter.sources import is_media_id
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import MediaById, Role
from workflows.contracts.stories import DOCUMENT_BYTES_MAX, INLINE_BYTES_MAX, Scene, Telling

StorySource = Mapping[str, Any] | Telling | Path | MediaById | str
"""A scene or a story: its fields, a JSON file, or a media id."""


def stories_of(
    fields: Mapping[str, Any],
) -> tuple[dict[Role, Telling | MediaById], list[Role]]:
    """Scene and story as given, and which of them are too large to stand in the request.

    Raises:
        RequestRefused: a file can't be read, or holds none.
    """
    told: dict[Role, Telling | MediaById] = {
        role: _told(role, fields[role]) for role in TELLINGS if fields.get(role) is not None
    }
    sizes: dict[Role, int] = {
        role: one.inline_bytes() for role, one in told.items() if isinstance(one, Telling)
    }
    large: list[Role] = []
    for role in sorted(sizes, key=lambda role: sizes[role], reverse=True):
        if sum(sizes.values()) <= INLINE_BYTES_MAX:
            break
        large.append(role)
        del sizes[role]
    return told, large


def check_story_file(role: Role, path: Path) -> None:
    """Look whether a JSON file can be the scene or the story of a request, before it is stored.

    Raises:
        RequestRefused: it can't, and why.
    """
    told = _told(role, path)
    if isinstance(told, Scene) and not told.is_told():
        needed = "a title, a description or an image_prompt is needed"
        raise RequestRefused(FailureKind.INVALID_REQUEST, f"{role}: {needed}.")


def _told(role: Role, source: StorySource) -> Telling | MediaById:
    match source:
        case Telling() | MediaById():
            return source
        case str() if is_media_id(source):
            return MediaById(media_id=source)
        case Path() | str():
            given: Any = _document(role, Path(source))
        case _:
            given = source
    try:
        return TELLINGS[role].model_validate(given)
    except ValidationError as error:
        raise refusal_of(error, role) from error


def _document(role: Role, path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return parse_document(file.read(DOCUMENT_BYTES_MAX + 1), path.name)
    except (OSError, ValueError) as error:
        told = f"{role}: {str(path)[:120]!r} can't be read; allowed: a readable JSON file."
        raise RequestRefused(FailureKind.INVALID_MEDIA, told) from error
    except MediaInvalid as error:
        raise RequestRefused(FailureKind.INVALID_MEDIA, f"{role}: {error}.") from error
