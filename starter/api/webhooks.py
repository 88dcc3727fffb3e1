"""Where the provider says that a job ended. It wakes the generation's workflow, and nothing else.

What the message says of the job is not used: the workflow reads that from the provider. So a
message that is lost costs time only, polling goes on, and one that is forged costs nothing.
"""

import asyncio
import json
import logging
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request
from temporalio.service import RPCError, RPCStatusCode

from activities.database.statements import statements
from activities.provider.models import Prediction
from activities.provider.webhooks import PATH, NotSigned, Stamp, is_fresh, is_token, stamp_of
from starter.api.parts import Parts, PartsOf
from starter.api.problems import Problem
from starter.api.responses import problems_without_caller
from starter.api.secrets import SecretUnknown
from workflows.contracts.hints import SIGNAL, ProviderEvent
from workflows.contracts.stages import TERMINAL

BODY_SIZE_BYTES_MAX = 1024 * 1024
"""A prediction with its inputs is some kilobytes."""

BODY_WITHIN_S = 10.0
"""A caller who sends more slowly is not waited for."""

DATABASE_WITHIN_S = 5.0
"""One row by its key; a database that hangs must not gather callers."""

SIGNAL_WITHIN_S = 5.0
"""With the client's own repeats; the provider tries again."""

SQL = statements("activities.provider", "webhooks.sql")
CLOSE = {"Connection": "close"}
"""Where the rest of a body was not read, it is no next request."""

Outcome = Literal["signalled", "duplicate", "ended", "gone"]

_SAID = {
    HTTPStatus.UNAUTHORIZED: "The provider did not sign it, or not just now.",
    HTTPStatus.NOT_FOUND: "The token is not this generation's, or there is no such generation.",
    HTTPStatus.REQUEST_TIMEOUT: "The body came too slowly.",
    HTTPStatus.CONFLICT: "The prediction is not this generation's.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The body is no prediction.",
    HTTPStatus.SERVICE_UNAVAILABLE: "It can't be verified or passed on now. Try again.",
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}

router = APIRouter()
_log = logging.getLogger(__name__)


@router.post(
    PATH + "/{generation_id:path}/{token}",
    responses=problems_without_caller(_SAID),
    openapi_extra=_BODY,
)
async def receive(
    generation_id: str, token: str, request: Request, parts: PartsOf
) -> dict[str, Outcome]:
    """Take one message. The cases are looked at in this order.

    1. the token is not this generation's: 404, as for an unknown one. Nothing of it is read.
    2. it is too big: 413; too slow: 408.
    3. a signature header is missing or malformed, or the provider did not sign it: 401.
    4. it was signed more than five minutes ago, or ahead: 401.
    5. it is no prediction: 422.
    6. it had its effect already: 200.
    7. the generation has another prediction, or the prediction another generation: 409.
    8. the generation has ended: 200, and nothing is woken.
    9. else its workflow is signalled: 200, also where there is none any more, which the sweeper
       looks after.

    503 where that can't be told now: the provider tries again.
    """
    if not is_token(token, parts.hash_key, generation_id):  # (1)
        raise _unknown()
    body = await _body(request)  # (2)
    stamp = await _signed(parts, request, body)  # (3), (4)
    prediction_id = _prediction(body)  # (5)
    message = (generation_id, stamp.webhook_id, prediction_id)
    if parts.deliveries.has(*message):  # (6)
        return {"outcome": "duplicate"}
    ended = await _has_ended(parts, generation_id, prediction_id)  # (7)
    outcome = "ended" if ended else await _signal(parts, generation_id, prediction_id)  # (8), (9)
    parts.deliveries.add(*message)
    _log.info("webhook of %s for %r: %s", prediction_id, generation_id, outcome)
    return {"outcome": outcome}


async def _body(request: Request) -> bytes:
    """The whole body; what is too big is refused by its announcement or at the first byte over."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > BODY_SIZE_BYTES_MAX:
        raise _too_big()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_SIZE_BYTES_MAX:
                    raise _too_big()
    except TimeoutError:
        detail = f"The body did not come within {BODY_WITHIN_S:g} s."
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail, headers=CLOSE) from None
    return bytes(body)


def _too_big() -> Problem:
    detail = f"The body is larger than {BODY_SIZE_BYTES_MAX} bytes."
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, headers=CLOSE)


def _unknown() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "There is no such webhook address.", headers=CLOSE)


async def _signed(parts: Parts, request: Request, body: bytes) -> Stamp:
    """The stamp of a message that the provider signed just now."""
    if parts.webhook_secret is None:
        detail = "Webhooks can't be verified here: WAVESPEED_API_KEY is not set."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)
    try:
        stamp = stamp_of(request.scope["headers"])
        signed = await parts.webhook_secret.signed(stamp, body)
    except NotSigned as error:
        raise Problem(HTTPStatus.UNAUTHORIZED, str(error)) from None
    except SecretUnknown as error:
        _log.warning("a webhook can't be verified: %s", error)
        detail = "The provider's secret can't be read now. Try again."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail) from None
    if not signed:
        _log.warning("a webhook whose address is right was not signed by the provider")
        raise Problem(HTTPStatus.UNAUTHORIZED, "webhook-signature: not the provider's.")
    if not is_fresh(stamp, datetime.now(UTC)):
        raise Problem(HTTPStatus.UNAUTHORIZED, "webhook-timestamp: more than 300 s off.")
    return stamp


def _prediction(body: bytes) -> str:
    """The id of the prediction that the body is."""
    try:
        return Prediction.from_wire(json.loads(body)).id
    except (ValueError, RecursionError):
        detail = "The body is not a prediction."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None


async def _has_ended(parts: Parts, generation_id: str, prediction_id: str) -> bool:
    """Whether the generation has ended; refuses a prediction that is another one's."""
    async with asyncio.timeout(DATABASE_WITHIN_S):
        row = await parts.pool.fetchrow(SQL["subject"], generation_id, prediction_id)
    if row is None:
        raise _unknown()
    other = row["prediction_id"] not in {None, prediction_id}
    if other or row["owner"] not in {None, generation_id}:
        # Either a mistake there, or a second prediction of one generation: the sweeper looks.
        _log.warning("webhook of %s for %r, which has another", prediction_id, generation_id)
        raise Problem(HTTPStatus.CONFLICT, "The prediction is not this generation's.")
    return row["stage"] in TERMINAL


async def _signal(parts: Parts, generation_id: str, prediction_id: str) -> Outcome:
    workflow = parts.temporal.get_workflow_handle(generation_id)
    event = ProviderEvent(prediction_id=prediction_id)
    try:
        async with asyncio.timeout(SIGNAL_WITHIN_S):
            await workflow.signal(SIGNAL, event)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return "gone"
    return "signalled"
