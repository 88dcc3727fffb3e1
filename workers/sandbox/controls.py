"""Endpoints for tests, outside the provider's contract: faults, log, health. No key; loopback."""

from ipaddress import ip_address

from pydantic import JsonValue, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from workers.sandbox.faultboard import AREAS_BY_NAME, FaultPlan
from workers.sandbox.records import Prediction, iso
from workers.sandbox.replies import Refusal, json_object
from workers.sandbox.sandbox import sandbox_of


async def health(request: Request) -> Response:
    """`GET /sandbox/health`."""
    del request
    return JSONResponse({"ok": True})


async def log(request: Request) -> Response:
    """`GET /sandbox/log`: what was asked of the sandbox since its data directory was made."""
    _check_loopback(request)
    sandbox = sandbox_of(request)
    store = sandbox.store
    counters = store.counters()
    predictions = store.all_predictions()
    return JSONResponse(
        {
            "submits": counters.pop("submits", 0),
            "accepted": len(predictions),
            "predictions": [
                _logged(each) | sandbox.reads.document(each.id) for each in predictions
            ],
            "requests": counters,
            "chats": store.chats(),
        }
    )


async def show_faults(request: Request) -> Response:
    """`GET /sandbox/faults`."""
    _check_loopback(request)
    return JSONResponse(sandbox_of(request).board.document())


async def put_faults(request: Request) -> Response:
    """`POST /sandbox/faults`: replaces the faults of the areas that the body names."""
    _check_loopback(request)
    sandbox = sandbox_of(request)
    try:
        plan = FaultPlan.model_validate(await json_object(request))
    except ValidationError as error:
        raise Refusal(400, str(error)) from None
    sandbox.board.put(plan)
    if "job" in plan.model_fields_set:
        sandbox.jobs.release_hung()
    return JSONResponse(sandbox.board.document())


async def clear_faults(request: Request) -> Response:
    """`DELETE /sandbox/faults[?area=…]`: jobs that hang go on when the job faults are cleared.

    `DELETE /sandbox/faults?area=job&match=TEXT` clears none; of the jobs that hang, those go on in
    whose inputs the text occurs.
    """
    _check_loopback(request)
    sandbox = sandbox_of(request)
    named = request.query_params.get("area")
    area = AREAS_BY_NAME.get(named) if named else None
    if area is None and named is not None:
        raise Refusal(400, f"the areas are {', '.join(AREAS_BY_NAME)}")
    match = request.query_params.get("match")
    if match is not None and area == "job":
        sandbox.jobs.release_hung(match)
        return JSONResponse(sandbox.board.document())
    sandbox.board.clear(area)
    if area in (None, "job"):
        sandbox.jobs.release_hung()
    return JSONResponse(sandbox.board.document())


def _logged(prediction: Prediction) -> dict[str, JsonValue]:
    return {
        "id": prediction.id,
        "model": prediction.model,
        "status": prediction.status,
        "input": prediction.input,
        "created_at": iso(prediction.created_at),
        "ended_at": iso(prediction.ended_at) if prediction.ended_at else None,
        "price_usd_micros": prediction.price_usd_micros,
        "webhook": prediction.webhook,
        "faults": [each.kind for each in prediction.faults],
        "downloads": prediction.downloads,
    }


def _check_loopback(request: Request) -> None:
    if request.client is None or not ip_address(request.client.host).is_loopback:
        raise Refusal(403, "only from this machine")
