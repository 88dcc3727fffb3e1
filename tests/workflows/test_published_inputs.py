"""The examples that callers in any language are given, taken by the workflows themselves."""

import asyncio
import json
from typing import Any

import pytest

from tests.contracts.published import PUBLISHED, Published
from tests.workflows.scripted import Script
from tests.workflows.theatre import PATIENCE_S, Theatre, failed, raw
from workflows.contracts.failures import FailureKind
from workflows.contracts.requests import WORKFLOW_TYPES, Operation

every_operation = pytest.mark.parametrize("operation", Operation)


def published(operation: Operation) -> Published:
    (message,) = (each for each in PUBLISHED if each.name == WORKFLOW_TYPES[operation])
    return message


def sent(document: dict[str, Any]) -> list[object]:
    """The inputs of a workflow, as another language sends them."""
    return [raw(json.dumps(document).encode())]


@every_operation
async def test_a_published_example_is_carried_out_by_its_workflow(
    theatre: Theatre, operation: Operation
) -> None:
    for example in published(operation).examples:
        handle = await theatre.start(Script(), args=sent(example), operation=operation)

        async with asyncio.timeout(PATIENCE_S):
            result = await handle.result()

        assert result.generation_id == handle.id


@every_operation
async def test_what_no_published_schema_allows_ends_failed_before_any_step(
    theatre: Theatre, operation: Operation
) -> None:
    for wrong in published(operation).wrong:
        script = Script()

        told = await failed(await theatre.start(script, args=sent(wrong), operation=operation))

        assert told.kind is FailureKind.INVALID_REQUEST
        assert script.calls == []
