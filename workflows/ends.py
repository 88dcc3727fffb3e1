"""How a generation ends without a video: the reason, and what the ledger does about it."""

from typing import Literal

from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.exceptions import TimeoutError as TemporalTimeout

from workflows.contracts.failures import Failure, FailureKind, failure
from workflows.contracts.texts import storable


class Ended(Exception):
    """The generation ends without a video. `settle` says what the ledger does."""

    def __init__(
        self, told: Failure, settle: Literal["release", "provisional", "house"] = "release"
    ) -> None:
        super().__init__(told.message)
        self.failure = told
        self.settle: Literal["release", "provisional", "house"] = settle
        self.unless_submitted = False
        """As of `Close`."""


def cancelled_in_time() -> Ended:
    """A cancel came before this run submitted; the ledger looks whether an earlier run did."""
    ended = Ended(failure(FailureKind.CANCELLED, "Cancelled before anything was submitted."))
    ended.unless_submitted = True
    return ended


def failure_of(error: ActivityError, otherwise: FailureKind, generation_id: str) -> Failure:
    """The failure that an activity ended with; `otherwise` where it gave no kind."""
    cause: BaseException | None = error.cause
    if isinstance(cause, TemporalTimeout) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, ApplicationError) and cause.type in set(FailureKind):
        return failure(FailureKind(cause.type), cause.message, generation_id=generation_id)
    text = "It took too long." if isinstance(cause, TemporalTimeout) else "A step failed."
    return failure(otherwise, text, generation_id=generation_id)


def unstorable(generation_id: str) -> Failure | None:
    """The refusal of an id that Temporal takes and PostgreSQL doesn't.

    Otherwise every activity would be retried for ever.
    """
    try:
        storable(generation_id)
    except ValueError as error:
        return failure(FailureKind.INVALID_REQUEST, f"workflow id: {error}.")
    return None
