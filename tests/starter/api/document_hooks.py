"""What schemathesis is told to leave alone: a test reaches no host but this one.

It is imported by its process, by the name that stands in `document.toml`.
"""

from typing import Any

import schemathesis

HERE = "https://127.0.0.1/a"
"""Refused as no public address, after the same checks as any."""


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case[Any], _: Any) -> None:
    """An estimate fetches what stands at a URL; whatever else takes one leaves it to a worker."""
    if case.path == "/v1/estimates" and isinstance(case.body, dict | list):
        case.body = _here(case.body)


def _here(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _here(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_here(inner) for inner in value]
    return HERE if isinstance(value, str) and value.startswith("https://") else value
