"""Scenes and stories that were stored as JSON, since they are too large for a request."""

import hashlib
import json
from pathlib import Path
from typing import Any

from activities.media.errors import MediaInvalid, TooLarge
from workflows.contracts.media import DocumentFacts
from workflows.contracts.stories import DOCUMENT_BYTES_MAX


def read_document(path: Path) -> DocumentFacts:
    """What is known of a JSON file.

    Raises:
        MediaInvalid: too large, not JSON, or no object.
    """
    with path.open("rb") as file:
        content = file.read(DOCUMENT_BYTES_MAX + 1)
    parse_document(content, path.name)
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
