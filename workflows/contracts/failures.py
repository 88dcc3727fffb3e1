"""Why a generation failed or parked: one kind per situation, one table of what follows from it.

Workflows match on the kind, never on text. The CLI, the documents and the HTTP API read the same
table. Activities raise `refusal(...)`; everything else that they raise is retried by Temporal.
"""

import shlex
from enum import StrEnum
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict


class FailureKind(StrEnum):
    """The situation. Each means one thing for retries, money, the exit code and the person."""

    INVALID_REQUEST = "invalid_request"
    INVALID_MEDIA = "invalid_media"
    KEY_REUSED = "key_reused"
    ALREADY_CLOSED = "already_closed"
    QUOTA_EXCEEDED = "quota_exceeded"
    SPEND_LIMIT_REACHED = "spend_limit_reached"
    MAX_COST_EXCEEDED = "max_cost_exceeded"
    NO_PLAN = "no_plan"
    PRICE_ABOVE_QUOTE = "price_above_quote"
    SUBMITS_PAUSED = "submits_paused"
    PLACES_TAKEN = "places_taken"
    INPUT_UNREADABLE = "input_unreadable"
    PROMPT_REJECTED = "prompt_rejected"
    PROVIDER_REFUSED_INPUT = "provider_refused_input"
    PROVIDER_REFUSED_KEY = "provider_refused_key"
    PROVIDER_CREDIT_EXHAUSTED = "provider_credit_exhausted"
    PROVIDER_OVERLOADED = "provider_overloaded"
    PROVIDER_UNREACHABLE = "provider_unreachable"
    PROVIDER_CHANGED = "provider_changed"
    PROVIDER_FAILED = "provider_failed"
    PROVIDER_LOST = "provider_lost"
    SUBMISSION_AMBIGUOUS = "submission_ambiguous"
    DEADLINE_PASSED = "deadline_passed"
    OUTPUT_UNUSABLE = "output_unusable"
    OUTPUT_HOST_UNKNOWN = "output_host_unknown"
    STORE_FULL = "store_full"
    STORE_UNAVAILABLE = "store_unavailable"
    GIVEN_UP = "given_up"
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"
    TERMINATED = "terminated"
    INTERNAL = "internal"


class Rule(NamedTuple):
    """What follows from a kind."""

    retry: Literal["never", "by itself", "start again"]
    pays: Literal["nobody", "user", "house", "undecided"]
    exit_code: Literal[1, 2, 3, 4, 5, 6]
    http_status: Literal[403, 409, 422, 500, 502, 503, 504, 507]
    """What the HTTP API answers where a request ends with it."""
    hint: str
    """What the person can do next; `{id}` is the generation's id."""


_AGAIN = "Mend the request and start it again."
_AGAIN_UNCHANGED = "Start it again."
_WAITING = "It is tried again by itself; at once: stillmotion resume {id}"

