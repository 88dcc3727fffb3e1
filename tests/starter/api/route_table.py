"""The application's route table, as tests of access read it: what a route names, whom it asks for.

Whoever may do what is tested for each route that there is, so that a new one is tested as well.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

from starter.api.callers import caller_of
from starter.api.events import EventStream
from starter.api.messages import MEDIA_TYPE

_IN_PATH = re.compile(r"\{(\w+)(?::\w+)?\}")


class Entry(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    """With its parameters in braces, without their converters."""
    beside: frozenset[str]
    """Parameters in the query and in headers."""
    finds_caller: bool
    """Whether it asks who is there."""
    is_foreign: bool
    """Whether it is no route of ours, so that it can't ask: FastAPI's own, or a folder of files."""
    is_endless: bool
    """Whether it answers by a stream of events."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def in_path(self) -> tuple[str, ...]:
        """Parameters in the path."""
        return tuple(_IN_PATH.findall(self.path))

    def at(self, *values: str) -> str:
        """The path, with these in place of its parameters."""
        return self.path.format_map(dict(zip(self.in_path, values, strict=True)))


async def reply_to(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    headers: Mapping[str, str],
    **given: Any,
) -> httpx.Response:
    """A reply; of a stream of events its beginning alone, since that has no end."""
    async with http.stream(method, url, headers=headers, **given) as reply:
        if reply.headers.get("content-type", "").startswith(MEDIA_TYPE):
            return httpx.Response(reply.status_code, headers=reply.headers)
        await reply.aread()
        return reply


def table_of(app: FastAPI) -> list[Entry]:
    """Every method of every path, of the API and of the pages."""
    return list(_entries(app))


def _entries(app: FastAPI) -> Iterator[Entry]:
    for route in iter_route_contexts(app.routes):
        assert route.path is not None, f"{route}: a route without a path"
        path = _IN_PATH.sub(r"{\1}", route.path)
        dependant = getattr(route, "dependant", None)
        needed = list(_needed(dependant)) if isinstance(dependant, Dependant) else []
        beside = frozenset(name for each in needed for name in _beside(each))
        finds_caller = any(each.call is caller_of for each in needed)
        is_endless = getattr(route, "response_class", None) is EventStream
        # A folder of files has no methods.
        for method in sorted(route.methods or {"GET"}):
            yield Entry(method, path, beside, finds_caller, not needed, is_endless)


def _needed(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for each in dependant.dependencies:
        yield from _needed(each)


def _beside(dependant: Dependant) -> Iterator[str]:
    for parameter in (*dependant.query_params, *dependant.header_params, *dependant.cookie_params):
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (field.alias or name for name, field in model.model_fields.items())
        else:
            yield parameter.alias
