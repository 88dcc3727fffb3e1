"""A file of a batch: one JSON object a line, media by paths that are relative to the file."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from starter.cli.refusals import Usage
from workflows.contracts.batch_results import ITEMS_MAX
from workflows.contracts.media import PROVIDER_ROLES

_FILES = (*PROVIDER_ROLES, "scene", "story_context")
_PATH_CHARACTERS_MAX = 255
"""A longer text that names no file is base64."""

_HINT = 'Each line is an item, such as {"operation": "image-to-video", "image": …, "prompt": …}.'


class Line(NamedTuple):
    """An item, and where it stands."""

    number: int
    item: dict[str, Any]


def read_lines(file: Path) -> list[Line]:
    """The items of `file`; blank lines are skipped.

    Raises:
        Usage: it can't be read, a line is no JSON object, there are none or too many.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
        raise Usage(f"FILE: {str(file)!r}: {why}; allowed: a readable JSONL file.", _HINT) from None
    lines = [
        Line(number, _item(line, number, file))
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]
    if not 0 < len(lines) <= ITEMS_MAX:
        told = f"FILE: {str(file)!r} has {len(lines)} items; allowed: 1 to {ITEMS_MAX}."
        raise Usage(told, _HINT)
    return lines


def _item(line: str, number: int, file: Path) -> dict[str, Any]:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = (
            f" ({error.msg}, column {error.colno})"
            if isinstance(error, json.JSONDecodeError)
            else ""
        )
        told = f"line {number} of {file.name}: not JSON{why}; allowed: one JSON object a line."
        raise Usage(told, _HINT) from None
    if not isinstance(item, dict):
        told = f"line {number} of {file.name}: not an object; allowed: one JSON object a line."
        raise Usage(told, _HINT)
    return item | {name: _located(item[name], file.parent) for name in _FILES if name in item}


def _located(given: Any, folder: Path) -> Any:  # noqa: ANN401 - whatever the line has there
    """A path is relative to the file's folder; ids, addresses and data stay as they are."""
    from starter.sources import is_media_id

    if not isinstance(given, str) or not given or is_media_id(given):
        return given
    if given.startswith(("https://", "http://", "data:")):
        return given
    path = folder / given
    return path if len(given) <= _PATH_CHARACTERS_MAX or _is_file(path) else given


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # Too long for a name.
        return False
