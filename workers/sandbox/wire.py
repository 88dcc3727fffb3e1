"""How predictions, bills and models look on the wire."""

import json
from collections.abc import Mapping
from datetime import timedelta

from pydantic import JsonValue

from workers.sandbox.catalogue import Model
from workers.sandbox.outputs import nsfw_flags, output_list
from workers.sandbox.records import Bill, Prediction, iso

API = "/api/v3"


def prediction_document(
    prediction: Prediction, origin: str, secret: str, *, with_input: bool = True
) -> dict[str, JsonValue]:
    """A prediction as the provider shows it; times of work in milliseconds."""
    ran = timedelta()
    if prediction.ended_at is not None:
        ran = prediction.ended_at - prediction.created_at
    run_ms = round(ran / timedelta(milliseconds=1))
    document: dict[str, JsonValue] = {
        "id": prediction.id,
        "model": prediction.model,
        "input": prediction.input,
        "outputs": output_list(prediction, origin, secret),
        "urls": {"get": f"{origin}{API}/predictions/{prediction.id}/result"},
        "has_nsfw_contents": nsfw_flags(prediction),
        "status": prediction.status,
        "created_at": iso(prediction.created_at),
        "error": prediction.error,
        "executionTime": run_ms,
        "timings": {"inference": run_ms},
    }
    if prediction.code:
        document["code"] = prediction.code
    if not with_input:
        del document["input"]
    return document


def bill_document(bill: Bill, *, usd: bool, factor: float) -> dict[str, JsonValue]:
    """A bill as the provider shows it: integer micro-USD, or USD as a fraction."""
    micros = round(bill.price_usd_micros * factor)
    price = micros / 1_000_000 if usd else micros
    return {
        "uuid": bill.id,
        "billing_type": bill.kind,
        "price": price,
        "created_at": iso(bill.created_at),
        "updated_at": iso(bill.created_at),
        "order": {
            "uuid": bill.id[::-1],
            "state": "done",
            "price": price,
            "origin_price": price,
            "status": "",
            "ak_id": 0,
        },
        "prediction": {
            "uuid": bill.prediction_id,
            "model_uuid": bill.model,
            "status": bill.status,
        },
        "access_key_name": "",
    }


def model_document(model: Model) -> dict[str, JsonValue]:
    """A model as `GET /models` lists it."""
    schema: dict[str, JsonValue] = {
        "type": "object",
        "additionalProperties": False,
        "required": [each.name for each in model.fields if each.required],
        "properties": {each.name: each.json_schema() for each in model.fields},
    }
    run: dict[str, JsonValue] = {
        "type": "model_run",
        "method": "POST",
        "api_path": f"{API}/{model.id}",
        "request_schema": schema,
    }
    return {
        "model_id": model.id,
        "name": model.id,
        "type": model.type,
        "base_price": model.base_price_usd_micros / 1_000_000,
        "description": "",
        "api_schema": {"api_schemas": [run]},
    }


def searched_text(model_id: str, inputs: Mapping[str, JsonValue]) -> str:
    """What a fault's `match` is looked for in."""
    return json.dumps({"model": model_id, "input": dict(inputs)}, ensure_ascii=False)
