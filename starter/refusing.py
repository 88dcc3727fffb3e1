"""A validation error as the refusal that a caller reads."""

from pydantic import BaseModel, ValidationError

from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.texts import place_of

_VALUE_CHARACTERS_MAX = 100


def refusal_of(
    error: ValidationError, role: str | None = None, takes: list[str] | None = None
) -> RequestRefused:
    """The first problem: the field, its value and what is allowed."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = place_of((*([role] if role else []), *first["loc"]))
    if first["type"] == "extra_forbidden" and takes is not None:
        told = f"{field}: it is not taken; allowed: {', '.join(takes)}."
        return RequestRefused(FailureKind.INVALID_REQUEST, told)
    message = first["msg"].replace("Value error, ", "")
    told = f"{field}: {_shown(first['input'])}: {message}."
    if first["type"] == "missing":
        told = f"{field}: missing."
    elif isinstance(first["input"], BaseModel):
        told = f"{field}: {message}."
    elif not first["loc"] and role is None:
        told = f"{message}."
    return RequestRefused(FailureKind.INVALID_REQUEST, told)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:
        # Python writes no integer of more than 4,300 digits.
        return "a number of too many digits"
    return text if len(text) <= _VALUE_CHARACTERS_MAX else text[: _VALUE_CHARACTERS_MAX - 3] + "..."
