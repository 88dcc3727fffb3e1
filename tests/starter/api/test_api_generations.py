"""Starting, reading and steering generations over HTTP, as a product's backend does it."""

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from starter import handles
from tests.starter.api.conftest import PREDICTION, Api
from tests.starter.api.followers import asked
from tests.starter.api.products import Product, a_product, a_user, problem_in
from tests.starter.columns import nothing_allowed
from tests.starter.conftest import CHELSEA
from workflows.contracts.ids import generation_id_for

UNKNOWN = f"gen_{'a' * 26}"


@pytest.fixture(scope="module")
async def other_product(api: Api) -> AsyncIterator[Product]:
    async with a_product(api, sources=("podcast_maker",)) as one:
        yield one


async def set_stage(product: Product, generation_id: str, stage: str, **columns: str) -> None:
    """Let the records say that a generation is elsewhere than its waiting workflow."""
    names = "".join(f", {name} = ${number}" for number, name in enumerate(columns, start=3))
    await product.stack.database.execute(
        f"UPDATE generations SET stage = $2{names} WHERE generation_id = $1",
        generation_id,
        stage,
        *columns.values(),
    )


async def test_a_start_is_accepted_and_found_again_by_its_location(product: Product) -> None:
    user = a_user()
    wish = await product.wish(user)

    reply = await product.post("/v1/generations", user, json=wish)

    started = reply.json()
    found = await product.get(reply.headers["location"], user)
    path = f"/v1/generations/{started['generation_id']}"
    assert (reply.status_code, reply.headers["location"]) == (202, path)
    assert found.json()["generation_id"] == started["generation_id"]
    assert (started["user_id"], started["source"]) == (user, "api")
    assert (started["status"], started["stage"]) == ("running", "accepted")
    assert started["links"] == {
        "self": path,
        "events": f"{path}/events",
        "content": None,
        "poster": None,
    }
    assert started["progress"]["percent"] == 0
    assert {"file_path", "poster_path", "url"}.isdisjoint(started)


async def test_the_first_of_a_keys_sources_asks_unless_another_is_named(product: Product) -> None:
    user = a_user()

    by_default = await product.started(user)
    named = await product.started(user, source="story_writer")

    assert (by_default["source"], named["source"]) == ("api", "story_writer")


@pytest.mark.parametrize("form", ["{}", '"{}"'], ids=["plain", "quoted"])
async def test_the_same_request_again_is_the_first_generation_and_costs_nothing(
    product: Product, form: str
) -> None:
    user, key = a_user(), secrets.token_hex(8)
    wish = await product.wish(user)
    header = {"Idempotency-Key": form.format(key)}

    first = await product.post("/v1/generations", user, headers=header, json=wish)
    again = await product.post("/v1/generations", user, headers=header, json=wish)
    by_field = await product.post("/v1/generations", user, json={**wish, "idempotency_key": key})

    assert [each.status_code for each in (first, again, by_field)] == [202, 200, 200]
    ids = {each.json()["generation_id"] for each in (first, again, by_field)}
    assert ids == {generation_id_for(user, key)}
    assert again.headers["location"] == first.headers["location"]


async def test_a_key_that_was_used_is_refused_for_another_request(product: Product) -> None:
    user, header = a_user(), {"Idempotency-Key": secrets.token_hex(8)}
    wish = await product.wish(user)
    await product.post("/v1/generations", user, headers=header, json=wish)

    other = {**wish, "prompt": "a wild sea"}
    refused = await product.post("/v1/generations", user, headers=header, json=other)

    told = problem_in(refused)
    assert (refused.status_code, told["kind"]) == (422, "key_reused")
    assert told["type"] == "urn:stillmotion:problem:key_reused"
    assert "Idempotency-Key" in told["hint"]
    assert told["money"] == "Nothing was charged."
    assert (await product.stored(user))["generations"] == 1


@pytest.mark.parametrize(
    ("keys", "field", "told"),
    [
        (["one"], "two", "it differs from the header Idempotency-Key"),
        (["one", "two"], None, "Idempotency-Key: given twice"),
        (['"one'], None, "doesn't end with one"),
        ([""], None, "1 to 200 printable characters"),
        (["k" * 201], None, "1 to 200 printable characters"),
        (["ä"], None, "1 to 200 printable characters"),
    ],
    ids=["differs", "twice", "half a string", "empty", "long", "not ASCII"],
)
async def test_a_key_that_can_not_be_one_is_refused(
    product: Product, keys: list[str], field: str | None, told: str
) -> None:
    user = a_user()
    wish = {**await product.wish(user), "idempotency_key": field}
    headers = [*product.holder.headers(user).items(), *(("Idempotency-Key", key) for key in keys)]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]

    reply = await product.http.post(f"{product.origin}/v1/generations", headers=raw, json=wish)

    assert reply.status_code == 422
    assert told in problem_in(reply)["detail"]
    assert (await product.stored(user))["generations"] == 0


