"""The examples of the OpenAPI document are what its schemas say, and the API takes them."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from starter.api.messages import MEDIA_TYPE
from starter.api.schemas import EXAMPLES
from starter.api.shown import REPLIES
from tests.starter.api.conftest import Api
from tests.starter.api.products import PROBLEM, Product, a_user, problem_in
from tests.starter.api.shelves import filed
from tests.starter.conftest import SPEECH
from workflows.contracts.requests import Operation

JSON = "application/json"
PICTURE = EXAMPLES[Operation.TALKING_AVATAR]["image"]["media_id"]
SOUND = EXAMPLES[Operation.TALKING_AVATAR]["audio"]["media_id"]


class Example(NamedTuple):
    """One value that the document shows."""

    place: str
    value: Any
    schema: dict[str, Any]


class Request(NamedTuple):
    """One operation as its examples ask for it."""

    name: str
    method: str
    path: str
    """With the example of each parameter in it."""
    body: dict[str, Any] | None
    responses: dict[str, Any]
    """What is documented, by status."""


@pytest.fixture(scope="module")
async def document(product: Product) -> dict[str, Any]:
    return (await product.get("/v1/openapi.json", a_user())).json()


def is_what_it_says(document: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    whole = {**schema, "components": document["components"]}
    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator(whole, format_checker=checker).is_valid(value)


def examples_in(node: Any, place: str = "") -> Iterator[Example]:
    """Every example below a part of the document, beside its schema."""
    if isinstance(node, list):
        for number, inner in enumerate(node):
            yield from examples_in(inner, f"{place}/{number}")
    if not isinstance(node, dict):
        return
    yield from _examples_at(node, place)
    for name, inner in node.items():
        if name not in {"example", "examples"}:
            yield from examples_in(inner, f"{place}/{name}")


def _examples_at(node: dict[str, Any], place: str) -> Iterator[Example]:
    """Of a media type, a parameter or a schema."""
    shown = node.get("examples", [])
    values = [each["value"] for each in shown.values()] if isinstance(shown, dict) else shown
    values = [*values, node["example"]] if "example" in node else values
    if "itemSchema" in node:
        schema: dict[str, Any] = node["itemSchema"]
        data = schema["properties"]["data"]["contentSchema"]
        for event in (event for text in values for event in events_in(text)):
            yield Example(place, event, schema)
            yield Example(f"{place}/data", json.loads(event["data"]), data)
        return
    for value in values:
        yield Example(place, value, node.get("schema", node))


def events_in(text: str) -> list[dict[str, str]]:
    """The events that stand in a stream."""
    blocks = text.strip().split("\n\n")
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def requests_in(document: dict[str, Any]) -> Iterator[Request]:
    """Each operation that names something in its path or its body, by each of its examples."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            named = {
                each["name"]: each["schema"]["examples"][0]
                for each in operation.get("parameters", [])
                if each["in"] == "path" and "examples" in each["schema"]
            }
            bodies = list(_bodies_of(document, operation))
            if not named and not bodies:
                continue
            name = f"{method.upper()} {path}"
            for body in bodies or [None]:
                filled = path.format(**named) if named else path
                yield Request(name, method.upper(), filled, body, operation["responses"])


