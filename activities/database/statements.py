"""SQL lives in `.sql` files beside the code that runs it, each statement under a name.

-- name: append_event
-- Adds an event and moves the generation to its stage.
INSERT …;
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

_HEADING = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


@cache
def statements(package: str, file: str) -> Mapping[str, str]:
    """The statements of `file` in `package`, by name."""
    parts = _HEADING.split((resources.files(package) / file).read_text("utf-8"))
    return dict(zip(parts[1::2], (text.strip() for text in parts[2::2]), strict=True))
