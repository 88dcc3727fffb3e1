"""What the client and the records raise, as problem documents.

The status and the words are those of the one failure table, told to somebody who asks by HTTP.
"""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response

from activities.batches.reading import UnknownBatch
from activities.batches.repository import ItemRefused
from activities.database.pool import DatabaseUnreachable
from activities.generations.repository import UnknownGeneration
from activities.library.repository import UnknownAsset
from activities.media.errors import MediaError, NotStored, StoreFull
from activities.media.inputs import InputUnreachable
from starter.api.hints import failure_over_http
from starter.api.problems import Problem, reply_of
from starter.batch_handles import BatchRefused
from starter.handles import (
    GenerationFailed,
    NotBegun,
    NotFinished,
    NothingToResolve,
    NoWorker,
)
from starter.places import NotReachable
from workflows.contracts.failures import RULES, Failure, FailureKind, RequestRefused

RETRY_AFTER_S = 5
"""For what mends itself or is mended by a person: soon enough for both, and no stampede."""

TOLD = (
    RequestRefused,
    GenerationFailed,
    BatchRefused,
    NotBegun,
    NotFinished,
    NothingToResolve,
    NoWorker,
    UnknownGeneration,
    UnknownAsset,
    UnknownBatch,
    NotReachable,
    DatabaseUnreachable,
    MediaError,
)
"""Every error that `problem_of` has words for."""

_UNKNOWN: dict[type[LookupError], str] = {
    UnknownGeneration: "generation",
    UnknownAsset: "asset",
    UnknownBatch: "batch",
}

_log = logging.getLogger(__name__)


def tell_refusals(app: FastAPI) -> None:
    """Have the application answer each of these by its problem document."""
    for raised in TOLD:
        app.add_exception_handler(raised, _refused)


async def _refused(_: Request, error: Exception) -> Response:
    return reply_of(problem_of(error))


def problem_of(error: Exception) -> Problem:
    """The problem that one of `TOLD` is."""
    match error:
        case ItemRefused():
            return of_failure(error.failure, position=error.position)
        case RequestRefused() | GenerationFailed() | BatchRefused():
            return of_failure(error.failure)
        case UnknownGeneration() | UnknownAsset() | UnknownBatch():
            return unknown(_UNKNOWN[type(error)])
        case NotBegun() | NotFinished() | NothingToResolve():
            return _not_now(error)
        case NoWorker():
            return _later(str(error), "no_worker", "Try again when a worker runs.")
        case _:
            return _service_down(error)


def of_failure(told: Failure, **more: int) -> Problem:
    """The failure's own words, with the status of its kind."""
    words = failure_over_http(told)
    return Problem(
        HTTPStatus(RULES[told.kind].http_status),
        words.message,
        kind=words.kind.value,
        hint=words.hint,
        money=words.money,
        headers=None,
        **more,
    )


def unknown(what: str) -> Problem:
    """There is none, or it is another user's or another product's: nobody can tell which."""
    return Problem(HTTPStatus.NOT_FOUND, f"There is no such {what}.", kind=f"unknown_{what}")


def forbidden_source(source: str, allowed: str) -> Problem:
    """The caller's key doesn't ask for this product."""
    detail = f"source: {source!r}; allowed by this key: {allowed}."
    return Problem(HTTPStatus.FORBIDDEN, detail, kind="not_allowed")


def _not_now(error: Exception) -> Problem:
    """It is asked of a generation that is somewhere else; nothing has changed."""
    match error:
        case NotBegun():
            kind = "not_begun"
            hint = "If it waits in a batch, cancel that: POST /v1/batches/{batch_id}/cancel"
        case NothingToResolve():
            kind, hint = "nothing_to_resolve", "Where it is: GET /v1/generations/{generation_id}"
        case _:
            kind, hint = "not_finished", "Follow it: GET /v1/generations/{generation_id}/events"
    return Problem(HTTPStatus.CONFLICT, f"{str(error).rstrip('.')}.", kind=kind, hint=hint)


def _service_down(error: Exception) -> Problem:
    """A service of ours, or the server of a URL that the caller gave."""
    match error:
        case InputUnreachable():
            # The caller's own choice of a server, so no fault of ours.
            told = f"{str(error).rstrip('.')}."
            hint = "Try again, or upload the file: POST /v1/uploads"
            return Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, told, kind="input_unreachable", hint=hint
            )
        case StoreFull():
            return Problem(
                HTTPStatus.INSUFFICIENT_STORAGE,
                "The media store is full.",
                kind=FailureKind.STORE_FULL.value,
                hint="An operator must free space in it; then try again.",
            )
        case NotStored():
            return unknown("file")
        case MediaError():
            _log.warning("the media store or a decoder failed: %s", error)
            detail = "The media could not be read or stored. Try again."
            return _later(detail, "store_unavailable")
        case _:
            _log.warning("a service does not answer: %s", error)
            detail = "A service that this needs does not answer; see /readyz. Try again."
            return _later(detail, "not_reachable")


def _later(detail: str, kind: str, hint: str | None = None) -> Problem:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    more = {} if hint is None else {"hint": hint}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers, kind=kind, **more)
