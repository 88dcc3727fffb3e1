"""Endpoints about models, prices, the balance and bills."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response

from workers.sandbox.catalogue import MODELS, Model
from workers.sandbox.faults import LagFault, UsdFloatsFault, WrongAmountFault
from workers.sandbox.inputs import InputRefused, check_given, price_usd_micros
from workers.sandbox.paging import page_of, time_of
from workers.sandbox.replies import Refusal, json_object, success
from workers.sandbox.sandbox import Sandbox, sandbox_of
from workers.sandbox.scenes import heard_s
from workers.sandbox.sources import MediaUnusable
from workers.sandbox.wire import bill_document, model_document

_EPOCH = datetime.fromtimestamp(0, UTC)


async def models(request: Request) -> Response:
    """`GET /models`."""
    del request
    return success([model_document(each) for each in MODELS.values()])


async def price(request: Request) -> Response:
    """`POST /model/price`: the price of a run with these inputs; the audio is really measured."""
    usd = await _price_usd(request)
    return success({"price": usd, "discounted_price": usd, "discount_rate": 1.0, "currency": "USD"})


async def older_price(request: Request) -> Response:
    """`POST /model/pricing`: the same price in the older shape."""
    return success({"unit_price": await _price_usd(request), "currency": "USD"})


async def balance(request: Request) -> Response:
    """`GET /balance`, in USD."""
    sandbox = sandbox_of(request)
    left = sandbox.settings.opening_balance_usd_micros - sandbox.store.spent_usd_micros()
    return success({"balance": left / 1_000_000})


async def bills(request: Request) -> Response:
    """`POST /billings/search`: a row for each charge and each refund."""
    sandbox = sandbox_of(request)
    body = await json_object(request, required=False)
    page = page_of(body)
    before = time_of(body, "end_time") or datetime.now(UTC)
    if lag := sandbox.board.take("bills", LagFault):
        before = min(before, datetime.now(UTC) - timedelta(seconds=lag.lag_s))
    ids = body.get("prediction_uuids")
    kind = body.get("billing_type")
    found = sandbox.store.bills(
        after=time_of(body, "start_time") or _EPOCH,
        before=before,
        kind=str(kind) if kind else None,
        prediction_ids=[str(each) for each in ids] if isinstance(ids, list) else None,
        newest_first=not str(body.get("sort", "")).upper().endswith("ASC"),
    )
    usd = sandbox.board.take("bills", UsdFloatsFault) is not None
    wrong = sandbox.board.take("bills", WrongAmountFault)
    factor = wrong.factor if wrong else 1.0
    rows = found[page.offset : page.offset + page.size]
    items: list[JsonValue] = [bill_document(each, usd=usd, factor=factor) for each in rows]
    return success({"page": page.number, "total": len(found), "items": items})


async def webhook_secret(request: Request) -> Response:
    """`GET /webhook/secret`."""
    return success({"secret": sandbox_of(request).secret})


async def _price_usd(request: Request) -> float:
    sandbox = sandbox_of(request)
    body = await json_object(request)
    model = MODELS.get(str(body.get("model_id")))
    if model is None:
        raise Refusal(404, "model not found")
    inputs = body.get("inputs", {})
    if not isinstance(inputs, dict):
        raise Refusal(400, "property 'inputs' must be an object", 1401)
    try:
        check_given(model, inputs)
        heard = await _heard_s(sandbox, model, inputs)
    except (InputRefused, MediaUnusable) as error:
        raise Refusal(400, str(error), error.code) from None
    return price_usd_micros(model, inputs, heard) / 1_000_000


async def _heard_s(sandbox: Sandbox, model: Model, inputs: dict[str, JsonValue]) -> float | None:
    sounds = {name: value for name, value in inputs.items() if name.endswith("audio")}
    with TemporaryDirectory(dir=sandbox.settings.data_dir / "scratch") as folder:
        media = await sandbox.sources.fetch_all(model, sounds, Path(folder))
        return await asyncio.to_thread(heard_s, inputs, media)