def _bodies_of(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    content = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
    for each in content.get("examples", {}).values():
        yield each["value"]
    reference = content.get("schema", {}).get("$ref", "")
    schema = document["components"]["schemas"].get(reference.rpartition("/")[2], {})
    yield from schema.get("examples", [])


async def ids_of(api: Api, product: Product, user: str) -> dict[str, str]:
    """What a user has, by the ids that stand in the examples."""
    picture, sound = await product.uploaded(user), await product.uploaded(user, SPEECH, "audio")
    video = await filed(api, user)
    return {
        PICTURE: picture["media_id"],
        SOUND: sound["media_id"],
        "gen_5mzq3kcfwnzvj4y2tqk7x6ab2e": video.generation_id,
        "ast_5mzq3kcfwnzvj4y2tqk7x6ab2e": video.asset_id,
    }


async def asked(
    product: Product, request: Request, user: str, ids: dict[str, str]
) -> httpx.Response:
    """The answer to a request, with these ids in place of those of the examples."""
    path, body = request.path, json.dumps(request.body)
    for shown, real in ids.items():
        path, body = path.replace(shown, real), body.replace(shown, real)
    content = None if request.body is None else body.encode()
    headers = {} if content is None else {"Content-Type": JSON}
    return await product.ask(request.method, path, user, headers=headers, content=content)


def test_every_example_is_what_its_schema_says(document: dict[str, Any]) -> None:
    found = list(examples_in(document))

    wrong = [each for each in found if not is_what_it_says(document, each.schema, each.value)]

    assert wrong == []
    for part in ("/requestBody/", "/parameters/", PROBLEM, MEDIA_TYPE, "/components/schemas/"):
        assert any(part in each.place for each in found), part


@pytest.mark.parametrize("model", REPLIES, ids=lambda model: model.__name__)
def test_the_example_of_a_reply_has_every_field_and_no_other(model: type[BaseModel]) -> None:
    for example in REPLIES[model]:
        read = model.model_validate_json(json.dumps(example))

        assert json.loads(read.model_dump_json()) == example


def test_every_reply_has_an_example(document: dict[str, Any]) -> None:
    replies = {
        reference.rpartition("/")[2]
        for path, methods in document["paths"].items()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        if path.startswith("/v1/") and status.startswith("2")
        for content in [response.get("content", {}).get(JSON, {})]
        if (reference := content.get("schema", {}).get("$ref", ""))
    }

    # The catalogue is what `GET /v1/models` shows.
    assert replies - {"Catalogue"} == {model.__name__ for model in REPLIES}


def test_an_example_that_is_wrong_would_be_found(document: dict[str, Any]) -> None:
    wrong = {"schema": {"$ref": "#/components/schemas/Decision"}, "example": {"decision": "wait"}}

    (example,) = examples_in(wrong)

    assert not is_what_it_says(document, example.schema, example.value)


def test_the_example_of_a_problem_stands_at_its_own_status(document: dict[str, Any]) -> None:
    found = [each for each in examples_in(document["paths"]) if each.place.endswith(PROBLEM)]

    assert found
    for place, value, _ in found:
        assert f"/responses/{value['status']}/" in place
        assert value["type"].endswith(f":{value['kind']}")


async def test_an_example_whose_ids_are_nobodys_is_refused_as_documented(
    product: Product, document: dict[str, Any]
) -> None:
    requests = list(requests_in(document))
    assert len({request.name for request in requests}) > 15

    for request in requests:
        reply = await asked(product, request, a_user(), {})

        assert reply.status_code in {404, 422}, (request.name, reply.text)
        refused = request.responses[str(reply.status_code)]["content"][PROBLEM]
        problem = problem_in(reply)
        assert is_what_it_says(document, refused["schema"], problem), request.name
        assert problem["kind"] in refused.get("examples", [problem["kind"]]), request.name


async def test_an_example_of_a_body_is_taken_where_its_ids_are_there(
    api: Api, product: Product, document: dict[str, Any]
) -> None:
    requests = [request for request in requests_in(document) if request.body is not None]
    assert len({request.name for request in requests}) > 5

    for request in requests:
        user = a_user()
        reply = await asked(product, request, user, await ids_of(api, product, user))

        # A generation that has ended is past deciding.
        expected = {409} if request.name.endswith("/resolve") else {200, 201, 202}
        assert reply.status_code in expected, (request.name, reply.text)
        answered = request.responses[str(reply.status_code)]["content"]
        ((_, content),) = answered.items()
        assert is_what_it_says(document, content["schema"], reply.json()), request.name