async def test_what_the_plan_does_not_allow_is_refused_at_once(product: Product) -> None:
    user = a_user()
    wish = await product.wish(user)

    async with nothing_allowed(product.stack, user):
        reply = await product.post("/v1/generations", user, json=wish)

    told = problem_in(reply)
    assert (reply.status_code, told["kind"]) == (403, "quota_exceeded")
    assert "GET /v1/usage" in told["hint"]
    assert (await product.stored(user))["generations"] == 0


async def test_a_limit_below_the_quote_is_refused_at_once(product: Product) -> None:
    user = a_user()
    wish = await product.wish(user, max_cost_usd_micros=1)

    reply = await product.post("/v1/generations", user, json=wish)

    told = problem_in(reply)
    assert (reply.status_code, told["kind"]) == (403, "max_cost_exceeded")
    assert "max_cost_usd_micros" in told["hint"]


async def test_a_stored_picture_that_the_model_does_not_take_is_refused_at_once(
    product: Product,
) -> None:
    user = a_user()
    # Too small for WAN.
    wish = await product.wish(user, image=await product.uploaded(user, CHELSEA))

    reply = await product.post("/v1/generations", user, json=wish)

    assert (reply.status_code, problem_in(reply)["kind"]) == (422, "invalid_media")


async def test_a_list_has_the_newest_first_in_pages(product: Product) -> None:
    user = a_user()
    ids = [(await product.started(user, prompt=f"sea {n}"))["generation_id"] for n in range(3)]

    first = (await product.get("/v1/generations?limit=2", user)).json()
    cursor = first["next_cursor"]
    second = (await product.get(f"/v1/generations?limit=2&cursor={cursor}", user)).json()

    assert [each["generation_id"] for each in first["items"]] == ids[:0:-1]
    assert [each["generation_id"] for each in second["items"]] == ids[:1]
    assert second["next_cursor"] is None
    assert first["items"][0]["progress"] is None


async def test_a_list_is_filtered_by_what_is_asked(product: Product) -> None:
    user = a_user()
    ours = (await product.started(user))["generation_id"]
    theirs = (await product.started(user, source="story_writer"))["generation_id"]
    await set_stage(product, theirs, "failed")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def found(query: str) -> set[str]:
        reply = await product.get(f"/v1/generations?{query}", user)
        assert reply.status_code == 200, reply.text
        return {each["generation_id"] for each in reply.json()["items"]}

    assert await found("") == {ours, theirs}
    assert await found("status=failed") == {theirs}
    assert await found("source=api") == {ours}
    assert await found("source=podcast_maker") == set()
    assert await found("operation=talking-avatar") == set()
    assert await found(f"since={tomorrow}") == set()


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("status=done", "status"),
        ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "since"),
        ("since=9999-12-31T23:59:59-14:00", "since"),
        ("sort=prompt", "sort"),
        ("cursor=%21", "cursor"),
    ],
)
async def test_a_list_that_can_not_be_is_refused_by_the_parameters_name(
    product: Product, query: str, named: str
) -> None:
    reply = await product.get(f"/v1/generations?{query}", a_user())

    assert reply.status_code == 422
    assert named in problem_in(reply)["detail"]


async def test_a_cursor_of_somebody_elses_finds_an_empty_page(product: Product) -> None:
    owner, stranger = a_user(), a_user()
    await product.started(owner)
    await product.started(owner, prompt="another sea")
    await product.started(stranger)
    cursor = (await product.get("/v1/generations?limit=1", owner)).json()["next_cursor"]

    page = await product.get(f"/v1/generations?cursor={cursor}", stranger)

    assert page.json() == {"items": [], "next_cursor": None}


async def test_a_cancel_is_accepted_as_often_as_it_is_asked_for(product: Product) -> None:
    user = a_user()
    path = (await product.started(user))["links"]["self"]

    replies = [await product.post(f"{path}/cancel", user) for _ in range(2)]

    assert [reply.status_code for reply in replies] == [202, 202]


async def test_a_resume_is_accepted_and_wakes_the_workflow(api: Api, product: Product) -> None:
    user = a_user()
    started = await product.started(user)

    reply = await product.post(f"{started['links']['self']}/resume", user)

    assert reply.status_code == 202
    workflow = api.client.temporal.get_workflow_handle(started["generation_id"])
    signals = [
        event.workflow_execution_signaled_event_attributes.signal_name
        async for event in workflow.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    ]
    assert signals == ["resume"]


