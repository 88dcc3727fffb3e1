"""What is a user's is there for that user alone: tried at each route that the application has.

`owned_routes` says what each parameter of a route names. A route with another one fails here, until
somebody has said of it whose that is. What bodies name is in `test_api_owners_bodies`.
"""

import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from activities.database.pool import Pool
from starter.api.app import create_app
from tests.starter.api.belongings import (
    OUTSIDERS,
    Belongings,
    Outsider,
    belongings_of,
    file_something,
    outsiders_of,
    state_of,
)
from tests.starter.api.conftest import Api
from tests.starter.api.followers import Listening, asked, begun
from tests.starter.api.holders import owners_pool
from tests.starter.api.owned_routes import (
    BODIES,
    NAMELESS,
    NAMING,
    PROVED,
    STARTING,
    cut_paths_to,
    like_nobodys,
    owned_routes,
    path_to_nothing,
    paths_to,
    seen,
    untold,
)
from tests.starter.api.products import Product, a_product, a_user
from tests.starter.api.route_table import Entry, reply_to, table_of


@dataclass(frozen=True)
class House:
    """An owner, and everybody else."""

    api: Api
    pool: Pool
    table: list[Entry]
    product: Product
    owner: Belongings
    outsiders: Mapping[str, Outsider]

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], **given: Any
    ) -> httpx.Response:
        return await reply_to(self.api.http, method, self.api.origin + path, headers, **given)

    async def try_at(self, entry: Entry, path: str, headers: Mapping[str, str]) -> httpx.Response:
        """A request that is refused for nothing but whose the thing is."""
        body = BODIES.get(str(entry))
        given = {} if body is None else {"json": body}
        return await self.ask(entry.method, path, headers, **given)


@pytest.fixture(scope="module")
async def house(api: Api) -> AsyncIterator[House]:
    user = a_user()
    async with (
        a_product(api) as product,
        a_product(api, sources=("podcast_maker",)) as other,
        owners_pool(api.stack) as pool,
    ):
        outsiders = await outsiders_of(api, pool, product, other, user)
        # Older than all of the owner's: a list that goes on after one of those has it.
        for outsider in outsiders.values():
            await file_something(api, pool, outsider)
        things = await belongings_of(api, product, user)
        yield House(api, pool, table_of(create_app(api.parts)), product, things, outsiders)


@pytest.fixture
def outsider(house: House, request: pytest.FixtureRequest) -> Outsider:
    return house.outsiders[request.param]


each_outsider = pytest.mark.parametrize("outsider", OUTSIDERS, indirect=True)


async def test_the_tables_say_of_each_route_what_it_names(house: House) -> None:
    known = {str(entry) for entry in house.table}

    assert untold(house.table) == []
    assert {*PROVED, *BODIES, *STARTING, *NAMELESS} - known == set()


async def test_a_route_that_the_tables_do_not_know_is_told_with_what_to_add(api: Api) -> None:
    app = create_app(api.parts)

    async def film(film_id: str, reel: str) -> None:
        del film_id, reel

    app.add_api_route("/v1/films/{film_id:path}", film, methods=["PUT"])

    film_id, reel, body = untold(table_of(app))
    assert film_id.startswith("PUT /v1/films/{film_id}: what does `film_id` name? Add it to OWNED")
    assert reel.startswith("PUT /v1/films/{film_id}: what does `reel` name? Add it to NAMING")
    assert body.startswith("PUT /v1/films/{film_id}: what does its body name? Add it to BODIES")


@each_outsider
async def test_what_is_the_owners_looks_like_what_is_not_there(
    house: House, outsider: Outsider
) -> None:
    before, differ = await state_of(house.api, house.owner), list[tuple[str, str]]()

    for entry in owned_routes(house.table):
        nothing = await house.try_at(entry, path_to_nothing(entry), outsider.headers)
        for path in paths_to(entry, house.owner) + cut_paths_to(entry, house.owner):
            reply = await house.try_at(entry, path, outsider.headers)
            if nothing.status_code != 404 or seen(reply) != seen(nothing):
                differ.append((f"{entry.method} {path}", reply.text))

    assert differ == []
    assert await state_of(house.api, house.owner) == before


