"""The OpenAPI document says what is taken and what is answered: its examples are tried."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from starter.api.app import create_app
from starter.api.batch_documents import BatchDetails
from starter.api.documents import GenerationDocument
from starter.api.schemas import BATCH_EXAMPLE, EXAMPLES
from tests.starter.api.conftest import Api
from tests.starter.api.products import Product, a_user
from tests.starter.conftest import COFFEE, SPEECH
from workflows.contracts.batch_results import Batch
from workflows.contracts.requests import REQUESTS, Operation
from workflows.contracts.results import Generation

OURS = ("/v1/generations", "/v1/estimates", "/v1/uploads", "/v1/batches")
NOT_OURS = ("/events",)


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    app: FastAPI = create_app(api.parts)
    return json.loads(json.dumps(app.openapi()))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation on generations, estimates, uploads and batches, by its method and path."""
    for path, methods in document["paths"].items():
        if path.startswith(OURS) and not path.endswith(NOT_OURS):
            for method, operation in methods.items():
                yield f"{method.upper()} {path}", operation


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


def test_every_route_is_there(document: dict[str, Any]) -> None:
    assert {name for name, _ in operations(document)} == {
        "POST /v1/generations",
        "GET /v1/generations",
        "GET /v1/generations/{generation_id}",
        "POST /v1/generations/{generation_id}/cancel",
        "POST /v1/generations/{generation_id}/resume",
        "POST /v1/generations/{generation_id}/resolve",
        "POST /v1/estimates",
        "POST /v1/uploads",
        "POST /v1/batches",
        "GET /v1/batches",
        "GET /v1/batches/{batch_id}",
        "POST /v1/batches/{batch_id}/cancel",
    }


def test_every_route_says_what_it_does_and_what_it_answers(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert {"401", "403", "422", "429", "503"} <= set(operation["responses"]), name
        assert ("404" in operation["responses"]) == ("_id}" in name), name
        for status, response in operation["responses"].items():
            expected = "application/json" if status < "400" else "application/problem+json"
            assert list(response["content"]) == [expected], (name, status)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(references(document)):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert found, reference


def test_the_bodies_have_the_fields_of_the_contracts_and_no_user(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    names = {"ImageToVideoWish", "SceneAnimationWish", "TalkingAvatarWish"}

    for operation, name in zip(Operation, sorted(names), strict=True):
        schema = schemas[name]
        assert set(schema["properties"]) == REQUESTS[operation].model_fields.keys() - {"user_id"}
        assert "operation" in schema["required"]
        assert schema["additionalProperties"] is False


@pytest.mark.parametrize("path", ["/v1/generations", "/v1/estimates", "/v1/batches"])
def test_every_example_is_what_its_schema_says(document: dict[str, Any], path: str) -> None:
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    valid = validator(document, body["schema"])

    for name, example in body["examples"].items():
        assert list(valid.iter_errors(example["value"])) == [], name
    assert list(valid.iter_errors({"operation": "image-to-video"})) != []


def test_what_is_refused_by_the_routes_is_refused_by_the_schema(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/generations"]["post"]["requestBody"]["content"]
    valid = validator(document, body["application/json"]["schema"])
    fine = EXAMPLES[Operation.IMAGE_TO_VIDEO]

    for wrong in ({"fps": 24}, {"user_id": "bob"}, {"image": "/etc/hostname"}, {"seed": "7"}):
        assert not valid.is_valid({**fine, **wrong}), wrong


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize(("path", "status"), [("/v1/generations", 202), ("/v1/estimates", 200)])
async def test_every_example_is_taken_as_it_stands_there(
    product: Product, operation: Operation, path: str, status: int
) -> None:
    user = a_user()
    media = {"image": await product.uploaded(user, COFFEE)}
    if "audio" in EXAMPLES[operation]:
        media["audio"] = await product.uploaded(user, SPEECH, "audio")

    reply = await product.post(path, user, json={**EXAMPLES[operation], **media})

    assert reply.status_code == status, reply.text


async def test_the_example_of_a_batch_is_taken_as_it_stands_there(product: Product) -> None:
    user = a_user()
    image = await product.uploaded(user, COFFEE)
    items = [{**item, "image": image} for item in BATCH_EXAMPLE["items"]]

    reply = await product.post("/v1/batches", user, json={**BATCH_EXAMPLE, "items": items})

    assert reply.status_code == 202, reply.text


def test_a_generation_has_all_that_the_client_tells_but_paths_and_a_buckets_addresses() -> None:
    ours = GenerationDocument.model_fields.keys() - {"links", "progress"}

    assert ours == Generation.model_fields.keys() - {"file_path", "poster_path", "url"}


def test_a_batch_has_all_that_the_client_tells() -> None:
    ours = BatchDetails.model_fields.keys() - {"links", "items", "percent", "message"}

    assert ours == Batch.model_fields.keys()
