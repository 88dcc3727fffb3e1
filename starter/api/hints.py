"""What to do next, as a caller of this API does it.

Hints and messages of the one failure table are written for a terminal. Here its commands become
requests, its flags become fields, and commands that only an operator can type are left out.
"""

import re
from urllib.parse import quote

from workflows.contracts.failures import Failure

_STEERED = re.compile(
    r"stillmotion (resume|cancel|resolve|show) ('[^']*'|\S+)(?: --adopt/--resubmit/--give-up)?"
)
_OPERATORS = re.compile(
    r"(?:; see)?: stillmotion (?:doctor|unpause|plans assign USER PLAN|callbacks secret \w+)\.?"
)
_OTHERS = (
    (re.compile(r"stillmotion usage\b"), "GET /v1/usage"),
    (re.compile(r"`?stillmotion upload FILE(?:\.json)?`?"), "POST /v1/uploads"),
    (re.compile(r"--id\b"), "Idempotency-Key"),
    (re.compile(r"--max-cost\b"), "max_cost_usd_micros"),
)


def over_http(text: str) -> str:
    """A hint or a message of the failure table, as a caller of this API reads it."""
    told = _OPERATORS.sub(".", _STEERED.sub(_as_request, text))
    for command, request in _OTHERS:
        told = command.sub(request, told)
    return told


def failure_over_http(failure: Failure) -> Failure:
    """The same failure, in the words of this API."""
    words = {"message": over_http(failure.message), "hint": over_http(failure.hint)}
    return failure.model_copy(update=words)


def _as_request(found: re.Match[str]) -> str:
    verb, generation_id = found[1], found[2].strip("'")
    path = f"/v1/generations/{quote(generation_id, safe='')}"
    return f"GET {path}" if verb == "show" else f"POST {path}/{verb}"