@pytest.mark.parametrize("verb", ["cancel", "resume"])
async def test_steering_what_has_ended_changes_nothing_and_is_no_error(
    product: Product, verb: str
) -> None:
    user = a_user()
    started = await product.started(user)
    await set_stage(product, started["generation_id"], "completed")

    reply = await product.post(f"{started['links']['self']}/{verb}", user)

    assert (reply.status_code, reply.json()["status"]) == (200, "completed")


@pytest.mark.parametrize("verb", ["cancel", "resume"])
async def test_steering_what_no_workflow_has_begun_is_a_conflict(
    api: Api, product: Product, verb: str
) -> None:
    user = a_user()
    waiting = await asked(api.parts.pool, user)

    reply = await product.post(f"/v1/generations/{waiting}/{verb}", user)

    told = problem_in(reply)
    assert (reply.status_code, told["kind"]) == (409, "not_begun")
    assert "/v1/batches/" in told["hint"]


async def test_a_decision_needs_an_unresolved_generation(product: Product) -> None:
    user = a_user()
    path = (await product.started(user))["links"]["self"]

    reply = await product.post(f"{path}/resolve", user, json={"decision": "give_up"})

    told = problem_in(reply)
    assert (reply.status_code, told["kind"]) == (409, "nothing_to_resolve")
    assert "not unresolved" in told["detail"]


async def test_a_decision_that_no_worker_carries_out_is_not_waited_for(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handles, "ANSWER_S", 0.2)
    user = a_user()
    started = await product.started(user)
    await set_stage(product, started["generation_id"], "unresolved")

    path = f"{started['links']['self']}/resolve"
    reply = await product.post(path, user, json={"decision": "resubmit"})

    assert (reply.status_code, problem_in(reply)["kind"]) == (503, "no_worker")
    assert reply.headers["retry-after"].isdecimal()


async def test_a_decision_that_was_carried_out_is_answered_again(product: Product) -> None:
    user = a_user()
    started = await product.started(user)
    await set_stage(product, started["generation_id"], "generating", prediction_id=PREDICTION)
    path = f"{started['links']['self']}/resolve"

    same = await product.post(path, user, json={"decision": "adopt", "prediction_id": PREDICTION})
    other = await product.post(path, user, json={"decision": "adopt", "prediction_id": "other"})

    assert (same.status_code, same.json()["outcome"]) == (200, "It was decided so before.")
    assert same.json()["generation"]["prediction_id"] == PREDICTION
    assert other.status_code == 409


@pytest.mark.parametrize(
    ("decision", "named"),
    [
        ({}, "decision"),
        ({"decision": "wait"}, "decision"),
        ({"decision": "adopt"}, "adopt"),
        ({"decision": "give_up", "prediction_id": PREDICTION}, "adopt"),
        ({"decision": "adopt", "prediction_id": "a/b"}, "prediction_id"),
        ({"decision": "give_up", "why": "late"}, "why"),
    ],
)
async def test_a_decision_that_can_not_be_is_refused(
    product: Product, decision: dict[str, Any], named: str
) -> None:
    user = a_user()
    path = (await product.started(user))["links"]["self"]

    reply = await product.post(f"{path}/resolve", user, json=decision)

    assert reply.status_code == 422
    assert named in problem_in(reply)["detail"]


STEPS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "", {}),
    ("POST", "/cancel", {}),
    ("POST", "/resume", {}),
    ("POST", "/resolve", {"json": {"decision": "give_up"}}),
]


@pytest.mark.parametrize(
    ("method", "step", "body"), STEPS, ids=["read", "cancel", "resume", "resolve"]
)
async def test_what_is_not_the_callers_is_not_there(
    product: Product, other_product: Product, method: str, step: str, body: dict[str, Any]
) -> None:
    owner = a_user()
    started = await product.started(owner)
    path = started["links"]["self"]

    replies = [
        await product.ask(method, f"/v1/generations/{UNKNOWN}{step}", owner, **body),
        await product.ask(method, path + step, a_user(), **body),
        await other_product.ask(method, path + step, owner, **body),
        # A beginning finds nothing, and what no store holds isn't looked for.
        await product.ask(method, path[:-1] + step, owner, **body),
        await product.ask(method, f"/v1/generations/%00{step}", owner, **body),
    ]

    assert {reply.status_code for reply in replies} == {404}
    assert len({reply.text for reply in replies}) == 1
    assert problem_in(replies[0])["kind"] == "unknown_generation"


async def test_another_products_list_does_not_have_it(
    product: Product, other_product: Product
) -> None:
    owner = a_user()
    await product.started(owner)

    page = await other_product.get("/v1/generations", owner)

    assert page.json() == {"items": [], "next_cursor": None}
