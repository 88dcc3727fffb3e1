"""What a route can answer, for the OpenAPI document.

Problems come from the one failure table; beside them stand the other ways in which it goes well.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from starter.api.problems import MEDIA_TYPE, document_of
from starter.api.refusals import of_failure
from workflows.contracts.failures import OF_ANOTHER, REFUSALS, RULES, FailureKind, failure

Responses = dict[int | str, dict[str, Any]]

ANYWHERE = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""What every route with a caller can answer."""

_SAID: dict[HTTPStatus, str] = {
    HTTPStatus.UNAUTHORIZED: "The key or the session is missing, or not good.",
    HTTPStatus.FORBIDDEN: "The key may not do this for that user or source, or the plan refuses.",
    HTTPStatus.NOT_FOUND: "There is none, or it is another user's or another product's.",
    HTTPStatus.REQUEST_TIMEOUT: "The body came too slowly.",
    HTTPStatus.CONFLICT: "Not where it is now; nothing has changed.",
    HTTPStatus.GONE: "It was there, and has ended.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body, or a part of it, is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body, or a part of it, is of another media type.",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "The part that is asked for is beyond the end.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "It can't be done as written.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests; `Retry-After` says when the next is granted.",
    HTTPStatus.SERVICE_UNAVAILABLE: "A service that this needs doesn't answer now. Try again.",
}

_EXAMPLES: dict[FailureKind, str] = {
    FailureKind.INVALID_REQUEST: "duration_s: 7; allowed: one of 5, 10.",
    FailureKind.INVALID_MEDIA: "image: 200x300 pixels; allowed: each side from 384 to 5000 pixels.",
    FailureKind.KEY_REUSED: "idempotency_key: 'one' already names gen_5mzq3kcfwnzvj4y2tqk7x6ab2e,"
    " which was asked for otherwise.",
    FailureKind.ALREADY_CLOSED: "This run of the generation has ended.",
    FailureKind.QUOTA_EXCEEDED: "Plan Free allows 2 videos a month; 2 are taken.",
    FailureKind.SPEND_LIMIT_REACHED: "The deployment's spending limit of the day is reached.",
    FailureKind.MAX_COST_EXCEEDED: "max_cost_usd_micros: the quote is $0.50, the limit $0.25.",
    FailureKind.NO_PLAN: "The user is on no plan.",
}
"""A message of each kind that a request can be refused with."""


class ProblemDocument(BaseModel):
    """An error (RFC 9457). `detail` is a sentence for people, `kind` is for programs."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    type: str
    """`urn:stillmotion:problem:` and the kind, or `about:blank`."""
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    kind: str | None = Field(default=None, json_schema_extra={"examples": ["quota_exceeded"]})
    """Which situation it is."""
    hint: str | None = None
    """What can be done next."""
    money: str | None = None
    """What happened to the money."""
    position: int | None = None
    """The item of a batch that it is about, from 1."""


def problems(*statuses: int) -> Responses:
    """The problem documents of a route: those that every route can answer, and these."""
    return {
        status.value: _problem(_SAID.get(status, f"{status.phrase}."), kinds_of(status))
        for status in sorted({*ANYWHERE, *(HTTPStatus(each) for each in statuses)})
    }


def problems_without_caller(said: Mapping[HTTPStatus, str]) -> Responses:
    """The problem documents of a route that asks for no caller: these, and what each says."""
    return {status.value: _problem(words, ()) for status, words in said.items()}


def also(status: int, model: type[BaseModel], description: str) -> Responses:
    """Another way in which a route goes well."""
    return {status: {"model": model, "description": description}}


def kinds_of(status: HTTPStatus) -> list[FailureKind]:
    """The kinds that a request can be refused with, by their status in the failure table."""
    refused = REFUSALS | OF_ANOTHER
    return [kind for kind, rule in RULES.items() if kind in refused and rule.http_status == status]


def _problem(said: str, kinds: Sequence[FailureKind]) -> dict[str, Any]:
    if kinds:
        said = f"{said} By `kind`: {', '.join(kinds)}."
    content: dict[str, Any] = {"schema": ProblemDocument.model_json_schema()}
    if kinds:
        content["examples"] = dict(_examples(kinds))
    return {"description": said, "content": {MEDIA_TYPE: content}}


def _examples(kinds: Iterable[FailureKind]) -> Iterable[tuple[str, dict[str, Any]]]:
    for kind in kinds:
        problem = of_failure(failure(kind, _EXAMPLES[kind]))
        yield kind.value, {"value": document_of(problem)}
