"""Batches over HTTP: one key for many, each mistake told by its item's position."""

import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.starter.api.conftest import Api
from tests.starter.api.products import Product, a_product, a_user, problem_in
from tests.starter.conftest import CHELSEA, NOTHING
from workflows.contracts.ids import batch_id_for

UNKNOWN = f"bat_{'a' * 26}"
NO_MEDIA = {"media_id": "med_" + "a" * 26}


@pytest.fixture(scope="module")
async def other_product(api: Api) -> AsyncIterator[Product]:
    async with a_product(api, sources=("podcast_maker",)) as one:
        yield one


async def scenes(product: Product, user: str, *titles: str, **given: Any) -> dict[str, Any]:
    """A batch of scenes, with one picture for all."""
    image = await product.uploaded(user, CHELSEA)
    items = [
        {"operation": "scene-animation", "image": image, "scene": {"title": title}}
        for title in titles
    ]
    return {"items": items, **given}


async def batches_of(product: Product, user: str) -> int:
    return await product.stack.database.fetchval(
        "SELECT count(*) FROM batches WHERE user_id = $1", user
    )


async def test_a_batch_is_accepted_and_found_again_with_its_items(product: Product) -> None:
    user = a_user()
    batch = await scenes(product, user, "The lighthouse", "The stairs", max_parallel=2)

    reply = await product.post("/v1/batches", user, json=batch)

    started = reply.json()
    path = f"/v1/batches/{started['batch_id']}"
    found = (await product.get(reply.headers["location"], user)).json()
    assert (reply.status_code, reply.headers["location"]) == (202, path)
    assert (started["status"], started["size"], started["max_parallel"]) == ("accepted", 2, 2)
    assert (started["source"], started["links"]) == ("api", {"self": path})
    assert [item["title"] for item in found["items"]] == ["The lighthouse", "The stairs"]
    assert [item["position"] for item in found["items"]] == [1, 2]
    assert {"file_path", "url"}.isdisjoint(found["items"][0])


async def test_the_same_batch_again_is_the_first_one(product: Product) -> None:
    user, key = a_user(), secrets.token_hex(8)
    batch = await scenes(product, user, "The lighthouse")
    header = {"Idempotency-Key": key}

    first = await product.post("/v1/batches", user, headers=header, json=batch)
    again = await product.post("/v1/batches", user, headers=header, json=batch)

    assert [each.status_code for each in (first, again)] == [202, 200]
    assert {each.json()["batch_id"] for each in (first, again)} == {batch_id_for(user, key)}


async def test_a_key_that_was_used_is_refused_for_other_items(product: Product) -> None:
    user, header = a_user(), {"Idempotency-Key": secrets.token_hex(8)}
    one = await scenes(product, user, "The lighthouse")
    await product.post("/v1/batches", user, headers=header, json=one)

    other = await scenes(product, user, "The stairs")
    refused = await product.post("/v1/batches", user, headers=header, json=other)

    assert (refused.status_code, problem_in(refused)["kind"]) == (422, "key_reused")


ITEM: dict[str, Any] = {
    "operation": "scene-animation",
    "image": NO_MEDIA,
    "scene": {"title": "The lighthouse"},
}
WRONG_ITEMS: dict[str, tuple[Any, str]] = {
    "no object": (["scene"], "item 2: no object"),
    "no operation": ({**ITEM, "operation": None}, "item 2: operation: missing"),
    "unknown field": ({**ITEM, "fps": 24}, "item 2: fps: it is not taken"),
    "a user": ({**ITEM, "user_id": "bob"}, "item 2: user_id"),
    "another source": ({**ITEM, "source": "story_writer"}, "item 2: source: it is the batch's"),
    "a path": ({**ITEM, "image": "/etc/hostname"}, "item 2: image: no reference"),
    "a scene's path": (
        {**ITEM, "scene": {"media_id": "/etc/hostname"}},
        "item 2: scene: no reference",
    ),
    "nobody's media": (ITEM, "item 2: image: med_"),
    "another duration": ({**ITEM, "duration_s": 7}, "item 2: duration_s: 7"),
}


@pytest.mark.parametrize(("wrong", "told"), WRONG_ITEMS.values(), ids=WRONG_ITEMS)
async def test_a_wrong_item_is_told_by_its_position_and_nothing_is_recorded(
    product: Product, wrong: Any, told: str
) -> None:
    user = a_user()
    batch = await scenes(product, user, "The lighthouse")
    batch["items"].append(wrong)

    reply = await product.post("/v1/batches", user, json=batch)

    document = problem_in(reply)
    assert (reply.status_code, document["position"]) == (422, 2)
    assert document["detail"].startswith(told)
    assert await product.stored(user) == {**NOTHING, "media": 1}
    assert await batches_of(product, user) == 0


