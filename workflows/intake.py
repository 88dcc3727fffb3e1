"""Input from anywhere: every bad one ends as a clean FAILED workflow that names the field.

A typed workflow argument would fail the workflow *task* on bad input, for ever. So the input comes
raw, is parsed in `@workflow.init`, and `run` raises what was wrong with it; queries work all the
same.
"""

from typing import Self, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from workflows.contracts.failures import Failure, FailureKind, failure
from workflows.contracts.payloads import ENCRYPTED
from workflows.contracts.requests import Claimed, Continued
from workflows.contracts.texts import place_of

NOTHING = RawValue(Payload())
"""The default of a missing input, so that it is refused like any other."""

M = TypeVar("M", bound=BaseModel)
_PROBLEMS_MAX = 5


class InputEncrypted(RuntimeError):
    """This worker has no keys, and the input is encrypted: the task is tried again, elsewhere."""


class OneInput:
    """A workflow that takes one JSON object.

    Two inputs would otherwise be a TypeError, retried for ever.
    """

    def __new__(cls, *inputs: object) -> Self:
        """Refuse more than one input."""
        if len(inputs) > 1:
            raise raised(failure(FailureKind.INVALID_REQUEST, "input: one JSON object is needed."))
        return super().__new__(cls)


def parse(raw: RawValue, model: type[M]) -> M | Claimed | Failure:
    """The request in `raw`, or that it was claimed before, or why there is none.

    Values of the input are not repeated.

    Raises:
        InputEncrypted: it would be taken for a bad request, though another worker can read it.
    """
    if raw.payload.metadata.get("encoding") == ENCRYPTED:
        raise InputEncrypted("The input is encrypted: give this worker STILLMOTION_PAYLOAD_KEYS.")
    if (claimed := _claimed(raw)) is not None:
        return claimed
    try:
        value = workflow.payload_converter().from_payload(raw.payload, model)
    except ValidationError as error:
        return failure(FailureKind.INVALID_REQUEST, _told(error, model))
    except Exception:  # noqa: BLE001 - whatever the converter says of bytes from outside, it is no request
        return failure(FailureKind.INVALID_REQUEST, "input: not one JSON object.")
    # Null and binary payloads come back unvalidated.
    if not isinstance(value, model):
        return failure(FailureKind.INVALID_REQUEST, "input: one JSON object is needed.")
    return value


def _told(error: ValidationError, model: type[BaseModel]) -> str:
    """The first few problems, and the fields that there are where one was given that is none."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    told = "; ".join(map(_problem, problems[:_PROBLEMS_MAX]))
    if any(each["type"] == "extra_forbidden" and len(each["loc"]) == 1 for each in problems):
        told += f"; allowed: {', '.join(sorted(model.model_fields))}"
    return f"{told}."


def _problem(problem: ErrorDetails) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"] and problem["type"] == "value_error":
        # A rule for several fields names them itself.
        return message
    return f"{place_of(problem['loc'])}: {message}"


def _claimed(raw: RawValue) -> Claimed | None:
    for model in (Claimed, Continued):
        try:
            value = workflow.payload_converter().from_payload(raw.payload, model)
        except Exception:  # noqa: BLE001, S112 - then it is a request, or nothing that we know
            continue
        # An empty object is an incomplete request; null comes back unvalidated.
        known = isinstance(value, Claimed)  # pyright: ignore[reportUnnecessaryIsInstance]
        return value if known and value.model_fields_set else None
    return None


def raised(told: Failure) -> ApplicationError:
    """A failure as the error that ends a workflow with it."""
    return ApplicationError(
        told.message, told.model_dump(mode="json"), type=told.kind.value, non_retryable=True
    )
