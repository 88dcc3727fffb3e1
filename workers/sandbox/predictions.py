"""Endpoints that submit, read, list and delete predictions."""

import re
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response

from workers.sandbox.catalogue import MODELS
from workers.sandbox.faults import LagFault, RequestFault, UnknownStatusFault, WithoutInputFault
from workers.sandbox.inputs import InputRefused, checked_inputs
from workers.sandbox.paging import page_of, time_of
from workers.sandbox.records import Prediction, new_id
from workers.sandbox.replies import Refusal, json_object, origin, spoiled, success
from workers.sandbox.sandbox import Sandbox, sandbox_of
from workers.sandbox.wire import prediction_document, searched_text

RETENTION = timedelta(days=7)
"""Older predictions are neither listed nor found."""
_WEBHOOK = re.compile(r"https?://[^\s]+")


async def submit(request: Request) -> Response:
    """`POST /{model_id}`: one job for each accepted call, there is no idempotency key."""
    sandbox = sandbox_of(request)
    sandbox.store.count("submits")
    prediction = await _wanted(request)
    text = searched_text(prediction.model, prediction.input)
    fault = sandbox.board.take("submit", RequestFault, text)
    if fault and not fault.accepted and (reply := await spoiled(fault)):
        return reply
    accepted = prediction.changed(faults=sandbox.board.take_kept(text))
    sandbox.store.save_prediction(accepted)
    sandbox.jobs.start(accepted)
    if fault and fault.accepted and (reply := await spoiled(fault)):
        return reply
    return success(_document(request, accepted))


async def read(request: Request) -> Response:
    """`GET /predictions/{id}/result` and `GET /predictions/{id}`."""
    prediction = _found(request, request.path_params["prediction_id"])
    sandbox_of(request).reads.note(prediction)
    document = _document(request, prediction)
    if not prediction.finished:
        board = sandbox_of(request).board
        text = searched_text(prediction.model, prediction.input)
        if unknown := board.take("poll", UnknownStatusFault, text):
            document["status"] = unknown.status
    return success(document)


async def search(request: Request) -> Response:
    """`POST /predictions`: the last seven days, the newest first."""
    sandbox = sandbox_of(request)
    body = await json_object(request, required=False)
    now = datetime.now(UTC)
    before = time_of(body, "created_before") or now
    if lag := sandbox.board.take("list", LagFault):
        before = min(before, now - timedelta(seconds=lag.lag_s))
    page = page_of(body)
    found, total = sandbox.store.predictions(
        after=max(time_of(body, "created_after") or now - RETENTION, now - RETENTION),
        before=before,
        model=_text(body, "model"),
        status=_text(body, "status"),
        page=(page.offset, page.size),
    )
    with_input = sandbox.board.take("list", WithoutInputFault) is None
    items: list[JsonValue] = [_document(request, each, with_input=with_input) for each in found]
    return success({"page": page.number, "total": total, "items": items})


async def delete(request: Request) -> Response:
    """`DELETE /predictions/{id}`."""
    prediction = _found(request, request.path_params["prediction_id"])
    sandbox_of(request).jobs.delete(prediction)
    return success({"id": prediction.id, "status": "deleted"})


async def delete_many(request: Request) -> Response:
    """`POST /predictions/delete`: unknown ids are passed over."""
    sandbox = sandbox_of(request)
    ids = (await json_object(request)).get("ids")
    if not isinstance(ids, list):
        raise Refusal(400, "property 'ids' must be a list", 1401)
    found = [_prediction(sandbox, str(each)) for each in ids]
    deleted = [each for each in found if each is not None]
    for each in deleted:
        sandbox.jobs.delete(each)
    return success({"deleted_count": len(deleted)})


async def _wanted(request: Request) -> Prediction:
    """The prediction a submission asks for, not yet accepted."""
    model = MODELS.get(request.path_params["model_id"])
    if model is None:
        raise Refusal(404, "model not found")
    webhook = request.query_params.get("webhook")
    if webhook is not None and not _WEBHOOK.fullmatch(webhook):
        raise Refusal(400, "the webhook must be a URL", 1401)
    try:
        inputs = checked_inputs(model, await json_object(request))
    except InputRefused as error:
        raise Refusal(400, str(error), error.code) from None
    return Prediction(
        id=new_id(),
        model=model.id,
        input=inputs,
        created_at=datetime.now(UTC),
        origin=origin(request),
        webhook=webhook,
    )


def _found(request: Request, prediction_id: str) -> Prediction:
    prediction = _prediction(sandbox_of(request), prediction_id)
    if prediction is None:
        raise Refusal(404, "prediction not found")
    return prediction


def _prediction(sandbox: Sandbox, prediction_id: str) -> Prediction | None:
    prediction = sandbox.store.prediction(prediction_id)
    if prediction is None or prediction.created_at < datetime.now(UTC) - RETENTION:
        return None
    return prediction


def _document(
    request: Request, prediction: Prediction, *, with_input: bool = True
) -> dict[str, JsonValue]:
    secret = sandbox_of(request).secret
    return prediction_document(prediction, origin(request), secret, with_input=with_input)


def _text(body: dict[str, JsonValue], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Refusal(400, f"property {name!r} must be a string", 1401)
    return value or None