@pytest.mark.parametrize(
    ("wrong", "status", "told"),
    [
        ({"items": []}, 422, "items"),
        ({"items": None}, 422, "items: missing"),
        ({"items": "all"}, 422, "items"),
        ({"items": [ITEM] * 501}, 422, "items"),
        ({"items": [ITEM], "max_parallel": 0}, 422, "max_parallel: 0"),
        ({"items": [ITEM], "max_parallel": 101}, 422, "max_parallel: 101"),
        ({"items": [ITEM], "max_cost_usd_micros": -1}, 422, "max_cost_usd_micros: -1"),
        ({"items": [ITEM], "user_id": "bob"}, 422, "Stillmotion-User"),
        ({"items": [ITEM], "title": "all"}, 422, "title: it is not taken"),
        ({"items": [ITEM], "\ud800": 1}, 422, "\\ud800: it is not taken"),
        ({"items": [ITEM], "source": "podcast_maker"}, 403, "source: 'podcast_maker'"),
    ],
)
async def test_what_is_wrong_with_the_whole_is_told_by_its_field(
    product: Product, wrong: dict[str, Any], status: int, told: str
) -> None:
    user = a_user()

    reply = await product.post(
        "/v1/batches",
        user,
        headers={"Content-Type": "application/json"},
        content=json.dumps(wrong),
    )

    assert reply.status_code == status
    assert told in problem_in(reply)["detail"]
    assert await product.stored(user) == NOTHING


async def test_a_batch_of_another_media_type_is_refused(product: Product) -> None:
    reply = await product.post("/v1/batches", a_user(), files={"items": b"[]"})

    assert (reply.status_code, problem_in(reply)["kind"]) == (415, "unsupported_media_type")


async def test_a_list_of_batches_has_the_newest_first_in_pages(
    product: Product, other_product: Product
) -> None:
    user = a_user()
    ids = [
        (await product.post("/v1/batches", user, json=await scenes(product, user, title))).json()
        for title in ("one", "two", "three")
    ]
    newest_first = [each["batch_id"] for each in reversed(ids)]

    first = (await product.get("/v1/batches?limit=2", user)).json()
    cursor = first["next_cursor"]
    second = (await product.get(f"/v1/batches?limit=2&cursor={cursor}", user)).json()

    assert [each["batch_id"] for each in first["items"]] == newest_first[:2]
    assert [each["batch_id"] for each in second["items"]] == newest_first[2:]
    assert second["next_cursor"] is None
    empty = {"items": [], "next_cursor": None}
    assert (await other_product.get("/v1/batches", user)).json() == empty
    assert (await product.get(f"/v1/batches?cursor={cursor}", a_user())).json() == empty


async def test_a_cancel_is_accepted_and_repeating_it_is_no_error(product: Product) -> None:
    user = a_user()
    batch = await scenes(product, user, "The lighthouse")
    path = (await product.post("/v1/batches", user, json=batch)).json()["links"]["self"]

    replies = [await product.post(f"{path}/cancel", user) for _ in range(2)]
    await product.stack.database.execute(
        "UPDATE batches SET state = 'cancelled' WHERE user_id = $1", user
    )
    replies.append(await product.post(f"{path}/cancel", user))

    assert [reply.status_code for reply in replies] == [202, 202, 200]
    assert replies[-1].json()["status"] == "cancelled"


@pytest.mark.parametrize(("method", "step"), [("GET", ""), ("POST", "/cancel")])
async def test_what_is_not_the_callers_is_not_there(
    product: Product, other_product: Product, method: str, step: str
) -> None:
    owner = a_user()
    batch = await scenes(product, owner, "The lighthouse")
    path = (await product.post("/v1/batches", owner, json=batch)).json()["links"]["self"]

    replies = [
        await product.ask(method, f"/v1/batches/{UNKNOWN}{step}", owner),
        await product.ask(method, path + step, a_user()),
        await other_product.ask(method, path + step, owner),
        await product.ask(method, path[:-1] + step, owner),
        await product.ask(method, f"/v1/batches/%00{step}", owner),
    ]

    assert {reply.status_code for reply in replies} == {404}
    assert len({reply.text for reply in replies}) == 1
    assert problem_in(replies[0])["kind"] == "unknown_batch"
