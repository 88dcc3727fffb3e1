"""The schemas for callers in any language, in docs/schemas: as committed, valid, and true.

To accept a change, run these tests with UPDATE_GOLDEN=1 and commit what they write.
"""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.contracts import golden
from tests.contracts.published import PUBLISHED, SCHEMAS, Published
from workflows.contracts import batches
from workflows.contracts.requests import WORKFLOW_TYPES

every_message = pytest.mark.parametrize("message", PUBLISHED, ids=lambda each: each.name)
what_we_write = pytest.mark.parametrize(
    "message",
    [each for each in PUBLISHED if each.written_by == "us"],
    ids=lambda each: each.name,
)


def parsed(message: Published, document: dict[str, Any]) -> BaseModel:
    """As a worker reads an input, and a client of ours a result."""
    payload = Payload(
        metadata={"encoding": b"json/plain"}, data=json.dumps(document).encode("utf-8")
    )
    return pydantic_data_converter.payload_converter.from_payload(payload, message.model)


@every_message
def test_a_published_schema_is_what_was_committed(message: Published) -> None:
    golden.check_json(SCHEMAS / f"{message.name}.json", message.schema(), sort_keys=False)


def test_every_committed_schema_is_published() -> None:
    assert {path.stem for path in SCHEMAS.glob("*")} == {each.name for each in PUBLISHED}


def test_every_workflow_that_callers_start_has_its_input_published() -> None:
    names = {each.name for each in PUBLISHED if each.written_by == "caller"}

    assert {*WORKFLOW_TYPES.values(), batches.WORKFLOW_TYPE} <= names


@every_message
def test_a_published_schema_is_one_of_its_draft_and_named_by_no_host(message: Published) -> None:
    schema = message.schema()

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert schema["$id"] == f"urn:stillmotion:schema:{message.name}"


@every_message
def test_a_published_example_is_taken_by_schema_and_parser_alike(message: Published) -> None:
    validator = Draft202012Validator(message.schema())

    for example in message.examples:
        validator.validate(example)
        assert isinstance(parsed(message, example), message.model)


@every_message
def test_what_is_wrong_is_refused_by_schema_and_parser_alike(message: Published) -> None:
    validator = Draft202012Validator(message.schema())

    for wrong in message.wrong:
        assert not validator.is_valid(wrong), wrong
        with pytest.raises(ValidationError):
            parsed(message, wrong)


@what_we_write
def test_an_example_of_what_we_write_is_written_as_it_stands_there(message: Published) -> None:
    for example in message.examples:
        written = parsed(message, example).model_dump(mode="json", exclude_unset=True)

        assert written == example


@what_we_write
def test_a_later_versions_field_is_none_that_a_schema_forbids(message: Published) -> None:
    validator = Draft202012Validator(message.schema())

    validator.validate({**message.examples[0], "of_a_later_version": 1})


def test_a_stored_scene_is_taken_though_it_looks_like_an_inline_one() -> None:
    (message,) = (each for each in PUBLISHED if each.name == "SceneAnimation")
    validator = Draft202012Validator(message.schema())

    validator.validate(message.examples[0] | {"scene": {"media_id": "med_" + "a" * 26}})


def test_a_field_is_described_by_the_docstring_that_stands_below_it() -> None:
    (message,) = (each for each in PUBLISHED if each.name == "ImageToVideo")
    fields = message.schema()["properties"]

    said = fields["max_cost_usd_micros"]["description"]
    assert said == "Refuse, with nothing reserved, when the quote is higher."
    assert fields["user_id"]["description"].startswith("Who it is for")


@every_message
def test_a_published_schema_speaks_of_json_and_of_nothing_inside(message: Published) -> None:
    text = json.dumps(message.schema(), ensure_ascii=False)

    for word in ("None", "RULES", "design", "§", "pydantic"):
        assert word not in text