async def test_each_of_these_routes_finds_what_is_the_owners_and_no_beginning_of_it(
    house: House,
) -> None:
    things = await belongings_of(house.api, house.product, a_user())
    headers = house.product.holder.headers(things.user)
    before, missing, found = await state_of(house.api, things), list[str](), list[str]()

    for entry in sorted(owned_routes(house.table), key=lambda each: each.method == "DELETE"):
        for path in cut_paths_to(entry, things):
            if (await house.try_at(entry, path, headers)).status_code != 404:
                found.append(f"{entry.method} {path}")
        replies = [await house.try_at(entry, path, headers) for path in paths_to(entry, things)]
        if {reply.status_code for reply in replies} == {404}:
            missing.append(str(entry))

    after = await state_of(house.api, things)
    assert (missing, found) == ([], [])
    # It is seen where something changes.
    assert {name for name in before if before[name] != after[name]} == {"rows", "told", "files"}


@each_outsider
async def test_no_list_no_search_and_no_page_holds_anything_of_the_owners(
    house: House, outsider: Outsider
) -> None:
    pages = [
        each
        for each in house.table
        if each.method == "GET" and each.finds_caller and not (each.in_path or each.is_endless)
    ]
    told, answered = list[tuple[str, list[str]]](), set[str]()

    for entry in pages:
        queries = ["", f"?user_id={house.owner.user}", f"?user={house.owner.user}"]
        queries += [
            f"?source={each}" for each in ("api", "story_writer") if "source" in entry.beside
        ]
        for query in queries:
            reply = await house.ask("GET", entry.path + query, outsider.headers)
            if reply.status_code == 200:
                answered.add(entry.path)
            if found := house.owner.found_in(reply.text, outsider.user):
                told.append((f"{entry}{query}", found))

    assert told == []
    assert answered == {each.path for each in pages}


@each_outsider
async def test_a_query_that_names_what_is_the_owners_finds_what_any_other_word_does(
    house: House, outsider: Outsider
) -> None:
    names = (*house.owner.ids, house.owner.word)
    differ, tried = list[tuple[str, str, str]](), set[str]()

    for entry in house.table:
        # A search goes on after a cursor by a statement of its own: these words find something.
        searching = {"q": "calm sea"} if entry.beside >= {"q", "cursor"} else {}
        for name in sorted(entry.beside & NAMING.keys()):
            tried.add(name)
            for thing, more in itertools.product(names, ({}, searching)):
                ours, other = NAMING[name](thing), NAMING[name](like_nobodys(thing))
                replies = [
                    await house.ask(
                        "GET", entry.path, outsider.headers, params={**more, name: value}
                    )
                    for value in (ours, other)
                ]
                if seen(replies[0], ours)[::2] != seen(replies[1], other)[::2]:
                    differ.append((str(entry), name, thing))

    assert differ == []
    assert tried == NAMING.keys()


@each_outsider
async def test_a_stream_tells_nothing_of_the_owners(house: House, outsider: Outsider) -> None:
    streams = [each for each in house.table if each.is_endless and not each.in_path]
    last = await house.pool.fetchval(
        "SELECT max(event_id) FROM events WHERE generation_id = $1", house.owner.generations[1]
    )
    heard = list[str]()

    for entry in streams:
        for more in ({}, {"Last-Event-ID": str(last - 1)}):
            sent = {**outsider.headers, **more}
            url = house.api.origin + entry.path
            async with house.api.http.stream("GET", url, headers=sent) as reply:
                stream = Listening(reply)
                # The owner's, while it is open; then what ends the listening.
                await begun(house.pool, house.owner.user)
                own = await asked(house.pool, outsider.user, outsider.source.value)
                while (event := await stream.heard()).data["generation_id"] != own:
                    heard.append(event.data["generation_id"])
                await stream.close()

    those = await house.pool.fetch(
        "SELECT user_id, source FROM generations WHERE generation_id = ANY ($1)", heard
    )
    assert {tuple(each) for each in those} <= {(outsider.user, outsider.source)}
    assert [str(each) for each in streams] == ["GET /v1/events"]
