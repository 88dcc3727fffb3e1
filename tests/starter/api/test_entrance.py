"""Without a key nothing answers: each route of the table is tried as a stranger would try it."""

import dataclasses
import time
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

import httpx
import pytest
from fastapi import FastAPI

from activities.access import repository as access
from activities.access.keys import new_secret
from starter.api.app import create_app
from starter.api.bodies import BATCHES, UPLOADS, WITH_FILES
from starter.api.entrance import OPEN, is_guarded
from starter.api.keyring import Keyring
from starter.api.rates import Rates
from starter.api.serving import listener_at, served
from starter.api.sessions import AGE_S_MAX, cookie_name
from tests.starter.api.conftest import Api
from tests.starter.api.holders import Browser, Holder, a_browser, a_holder, owners_pool
from tests.starter.api.route_table import Entry, reply_to, table_of

PROBLEM = "application/problem+json"
ANSWER_STRANGERS = {
    *("GET /livez", "GET /readyz"),
    "POST /v1/provider/webhooks/{generation_id}/{token}",
    *("GET /v1/media/{token}", "HEAD /v1/media/{token}"),
    *("GET /sign-in", "POST /sign-in", "POST /sign-out", "GET /static"),
}
"""Health, what brings its own proof, the way into a session and out of it."""
STRANGE_PATHS = ("/v1/", "/v1/nothing", "/v1/x/%2E%2E/%2E%2E/livez", "/v1/media", "/v1/%00")


class Gate(NamedTuple):
    """An API whose limits nobody meets here."""

    app: FastAPI
    origin: str
    holder: Holder
    strangers: dict[str, dict[str, str]]
    """What each of those sends who may not come in."""


@pytest.fixture(scope="module")
async def gate(api: Api) -> AsyncIterator[Gate]:
    rates = Rates(attempts_per_minute=6_000_000)
    app = create_app(dataclasses.replace(api.parts, keyring=Keyring(), rates=rates))
    async with owners_pool(api.stack) as pool:
        holder, revoked, ended = [await a_holder(pool) for _ in range(3)]
    with listener_at("127.0.0.1", 0) as listener:
        async with served(app, listener) as origin:
            strangers = {
                "nobody": {},
                "a user alone": {"Stillmotion-User": "ann"},
                "no secret": {"Authorization": "Bearer x", "Stillmotion-User": "ann"},
                "a wrong key": Holder(holder.key, new_secret()).headers(),
                "a revoked key": revoked.headers(),
                "an ended key": ended.headers(),
                **sessions_of_nobody(api, origin, holder, revoked),
            }
            async with owners_pool(api.stack) as pool:
                await access.revoke(pool, revoked.key.key_id)
                await access.rotate(pool, ended.key.key_id, keep_old_s=0)
            yield Gate(app, origin, holder, strangers)


def sessions_of_nobody(
    api: Api, origin: str, holder: Holder, revoked: Holder
) -> dict[str, dict[str, str]]:
    """Cookies that let nobody in, with all else that our own page would send."""
    key_id, elsewhere = holder.key.key_id, dataclasses.replace(api.parts, hash_key="another")
    began_s = time.time() - AGE_S_MAX - 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: began_s)
        over = a_browser(api.parts, key_id, "ann")
    _, _, signed = a_browser(elsewhere, key_id, "ann").cookie.partition("=")
    forged = Browser(f"{cookie_name(api.hash_key)}={signed}", "")
    return {
        "a session that is over": over.headers(origin),
        "a session signed elsewhere": forged.headers(origin),
        "a revoked key's session": a_browser(api.parts, revoked.key.key_id, "ann").headers(origin),
    }


def without_caller(table: Iterable[Entry]) -> list[str]:
    """The routes that find no caller, and are not known to need none, as sentences."""
    return [
        f"{entry}: who may ask this? Give it a `caller: CallerOf`; or add it to ANSWER_STRANGERS,"
        " if it needs no key."
        for entry in table
        # What isn't ours, such as the OpenAPI document, stands behind the entrance.
        if not (entry.finds_caller or (entry.is_foreign and is_guarded(entry.path)))
        and str(entry) not in ANSWER_STRANGERS
    ]


def test_each_route_but_a_few_finds_its_caller(gate: Gate) -> None:
    table = table_of(gate.app)

    assert without_caller(table) == []
    assert {str(entry) for entry in table} >= ANSWER_STRANGERS


async def test_a_route_that_forgets_its_caller_is_told_with_what_to_add(api: Api) -> None:
    app = create_app(api.parts)

    async def films() -> None:
        return None

    app.add_api_route("/films", films)
    app.add_api_route("/v1/films", films)

    told = without_caller(table_of(app))
    assert [each.partition(": who may ask this?")[0] for each in told] == [
        "GET /films",
        "GET /v1/films",
    ]


async def test_each_route_refuses_who_is_nobody_or_is_nobody_any_more(api: Api, gate: Gate) -> None:
    guarded = [each for each in table_of(gate.app) if str(each) not in ANSWER_STRANGERS]
    answered: list[tuple[str, str, int]] = []

    for entry in guarded:
        path = entry.at(*("x" for _ in entry.in_path))
        for who, headers in gate.strangers.items():
            reply = await reply_to(api.http, entry.method, gate.origin + path, headers)
            is_told = path.startswith("/v1/") is (reply.headers.get("content-type") == PROBLEM)
            if reply.status_code != 401 or not is_told:
                answered.append((str(entry), who, reply.status_code))

    assert "GET /v1/openapi.json" in {str(entry) for entry in guarded}
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
    open_routes = {route.partition(" ")[2] for route in ANSWER_STRANGERS}

    assert [path for path in OPEN if not any(each.startswith(path) for each in open_routes)] == []
    assert not is_guarded("/v1/media/token")
    assert is_guarded("/v1/mediatoken")
    assert is_guarded("/v1/provider/webhooks")


async def test_the_paths_that_have_limits_of_their_own_are_routes(gate: Gate) -> None:
    paths = {entry.path for entry in table_of(gate.app) if entry.method == "POST"}

    assert paths >= {BATCHES, UPLOADS, *WITH_FILES}


async def test_a_database_that_is_away_is_told_as_such_on_the_way_in(api: Api, gate: Gate) -> None:
    async with owners_pool(api.stack) as pool:
        parts = dataclasses.replace(api.parts, pool=pool, keyring=Keyring())
    with listener_at("127.0.0.1", 0) as listener:
        async with served(create_app(parts), listener) as origin:
            reply = await api.http.get(f"{origin}/v1/openapi.json", headers=gate.holder.headers())

    assert (reply.status_code, reply.headers["content-type"]) == (503, PROBLEM)
