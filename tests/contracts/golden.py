"""Files that are made from the code and committed: a change of a contract shows in review."""

import json
import os
from pathlib import Path


def check(path: Path, text: str) -> None:
    """Compare with the committed file, or write it where UPDATE_GOLDEN=1."""
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert path.exists(), f"{path.name} is new: accept it with UPDATE_GOLDEN=1"
    assert path.read_text("utf-8") == text, f"{path.name} changed: accept it with UPDATE_GOLDEN=1"


def check_json(path: Path, document: object, *, sort_keys: bool = True) -> None:
    """The same for a document, as indented JSON."""
    text = json.dumps(document, indent=2, sort_keys=sort_keys, ensure_ascii=False)
    check(path, text + "\n")
