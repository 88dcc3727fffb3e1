"""Without a key nothing answers: each route of the table is tried as a stranger would try it."""

import dataclasses
import re
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from activities.access import repository as access
from activities.access.keys import new_secret
from activities.provider.webhooks import PATH as WEBHOOKS
from starter.api.app import create_app
from starter.api.bodies import BATCHES, UPLOADS, WITH_FILES
from starter.api.entrance import OPEN, is_guarded
from starter.api.keyring import Keyring
from starter.api.rates import Rates
from starter.api.serving import listener_at, served
from tests.starter.api.conftest import Api
from tests.starter.api.holders import Holder, a_holder, owners_pool

PROBLEM = "application/problem+json"
ANSWER_STRANGERS = (
    *("/livez", "/readyz", f"{WEBHOOKS}/", "/v1/media/"),
    *("/sign-in", "/sign-out", "/static"),
)
"""Beginnings: health, what brings its own proof, the way into a session and out of it."""
STRANGE_PATHS = ("/v1/", "/v1/nothing", "/v1/x/%2E%2E/%2E%2E/livez", "/v1/media", "/v1/%00")


class Gate(NamedTuple):
    """An API whose limits nobody meets here."""

    app: FastAPI
    origin: str
    holder: Holder
    revoked: Holder


@pytest.fixture(scope="module")
async def gate(api: Api) -> AsyncIterator[Gate]:
    async with owners_pool(api.stack) as pool:
        holder, revoked = await a_holder(pool), await a_holder(pool)
        await access.revoke(pool, revoked.key.key_id)
    rates = Rates(attempts_per_minute=6_000_000)
    app = create_app(dataclasses.replace(api.parts, keyring=Keyring(), rates=rates))
    with listener_at("127.0.0.1", 0) as listener:
        async with served(app, listener) as origin:
            yield Gate(app, origin, holder, revoked)


def routes_of(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Every method and path of the table, with something for each of its parameters."""
    for route in iter_route_contexts(app.routes):
        assert route.path is not None, f"{route}: a route without a path"
        path = re.sub(r"\{[^}]*\}", "x", route.path)
        for method in sorted(route.methods or {"GET"}):
            yield method, path


async def test_each_route_refuses_a_stranger_a_wrong_key_and_a_revoked_one(
    api: Api, gate: Gate
) -> None:
    guarded = [each for each in routes_of(gate.app) if not each[1].startswith(ANSWER_STRANGERS)]
    answered: list[tuple[str, str, str, int]] = []

    for method, path in guarded:
        for who, headers in {
            "nobody": {},
            "a user alone": {"Stillmotion-User": "ann"},
            "a wrong key": {"Authorization": f"Bearer {new_secret()}", "Stillmotion-User": "ann"},
            "a revoked key": gate.revoked.headers(),
        }.items():
            reply = await api.http.request(method, gate.origin + path, headers=headers)
            is_told = path.startswith("/v1/") is (reply.headers.get("content-type") == PROBLEM)
            if reply.status_code != 401 or not is_told:
                answered.append((method, path, who, reply.status_code))

    assert ("GET", "/v1/openapi.json") in guarded
    assert answered == []


async def test_a_stranger_does_not_learn_which_paths_there_are(api: Api, gate: Gate) -> None:
    replies = [await api.http.get(gate.origin + path) for path in STRANGE_PATHS]
    method = await api.http.request("BREW", f"{gate.origin}/v1/openapi.json")

    assert {reply.status_code for reply in (*replies, method)} == {401}


async def test_a_caller_is_told_which_paths_there_are_not(api: Api, gate: Gate) -> None:
    headers = gate.holder.headers()

    missing = await api.http.get(f"{gate.origin}/v1/nothing", headers=headers)
    document = await api.http.get(f"{gate.origin}/v1/openapi.json", headers=headers)
    method = await api.http.request("BREW", f"{gate.origin}/v1/openapi.json", headers=headers)

    assert [reply.status_code for reply in (missing, document, method)] == [404, 200, 405]
    assert document.json()["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


async def test_nothing_of_a_strangers_body_is_read(api: Api, gate: Gate) -> None:
    pieces: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(1000):
            pieces.append(bytes(65_536))
            yield pieces[-1]

    url = f"{gate.origin}/v1/generations"
    try:
        status = (await api.http.post(url, content=body())).status_code
    except (httpx.WriteError, httpx.ReadError):
        # The connection was closed while it wrote on.
        status = 401

    assert status == 401
    # What fits into the buffers of the sockets on the way.
    assert len(pieces) < 300


def test_only_these_paths_below_v1_are_open() -> None:
    assert [path for path in OPEN if not path.startswith(ANSWER_STRANGERS)] == []
    assert not is_guarded("/v1/media/token")
    assert is_guarded("/v1/mediatoken")
    assert is_guarded("/v1/provider/webhooks")


async def test_the_paths_that_have_limits_of_their_own_are_routes(gate: Gate) -> None:
    paths = {path for method, path in routes_of(gate.app) if method == "POST"}

    assert paths >= {BATCHES, UPLOADS, *WITH_FILES}


async def test_a_database_that_is_away_is_told_as_such_on_the_way_in(api: Api, gate: Gate) -> None:
    async with owners_pool(api.stack) as pool:
        parts = dataclasses.replace(api.parts, pool=pool, keyring=Keyring())
    with listener_at("127.0.0.1", 0) as listener:
        async with served(create_app(parts), listener) as origin:
            reply = await api.http.get(f"{origin}/v1/openapi.json", headers=gate.holder.headers())

    assert (reply.status_code, reply.headers["content-type"]) == (503, PROBLEM)
