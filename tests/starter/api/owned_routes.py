"""What each parameter of a route names, and whose that is: what the tests of owners go by.

Nobody can tell that from a route itself. So a route with a parameter that stands in none of these
tables fails `test_api_owners`, until somebody has said it here.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx

from starter.api.cursors import encode
from starter.api.sessions import READS
from tests.starter.api.belongings import NOBODYS, Belongings
from tests.starter.api.route_table import Entry

OWNED: Mapping[str, tuple[str, Callable[[Belongings], Iterable[str]]]] = {
    "generation_id": ("gen_", lambda things: things.generations),
    "batch_id": ("bat_", lambda things: things.batches),
    "asset_id": ("ast_", lambda things: things.assets),
}
"""Parameters in a path that name what is somebody's: how such an id begins, and the owner's."""

PROVED = {
    "POST /v1/provider/webhooks/{generation_id}/{token}",
    "GET /v1/media/{token}",
    "HEAD /v1/media/{token}",
}
"""Whose path holds its own proof: `test_api_webhooks` and `test_api_links` try false ones."""

NAMING: Mapping[str, Callable[[str], str]] = {
    "cursor": encode,
    "like": str,
    "again": str,
    "q": str,
    "tag": str,
}
"""Parameters in a query that name something, and how they write it."""

PLAIN = {
    *("status", "operation", "source", "model", "role", "favorite", "download"),
    *("since", "until", "days", "limit"),
    # The number of an event; `test_a_stream_tells_nothing_of_the_owners` tries the owner's.
    *("after", "Last-Event-ID"),
    # Who asks. A key of a user's names that user's own things.
    *("Stillmotion-User", "Idempotency-Key"),
}
"""Parameters that name nothing of anybody's, or are tried by a test of their own."""

BODIES: Mapping[str, Any] = {
    "POST /v1/generations/{generation_id}/cancel": None,
    "POST /v1/generations/{generation_id}/resume": None,
    "POST /v1/generations/{generation_id}/resolve": {"decision": "give_up"},
    "POST /v1/batches/{batch_id}/cancel": None,
    "PATCH /v1/assets/{asset_id}": {"title": "Mine", "favorite": True},
    "DELETE /v1/assets/{asset_id}": None,
    "POST /v1/assets/{asset_id}/links": {"file": "content"},
}
"""What each route that changes something is sent, so that nothing else than the owner refuses."""

STARTING = ("POST /v1/generations", "POST /v1/estimates", "POST /v1/batches")
"""Bodies that name media."""

NAMELESS = {"POST /v1/uploads", "POST /sign-in", "POST /sign-out"}
"""Bodies that name nothing."""

EVERY_TIME = {"date", "x-request-id", "ratelimit-remaining", "ratelimit-reset"}
"""Headers that differ between two replies to the same request."""

_AS_OF = re.compile(r'data-as-of="[^"]*"')
"""When the gallery was read."""


def untold(table: Iterable[Entry]) -> list[str]:
    """What the tables above don't say of these routes, as sentences."""
    told: list[str] = []
    for entry in table:
        if str(entry) not in PROVED:
            told += [
                f"{entry}: what does `{name}` name? Add it to OWNED, with the owner's; or the"
                " route to PROVED, if its path holds its own proof."
                for name in entry.in_path
                if name not in OWNED
            ]
        told += [
            f"{entry}: what does `{name}` name? Add it to NAMING, if anything of anybody's;"
            " else to PLAIN."
            for name in sorted(entry.beside - NAMING.keys() - PLAIN)
        ]
        if entry.method in READS or str(entry) in {*BODIES, *STARTING, *NAMELESS, *PROVED}:
            continue
        told.append(
            f"{entry}: what does its body name? Add it to BODIES, with one that is taken; or to"
            " STARTING or NAMELESS."
        )
    return told


def owned_routes(table: Iterable[Entry]) -> list[Entry]:
    """Those whose path names what is somebody's."""
    return [each for each in table if each.in_path and str(each) not in PROVED]


def paths_to(entry: Entry, things: Belongings) -> list[str]:
    """A route's path to each of the owner's things."""
    owned = [OWNED[name][1](things) for name in entry.in_path]
    return [entry.at(*ids) for ids in itertools.product(*owned)]


def cut_paths_to(entry: Entry, things: Belongings) -> list[str]:
    """The same by beginnings of the ids, which name nothing."""
    owned = [[each[:-1] for each in OWNED[name][1](things)] for name in entry.in_path]
    return [entry.at(*ids) for ids in itertools.product(*owned)]


def path_to_nothing(entry: Entry) -> str:
    """A route's path to what isn't there."""
    return entry.at(*(OWNED[name][0] + NOBODYS for name in entry.in_path))


def like_nobodys(text: str) -> str:
    """An id of the same kind as another one, that nothing has."""
    return f"{text[:4]}{NOBODYS}"


def seen(reply: httpx.Response, *named: str) -> tuple[int, dict[str, str], str]:
    """All that a reply tells, without what differs each time and what was asked for."""
    headers = {name: value for name, value in reply.headers.items() if name not in EVERY_TIME}
    text = _AS_OF.sub("", reply.text)
    for each in named:
        text = text.replace(each, "…")
    return reply.status_code, headers, text