RULES: dict[FailureKind, Rule] = {
    FailureKind.INVALID_REQUEST: Rule("never", "nobody", 2, 422, _AGAIN),
    FailureKind.INVALID_MEDIA: Rule(
        "never", "nobody", 2, 422, "Give another file and start it again."
    ),
    FailureKind.KEY_REUSED: Rule(
        "never",
        "nobody",
        2,
        422,
        "Use a new --id for a new request, or repeat the first one unchanged.",
    ),
    FailureKind.ALREADY_CLOSED: Rule("never", "nobody", 1, 409, "See: stillmotion show {id}"),
    FailureKind.QUOTA_EXCEEDED: Rule(
        "never",
        "nobody",
        4,
        403,
        "See: stillmotion usage. A larger plan or the next period allows it.",
    ),
    FailureKind.SPEND_LIMIT_REACHED: Rule(
        "never",
        "nobody",
        4,
        403,
        "An operator can raise STILLMOTION_SPEND_LIMIT_USD_DAY or _MONTH.",
    ),
    FailureKind.MAX_COST_EXCEEDED: Rule(
        "never", "nobody", 4, 403, "Raise --max-cost, or choose a cheaper resolution or duration."
    ),
    FailureKind.NO_PLAN: Rule(
        "never",
        "nobody",
        4,
        403,
        "An operator can assign a plan: stillmotion plans assign USER PLAN",
    ),
    FailureKind.PRICE_ABOVE_QUOTE: Rule(
        "start again",
        "nobody",
        4,
        403,
        "The provider's price rose: an operator must bring the model catalogue up to date.",
    ),
    FailureKind.PLACES_TAKEN: Rule(
        "by itself", "nobody", 6, 503, "It is sent when its turn comes; see: stillmotion doctor"
    ),
    FailureKind.SUBMITS_PAUSED: Rule(
        "by itself", "nobody", 6, 503, "An operator paused submits: stillmotion unpause"
    ),
    FailureKind.INPUT_UNREADABLE: Rule(
        "by itself",
        "nobody",
        6,
        503,
        "An operator must give every worker the same STILLMOTION_PAYLOAD_KEYS.",
    ),
    FailureKind.PROMPT_REJECTED: Rule(
        "start again",
        "nobody",
        1,
        422,
        "It would refuse them again: change prompt or image, then start it again.",
    ),
    FailureKind.PROVIDER_REFUSED_INPUT: Rule("start again", "nobody", 1, 422, _AGAIN),
    FailureKind.PROVIDER_REFUSED_KEY: Rule(
        "never", "nobody", 3, 503, "An operator must check WAVESPEED_API_KEY: stillmotion doctor"
    ),
    FailureKind.PROVIDER_CREDIT_EXHAUSTED: Rule(
        "start again",
        "nobody",
        3,
        503,
        "The operator's provider account needs a top-up; then start again.",
    ),
    FailureKind.PROVIDER_OVERLOADED: Rule(
        "start again", "nobody", 1, 503, "The provider has no capacity now: start it again later."
    ),
    FailureKind.PROVIDER_UNREACHABLE: Rule(
        "start again",
        "nobody",
        3,
        503,
        "Check the network and WAVESPEED_BASE_URL: stillmotion doctor",
    ),
    FailureKind.PROVIDER_CHANGED: Rule(
        "by itself",
        "undecided",
        6,
        503,
        "Start a worker with the provider settings it was submitted with.",
    ),
    FailureKind.PROVIDER_FAILED: Rule("start again", "nobody", 1, 502, _AGAIN_UNCHANGED),
    FailureKind.PROVIDER_LOST: Rule("start again", "house", 1, 502, _AGAIN_UNCHANGED),
    FailureKind.SUBMISSION_AMBIGUOUS: Rule(
        "by itself",
        "undecided",
        6,
        409,
        "Decide: stillmotion resolve {id} --adopt/--resubmit/--give-up",
    ),
    FailureKind.DEADLINE_PASSED: Rule(
        "by itself",
        "undecided",
        6,
        504,
        "It looks again by itself; at once: stillmotion resume {id}",
    ),
    FailureKind.OUTPUT_UNUSABLE: Rule(
        "by itself",
        "undecided",
        6,
        502,
        "It looks again by itself; at once: stillmotion resume {id}",
    ),
    FailureKind.OUTPUT_HOST_UNKNOWN: Rule(
        "by itself",
        "undecided",
        6,
        502,
        "An operator can allow the host in STILLMOTION_DOWNLOAD_HOSTS;"
        " then: stillmotion resume {id}",
    ),
    FailureKind.STORE_FULL: Rule(
        "by itself",
        "undecided",
        6,
        507,
        "Free space in the media store; then: stillmotion resume {id}",
    ),
    FailureKind.STORE_UNAVAILABLE: Rule(
        "by itself",
        "undecided",
        6,
        503,
        "An operator must check the store of STILLMOTION_MEDIA_URL; then: stillmotion resume {id}",
    ),
    FailureKind.GIVEN_UP: Rule("start again", "nobody", 1, 409, _AGAIN_UNCHANGED),
    FailureKind.CANCELLED: Rule(
        "start again", "nobody", 5, 409, "Start it again if you want it after all."
    ),
    FailureKind.NOT_STARTED: Rule("start again", "nobody", 1, 409, _AGAIN_UNCHANGED),
    FailureKind.TERMINATED: Rule("start again", "nobody", 1, 409, _AGAIN_UNCHANGED),
    FailureKind.INTERNAL: Rule(
        "start again",
        "nobody",
        1,
        500,
        "This is a fault of ours: see the worker's log, then start it again.",
    ),
}


REFUSALS = frozenset(
    {
        FailureKind.INVALID_REQUEST,
        FailureKind.INVALID_MEDIA,
        FailureKind.QUOTA_EXCEEDED,
        FailureKind.SPEND_LIMIT_REACHED,
        FailureKind.MAX_COST_EXCEEDED,
        FailureKind.NO_PLAN,
    }
)
"""Said before anything is reserved; they don't use the idempotency key up."""

OF_ANOTHER = frozenset({FailureKind.KEY_REUSED, FailureKind.ALREADY_CLOSED})
"""The id belongs to another request or run, whose records must stay as they are."""


class Failure(BaseModel):
    """What a person and a script read of a failed or parked generation."""

    model_config = ConfigDict(frozen=True)

    kind: FailureKind
    message: str
    """One sentence: the field, its value and what is allowed, where there is a field."""
    hint: str
    money: str = "Nothing was charged."
    """What happened to the money, in one sentence."""

    def with_money(self, money: str) -> "Failure":
        """The same failure after the ledger said what happened to the money."""
        return self.model_copy(update={"money": money})

    def while_waiting(self, generation_id: str, money: str) -> "Failure":
        """The same failure as it reads while the generation goes on: nothing has ended yet."""
        # Never this failure's own hint, in which an id with braces may stand.
        hint = RULES[self.kind].hint if RULES[self.kind].retry == "by itself" else _WAITING
        told = hint.format(id=shlex.quote(generation_id))
        return self.model_copy(update={"hint": told, "money": money})


def failure(kind: FailureKind, message: str, *, generation_id: str = "ID") -> Failure:
    """A failure whose hint is the kind's own."""
    return Failure(kind=kind, message=message, hint=hint_of(kind, generation_id))


def hint_of(kind: FailureKind, generation_id: str) -> str:
    """The kind's hint for a generation, ready to be typed: a caller's own id is any text."""
    return RULES[kind].hint.format(id=shlex.quote(generation_id))


class RequestRefused(ValueError):
    """The request can't be done as written. Nothing was reserved, stored or submitted.

    Show `failure.message` and `failure.hint` to whoever asked.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.failure = failure(kind, message)
