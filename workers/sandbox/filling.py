"""Fills a JSON schema with a text: enough of a schema for simple objects."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue


def filled(schema: Mapping[str, Any], text: str) -> JsonValue:
    """A value that fits the schema, with the text wherever a string may stand."""
    return _filled(schema, text, schema.get("$defs") or {})


def _filled(schema: Mapping[str, Any], text: str, known: Mapping[str, Any]) -> JsonValue:
    if "$ref" in schema:
        return _filled(known[str(schema["$ref"]).rpartition("/")[2]], text, known)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choices in ("anyOf", "oneOf", "allOf"):
        if schema.get(choices):
            return _filled(schema[choices][0], text, known)
    return _filled_by_type(schema, text, known)


def _filled_by_type(schema: Mapping[str, Any], text: str, known: Mapping[str, Any]) -> JsonValue:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    value: JsonValue = text[: schema.get("maxLength", len(text))]
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties") or {}
            value = {name: _filled(each, text, known) for name, each in properties.items()}
        case "array":
            count = max(1, schema.get("minItems", 1))
            value = [_filled(schema.get("items") or {}, text, known) for _ in range(count)]
        case "integer" | "number":
            value = _number(schema) if kind == "number" else int(_number(schema))
        case "boolean":
            value = True
        case "null":
            value = None
        case _:
            pass
    return value


def _number(schema: Mapping[str, Any]) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        return low
    return min(1.0, high) if high is not None else 1.0
