"""The activity boundary: every known error becomes a failure kind, in one place.

Workflows see `ApplicationError.type` = kind, with the `Failure` as its detail. What is not known
here goes on unchanged and is retried by Temporal.
"""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import wraps
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.media import errors as media
from activities.media.inputs import InputUnreachable
from activities.provider import errors as provider
from activities.provider.pacing import AskedToWait, HeldBack
from workflows.contracts.failures import FailureKind, RequestRefused, failure

P = ParamSpec("P")
R = TypeVar("R")

FINAL: dict[type[Exception], FailureKind] = {
    provider.KeyRefused: FailureKind.PROVIDER_REFUSED_KEY,
    provider.AccessDenied: FailureKind.PROVIDER_REFUSED_KEY,
    provider.CreditExhausted: FailureKind.PROVIDER_CREDIT_EXHAUSTED,
    provider.PromptRejected: FailureKind.PROMPT_REJECTED,
    provider.InputRefused: FailureKind.PROVIDER_REFUSED_INPUT,
    provider.NotFound: FailureKind.PROVIDER_REFUSED_INPUT,
    provider.TooLarge: FailureKind.PROVIDER_REFUSED_INPUT,
    media.UrlRefused: FailureKind.OUTPUT_HOST_UNKNOWN,
    media.FetchTooLarge: FailureKind.OUTPUT_UNUSABLE,
}
"""Trying again gives the same answer."""

PASSING: dict[type[Exception], FailureKind] = {
    AskedToWait: FailureKind.PROVIDER_OVERLOADED,
    HeldBack: FailureKind.PLACES_TAKEN,
    provider.Overloaded: FailureKind.PROVIDER_OVERLOADED,
    provider.NotSent: FailureKind.PROVIDER_UNREACHABLE,
    provider.Unavailable: FailureKind.PROVIDER_UNREACHABLE,
    provider.MalformedReply: FailureKind.PROVIDER_UNREACHABLE,
    provider.SubmissionAmbiguous: FailureKind.SUBMISSION_AMBIGUOUS,
    media.StoreFull: FailureKind.STORE_FULL,
    media.StoreError: FailureKind.STORE_UNAVAILABLE,
    InputUnreachable: FailureKind.INVALID_MEDIA,
    media.MediaInvalid: FailureKind.OUTPUT_UNUSABLE,
    media.FetchExpired: FailureKind.OUTPUT_UNUSABLE,
    media.FetchFailed: FailureKind.OUTPUT_UNUSABLE,
    media.DecodingFailed: FailureKind.OUTPUT_UNUSABLE,
}
"""Another try may go better. A leaf stands before its branch: the first that fits is taken."""


def boundary(
    method: Callable[P, Coroutine[Any, Any, R]],
) -> "Callable[P, CoroutineType[Any, Any, R]]":  # subscripted, it fails at run time on 3.11
    """Decorate an activity method: its known errors leave it as typed `ApplicationError`s."""

    @wraps(method)
    async def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except Exception as error:
            told = application_error(error)
            if told is None:
                raise
            _count(told)
            # Without the cause: a library's own words may hold an address or a key.
            raise told from None

    return translated


def _count(told: ApplicationError) -> None:
    """How often each step fails and why, for alerts; what is expected says so by its kind.

    Activities times kinds are too many to be shown as 0 before: whoever asks for an increase
    counts a young series as a whole (`deploy/prometheus/alerts.yml`).
    """
    if activity.in_activity():
        failures = activity.metric_meter().create_counter(
            "stillmotion_step_failures", "Attempts that failed, by activity and failure kind"
        )
        failures.add(1, {"kind": told.type or "unknown"})


def application_error(error: Exception) -> ApplicationError | None:
    """The error as history keeps it; None for what is not known here."""
    if isinstance(error, RequestRefused):
        return _error(error.failure.kind, error.failure.message, final=True)
    for known, kind in FINAL.items():
        if isinstance(error, known):
            return _error(kind, _sentence(error), final=True)
    for known, kind in PASSING.items():
        if isinstance(error, known):
            return _error(
                kind,
                _sentence(error),
                final=False,
                expected=isinstance(error, HeldBack),
                delay_s=getattr(error, "retry_after_s", None),
            )
    return None


def _sentence(error: Exception) -> str:
    """What a person reads; a client's own words may be a clause, or begin with a host's name."""
    text = str(error)
    if text.partition(" ")[0].isalpha():
        text = f"{text[0].upper()}{text[1:]}"
    return text if text.endswith(".") else f"{text}."


def _error(
    kind: FailureKind,
    message: str,
    *,
    final: bool,
    expected: bool = False,
    delay_s: float | None = None,
) -> ApplicationError:
    return ApplicationError(
        message,
        failure(kind, message).model_dump(mode="json"),
        type=kind.value,
        non_retryable=final,
        next_retry_delay=timedelta(seconds=delay_s) if delay_s else None,
        # An expected refusal is no alarm in the worker's log and metrics.
        category=(
            ApplicationErrorCategory.BENIGN
            if final or expected
            else ApplicationErrorCategory.UNSPECIFIED
        ),
    )
