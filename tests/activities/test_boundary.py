"""The activity boundary: every known error becomes a kind, and nothing secret passes."""

import inspect
from collections.abc import Iterator
from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.boundary import application_error, boundary
from activities.media import errors as media
from activities.media.inputs import InputUnreachable
from activities.provider import errors as provider
from activities.provider.pacing import AskedToWait, HeldBack
from workflows.contracts.failures import RULES, Failure, FailureKind, RequestRefused

GIVEN = {
    "what": "the file",
    "reason": "has 9 pixels",
    "allowed": "more",
    "message": "It went wrong.",
    "status": 403,
}


def tree(root: type[Exception]) -> Iterator[type[Exception]]:
    """Every error below `root`."""
    for branch in root.__subclasses__():
        yield branch
        yield from tree(branch)


def an_error(leaf: type[Exception]) -> Exception:
    """An instance with what its constructor needs."""
    if leaf.__init__ is Exception.__init__:
        return leaf("It went wrong.")
    needed = [
        GIVEN[name]
        for name, each in inspect.signature(leaf).parameters.items()
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    return leaf(*needed)


EVERY_ERROR = sorted(
    {*tree(provider.ProviderError), *tree(media.MediaError)} - {media.FetchError},
    key=lambda leaf: f"{leaf.__module__}.{leaf.__name__}",
)


@pytest.mark.parametrize("leaf", EVERY_ERROR, ids=lambda leaf: leaf.__name__)
def test_every_error_of_the_provider_and_of_media_has_a_kind(leaf: type[Exception]) -> None:
    told = application_error(an_error(leaf))

    assert told is not None
    assert told.type in {kind.value for kind in RULES}
    (detail,) = told.details
    assert Failure.model_validate(detail).kind == told.type


@pytest.mark.parametrize(
    ("error", "kind", "final"),
    [
        (provider.KeyRefused(), FailureKind.PROVIDER_REFUSED_KEY, True),
        (provider.PromptRejected(), FailureKind.PROMPT_REJECTED, True),
        (provider.Unavailable(), FailureKind.PROVIDER_UNREACHABLE, False),
        (provider.SubmissionAmbiguous(), FailureKind.SUBMISSION_AMBIGUOUS, False),
        (media.StoreFull("full"), FailureKind.STORE_FULL, False),
        (media.NotStored("gone"), FailureKind.STORE_UNAVAILABLE, False),
        (media.UrlRefused("no"), FailureKind.OUTPUT_HOST_UNKNOWN, True),
        (media.FetchFailed("cut"), FailureKind.OUTPUT_UNUSABLE, False),
        (InputUnreachable("cut"), FailureKind.INVALID_MEDIA, False),
        (RequestRefused(FailureKind.NO_PLAN, "no"), FailureKind.NO_PLAN, True),
    ],
    ids=str,
)
def test_a_kind_says_whether_another_try_may_help(
    error: Exception,
    kind: FailureKind,
    final: bool,  # noqa: FBT001 - a column of the table
) -> None:
    told = application_error(error)

    assert told is not None
    assert (told.type, told.non_retryable) == (kind, final)
    assert (told.category is ApplicationErrorCategory.BENIGN) == final


def test_the_providers_wish_to_wait_is_kept() -> None:
    told = application_error(provider.Overloaded(retry_after_s=7))

    assert told is not None
    assert told.next_retry_delay == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("held", "kind"),
    [
        (HeldBack("2 of 2 jobs are in flight.", 3), FailureKind.PLACES_TAKEN),
        (AskedToWait("The provider asked for a pause.", 3), FailureKind.PROVIDER_OVERLOADED),
    ],
    ids=str,
)
def test_a_submission_that_our_pacing_holds_back_is_no_alarm_and_says_when_to_come_again(
    held: HeldBack, kind: FailureKind
) -> None:
    told = application_error(held)

    assert told is not None
    assert (told.type, told.non_retryable) == (kind, False)
    assert told.category is ApplicationErrorCategory.BENIGN
    assert told.next_retry_delay == timedelta(seconds=3)


@pytest.mark.parametrize(
    ("clause", "sentence"),
    [
        ("the URL is not https", "The URL is not https."),
        ("cdn.example no longer has the file", "cdn.example no longer has the file."),
        ("The provider refuses our key.", "The provider refuses our key."),
    ],
)
def test_what_a_person_reads_is_a_sentence(clause: str, sentence: str) -> None:
    told = application_error(media.UrlRefused(clause))

    assert told is not None
    assert told.message == sentence


def test_what_is_not_known_is_left_to_be_retried() -> None:
    assert application_error(KeyError("x")) is None


async def test_an_unknown_error_leaves_an_activity_unchanged() -> None:
    @boundary
    async def step() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await step()


async def test_a_known_error_leaves_without_its_cause_and_the_providers_words() -> None:
    @boundary
    async def step() -> None:
        cause = OSError("https://host/file?sig=secret")
        raise provider.Unavailable(provider_message="sig=secret") from cause

    with pytest.raises(ApplicationError) as told:
        await step()

    assert told.value.__cause__ is None
    assert told.value.__suppress_context__
    assert "secret" not in f"{told.value!r} {told.value.details}"


async def test_an_activitys_result_passes_unchanged() -> None:
    @boundary
    async def step(number: int) -> int:
        return number + 1

    assert await step(1) == 2
    assert step.__name__ == "step"
