"""The asset library over HTTP: lists, edits, deletions, and whose business they are."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from starter.api.cursors import encode
from tests.starter.api.conftest import Api
from tests.starter.api.products import Product, a_user, problem_in
from tests.starter.api.shelves import filed

ASSETS = "/v1/assets"
UNKNOWN = f"{ASSETS}/ast_{'a' * 26}"


async def ids(product: Product, user: str, query: str = "") -> list[str]:
    reply = await product.get(f"{ASSETS}{query}", user)
    assert reply.status_code == 200, reply.text
    return [each["asset_id"] for each in reply.json()["items"]]


async def test_an_asset_is_told_with_links_in_place_of_paths(api: Api, product: Product) -> None:
    user = a_user()
    video = await filed(api, user)

    told = (await product.get(video.path, user)).json()

    assert (told["asset_id"], told["user_id"]) == (video.asset_id, user)
    assert (told["sha256"], told["file_size_bytes"]) == (video.sha256, 10_240)
    assert (told["title"], told["favorite"]) == ("a calm sea", False)
    assert told["links"] == {
        "self": video.path,
        "content": f"{video.path}/content",
        "poster": f"{video.path}/poster",
        "generation": f"/v1/generations/{video.generation_id}",
    }
    assert {"file_path", "poster_path", "url", "key"}.isdisjoint(told)
    assert await ids(product, user) == [video.asset_id]


async def test_pages_follow_each_other_to_the_last_one(api: Api, product: Product) -> None:
    user = a_user()
    made = [(await filed(api, user)).asset_id for _ in range(5)]

    pages = list[list[str]]()
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await product.get(ASSETS, user, params=query)).json()
        pages.append([each["asset_id"] for each in page["items"]])
        cursor = page["next_cursor"]

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [*itertools.chain(*pages)] == made[::-1]


async def test_a_page_goes_on_where_its_last_asset_was_deleted(api: Api, product: Product) -> None:
    user = a_user()
    first, second = await filed(api, user), await filed(api, user)
    page = (await product.get(f"{ASSETS}?limit=1", user)).json()

    await product.ask("DELETE", second.path, user)

    assert await ids(product, user, f"?cursor={page['next_cursor']}") == [first.asset_id]


async def test_assets_are_found_by_each_filter(api: Api, product: Product) -> None:
    user = a_user()
    story = await filed(api, user, source="story_writer")
    other = await filed(api, user)
    changes = {"title": "The lighthouse", "tags": ["scene_3"], "favorite": True}
    await product.ask("PATCH", story.path, user, json=changes)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat().replace("+", "%2B")

    for query in (
        "?source=story_writer",
        "?q=LIGHTHOUSE",
        "?tag=scene_3",
        "?favorite=true",
        "?q=lighthouse&tag=scene_3&favorite=true&operation=image-to-video",
    ):
        assert await ids(product, user, query) == [story.asset_id], query
    for query in ("?favorite=false", "?source=api"):
        assert await ids(product, user, query) == [other.asset_id], query
    for query in ("?q=submarine", "?operation=talking-avatar", f"?since={tomorrow}"):
        assert await ids(product, user, query) == [], query
    assert len(await ids(product, user, f"?until={tomorrow}")) == 2


@pytest.mark.parametrize(
    "query",
    [
        "?limit=0",
        "?limit=101",
        "?limit=x",
        "?cursor=abc",
        "?cursor=!",
        "?cursor=",
        "?source=nobody",
        "?operation=text-to-video",
        "?since=2026-11-23T10:00:00",
        "?since=0001-01-01T00:00:00%2B14:00",
        "?since=0.5",
        "?until=1795442388",
        "?q=",
        "?q=%00",
        f"?q={'a' * 501}",
        f"?tag={'a' * 61}",
        "?favorite=maybe",
        "?user_id=ann",
        "?colour=blue",
    ],
)
async def test_a_filter_that_is_none_is_refused(product: Product, query: str) -> None:
    reply = await product.get(f"{ASSETS}{query}", a_user())

    assert reply.status_code == 422
    assert problem_in(reply)["kind"] == "invalid_request"


async def test_what_is_given_is_edited_and_the_rest_stays(api: Api, product: Product) -> None:
    user = a_user()
    video = await filed(api, user)

    starred = await product.ask("PATCH", video.path, user, json={"favorite": True})
    named = await product.ask("PATCH", video.path, user, json={"title": " Dusk ", "tags": []})

    assert starred.json()["favorite"] is True
    assert named.json() == (await product.get(video.path, user)).json()
    edited = named.json()
    assert (edited["title"], edited["tags"], edited["favorite"]) == ("Dusk", [], True)
    assert edited["description"].startswith("Image-to-video")


@pytest.mark.parametrize(
    "changes",
    [
        {"title": ""},
        {"title": "a" * 201},
        {"title": "a\u0000b"},
        {"description": "a" * 2001},
        {"tags": ["a" * 61]},
        {"tags": [f"{number}" for number in range(51)]},
        {"tags": "scene_3"},
        {"favorite": 1},
        {"prompt": "another one"},
        {"sha256": "0" * 64},
        [],
    ],
)
async def test_an_edit_that_can_not_be_is_refused_and_changes_nothing(
    api: Api, product: Product, changes: Any
) -> None:
    user = a_user()
    video = await filed(api, user)
    before = (await product.get(video.path, user)).json()

    reply = await product.ask("PATCH", video.path, user, json=changes)

    assert reply.status_code == 422
    assert problem_in(reply)["kind"] == "invalid_request"
    assert (await product.get(video.path, user)).json() == before


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[" * 100_000, b'{"favorite": %s}' % (b"9" * 5000)]
)
async def test_a_body_that_no_json_can_be_read_from_is_refused_as_any_other(
    product: Product, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    reply = await product.ask("PATCH", UNKNOWN, a_user(), headers, content=body)

    assert reply.status_code == 422
    assert problem_in(reply)["kind"] == "invalid_request"


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (UNKNOWN, "DELETE, GET, PATCH"),
        (f"{UNKNOWN}/content", "GET, HEAD"),
        (f"{UNKNOWN}/links", "POST"),
        ("/v1/generations", "GET, POST"),
        ("/v1/generations/a/b/cancel", "POST"),
    ],
)
async def test_another_method_is_told_every_one_that_the_path_takes(
    product: Product, path: str, methods: str
) -> None:
    reply = await product.ask("PUT", path, a_user())

    assert problem_in(reply)["status"] == 405
    assert reply.headers["allow"] == methods


async def test_a_deleted_asset_is_gone_with_its_files(api: Api, product: Product) -> None:
    user = a_user()
    video = await filed(api, user)
    store = api.parts.client.store
    assert video.poster_key is not None

    deleted = await product.ask("DELETE", video.path, user)
    again = await product.ask("DELETE", video.path, user)

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (again.status_code, problem_in(again)["kind"]) == (404, "unknown_asset")
    assert [await store.head(key) for key in (video.key, video.poster_key)] == [None, None]
    assert await ids(product, user) == []
    generation = (await product.get(f"/v1/generations/{video.generation_id}", user)).json()
    assert (generation["asset_id"], generation["links"]["content"]) == (None, None)


REQUESTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", "", {}),
    ("PATCH", "", {"json": {"title": "Mine"}}),
    ("DELETE", "", {}),
    ("GET", "/content", {}),
    ("GET", "/poster", {}),
    ("POST", "/links", {"json": {}}),
    ("POST", "/links", {"json": {"file": "poster"}}),
)


@pytest.mark.parametrize(("method", "tail", "given"), REQUESTS)
async def test_what_is_not_the_callers_looks_like_what_is_not_there(
    api: Api, product: Product, method: str, tail: str, given: dict[str, Any]
) -> None:
    ann, bob = a_user(), a_user()
    bobs = await filed(api, bob)
    podcast = await filed(api, ann, source="podcast_maker")
    anns = await filed(api, ann)
    nothing = await product.ask(method, UNKNOWN + tail, ann, **given)

    replies = [
        await product.ask(method, path + tail, ann, **given)
        for path in (bobs.path, podcast.path, anns.path[:-4])
    ]
    heads = [
        (await product.ask("HEAD", each.path + tail, ann)).status_code
        for each in (bobs, podcast)
        if tail in {"/content", "/poster"}
    ]

    assert nothing.status_code == 404
    assert problem_in(nothing)["kind"] == "unknown_asset"
    assert [problem_in(reply) for reply in replies] == [problem_in(nothing)] * 3
    assert set(heads) <= {404}
    for video, owner in ((bobs, bob), (podcast, ann)):
        asset = await api.client.asset(video.asset_id, user_id=owner)
        assert asset.title == "a calm sea"


async def test_a_list_holds_nothing_of_another_user_or_product(api: Api, product: Product) -> None:
    ann, bob = a_user(), a_user()
    bobs = await filed(api, bob)
    await filed(api, ann, source="podcast_maker")
    page = (await product.get(f"{ASSETS}?limit=1", bob)).json()

    assert await ids(product, ann) == []
    assert await ids(product, ann, "?source=podcast_maker") == []
    assert await ids(product, ann, "?q=calm") == []
    assert page["next_cursor"] is None
    # Bob's asset as a cursor says nothing of bob's either.
    assert await ids(product, ann, f"?cursor={encode(bobs.asset_id)}") == []
