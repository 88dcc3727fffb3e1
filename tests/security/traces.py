"""What a run leaves behind, as texts: every history, every column of every table."""

import base64
from collections.abc import Mapping
from typing import Any

import asyncpg
from google.protobuf.json_format import MessageToDict
from stacks import Stack

_COLUMNS = """
SELECT c.table_name, c.column_name FROM information_schema.columns c
JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
"""


async def _history(stack: Stack, workflow_id: str, run_id: str) -> list[str]:
    """Every text of a workflow's history and description, payloads and their metadata decoded."""
    handle = stack.client.temporal.get_workflow_handle(workflow_id, run_id=run_id)
    events = [MessageToDict(event) async for event in handle.fetch_history_events()]
    described = MessageToDict((await handle.describe()).raw_description)
    return _texts([events, described])


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in (key, *_texts(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    if not isinstance(value, str):
        return []
    try:
        return [value, base64.b64decode(value, validate=True).decode("utf-8", "replace")]
    except ValueError:
        return [value]


async def histories_of(stack: Stack) -> dict[str, list[str]]:
    """The texts of every run that Temporal lists, by its type and ids."""
    found: dict[str, list[str]] = {}
    async for each in stack.client.temporal.list_workflows():
        found[f"{each.workflow_type} {each.id} {each.run_id}"] = await _history(
            stack, each.id, each.run_id
        )
    return found


async def columns_of(stack: Stack) -> dict[str, list[str]]:
    """Every value of every column that is not null, as text, by `table.column`."""
    connection = await asyncpg.connect(stack.address.database)
    columns: dict[str, list[str]] = {}
    for table, column in await connection.fetch(_COLUMNS):
        rows = await connection.fetch(f'SELECT "{column}"::text FROM "{table}"')
        columns[f"{table}.{column}"] = [row[0] for row in rows if row[0] is not None]
    await connection.close()
    return columns


def found_in(places: Mapping[str, list[str]], secrets: Mapping[str, str]) -> list[str]:
    """Which of `secrets` stands in which place, with the beginning of the text around it."""
    return [
        f"{what} in {place}: {text[:200]}"
        for place, texts in places.items()
        for text in texts
        for what, secret in secrets.items()
        if secret in text
    ]
