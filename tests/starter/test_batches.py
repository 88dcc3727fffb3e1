"""Batches from Python: held as one, carried out a few at a time, each item's end its own."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from activities.batches.reading import UnknownBatch
from activities.batches.repository import ItemRefused
from activities.ledger.usage import Usage
from starter import VideoClient
from starter.batch_handles import BatchHandle, BatchNotFinished, BatchRefused
from tests.starter.conftest import COFFEE, EXAMPLES, NOTHING, Pictures, Stack
from tests.starter.small_videos import SMALL, on_plan
from workflows.contracts.batch_results import BatchState, ItemStatus
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import InputFacts
from workflows.contracts.requests import Operation

COST = 250_000
PATIENCE_S = 120


def an_item(prompt: str | None = "steam rises", **given: object) -> dict[str, Any]:
    item = {"operation": "image-to-video", "image": COFFEE, "prompt": prompt, "resolution": "480p"}
    return item | given


async def most_at_once(stack: Stack, batch: BatchHandle) -> int:
    """How many items were under way together, by their events."""
    ids = [item.generation_id for item in await batch.items()]
    spans = await stack.database.fetch(
        "SELECT min(at) FILTER (WHERE stage = 'reserving') AS since, max(at) AS until"
        " FROM events WHERE generation_id = ANY ($1::text[]) GROUP BY generation_id",
        ids,
    )
    moments: list[datetime] = [span["since"] for span in spans]
    return max(sum(s["since"] <= at < s["until"] for s in spans) for at in moments)


def taken(usage: Usage) -> tuple[int, int]:
    return (
        usage.videos_reserved + usage.videos_settled,
        usage.reserved_usd_micros + usage.settled_usd_micros,
    )


async def test_all_three_operations_are_made_and_draw_on_what_is_held_for_the_whole(
    client: VideoClient, stack: Stack, user: str
) -> None:
    await on_plan(stack, user, "pro")
    items = [
        an_item(image=Path(COFFEE).read_bytes()),
        {
            "operation": "scene-animation",
            "image": EXAMPLES / "chelsea.jpg",
            "scene": {"title": "A cat looks up"},
        },
        {
            "operation": "talking-avatar",
            "image": str(EXAMPLES / "portrait.jpg"),
            "audio": str(EXAMPLES / "speech.wav"),
            "resolution": "480p",
        },
    ]

    async with stack.faults(SMALL):
        batch = await client.batch(items, user_id=user, source="podcast_maker", max_parallel=2)
        seen = [(each, await client.usage(user)) async for each in batch.updates(0.1)]
        ended = await batch.result(timeout=PATIENCE_S)

    whole = ended.quoted_usd_micros
    assert (ended.status, ended.completed, ended.cost_usd_micros) == (
        *(BatchState.COMPLETED, 3),
        whole,
    )
    assert [item.operation for item in await batch.items()] == list(Operation)
    held = [taken(usage) for update, usage in seen if update.status is BatchState.RUNNING]
    assert held
    assert set(held) == {(3, whole)}
    assert taken(await client.usage(user)) == (3, whole)
    assert (await client.usage(user)).videos_reserved == 0


async def test_no_more_than_were_asked_for_are_under_way(
    client: VideoClient, stack: Stack, user: str
) -> None:
    await on_plan(stack, user, "pro")
    items = [an_item(f"scene {number}") for number in range(4)]

    async with stack.faults(SMALL):
        batch = await client.batch(items, user_id=user, max_parallel=2)
        ended = await batch.result(timeout=PATIENCE_S)

    assert ended.completed == 4
    assert await most_at_once(stack, batch) == 2


async def test_a_redo_makes_what_failed_anew_and_pays_only_that(
    client: VideoClient, stack: Stack, user: str
) -> None:
    await on_plan(stack, user, "basic")
    items = [an_item("all is well"), an_item("this goes wrong"), an_item("well again")]
    wrong = {"job": {"kind": "failed", "match": "goes wrong"}}

    async with stack.faults({**SMALL, **wrong}):
        batch = await client.batch(items, user_id=user)
        ended = await batch.result(timeout=PATIENCE_S)
    before = await client.usage(user)
    async with stack.faults(SMALL):
        redone = await client.redo(batch.id, user_id=user)
        again = await client.redo(batch.id[:12], user_id=user)
        mended = await redone.result(timeout=PATIENCE_S)

    failed = (await batch.items())[1]
    (made,) = await redone.items()
    assert (ended.status, ended.completed, ended.failed) == (BatchState.COMPLETED, 2, 1)
    assert ended.message == "2 completed, 1 failed of 3"
    assert failed.error is not None
    assert failed.error.kind is FailureKind.PROVIDER_FAILED
    assert (mended.completed, mended.redo_of, again.id) == (1, batch.id, redone.id)
    assert made.title == "this goes wrong"
    assert made.generation_id != failed.generation_id
    assert taken(before) == (2, 2 * COST)
    assert taken(await client.usage(user)) == (3, 3 * COST)
    with pytest.raises(RequestRefused, match="nothing of bat_"):
        await client.redo(redone.id, user_id=user)


UNFIT: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "the plan": ("free", {}, "quota_exceeded", "items: 3 videos; plan free has 2"),
    "the caller's limit": (
        *("basic", {"max_cost_usd_micros": 3 * COST - 1}, "max_cost_exceeded"),
        "max_cost_usd_micros: the quote is 3 videos for $0.75",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
async def test_what_does_not_fit_is_refused_whole(
    case: str, client: VideoClient, stack: Stack, user: str
) -> None:
    plan, options, kind, told = UNFIT[case]
    await on_plan(stack, user, plan)
    submits = await stack.submits()
    items = [an_item(f"scene {number}") for number in range(3)]

    batch = await client.batch(items, user_id=user, **options)
    with pytest.raises(BatchRefused, match="Nothing was charged") as refused:
        await batch.result(timeout=PATIENCE_S)

    rows = await stack.rows_of(user)
    assert refused.value.failure.kind == kind
    assert refused.value.failure.message.startswith(told)
    assert refused.value.exit_code == 4
    assert (rows["generations"], rows["balances"], await stack.submits()) == (0, 0, submits)
    assert {item.status for item in await batch.items()} == {ItemStatus.NOT_STARTED}


async def test_a_refused_batch_may_be_asked_for_again_under_its_key(
    client: VideoClient, stack: Stack, user: str
) -> None:
    items = [an_item(f"scene {number}") for number in range(3)]
    batch = await client.batch(items, user_id=user, idempotency_key="episode-7")
    with pytest.raises(BatchRefused):
        await batch.result(timeout=PATIENCE_S)

    async with stack.faults(SMALL):
        again = await client.batch(items[:2], user_id=user, idempotency_key="episode-7")
        ended = await again.result(timeout=PATIENCE_S)

    assert again.id == batch.id
    assert (ended.status, ended.size, ended.completed) == (BatchState.COMPLETED, 2, 2)


async def test_a_cancel_ends_what_runs_and_what_waits_and_leaks_nothing(
    client: VideoClient, stack: Stack, user: str
) -> None:
    await on_plan(stack, user, "pro")
    items = [an_item(f"scene {number}") for number in range(5)]

    async with stack.faults({"job": {"kind": "hang"}}):
        batch = await client.batch(items, user_id=user, max_parallel=2)
        async for seen in batch.updates():
            if seen.running == 2:
                break
        asked = await batch.cancel()
        ended = await batch.result(timeout=PATIENCE_S)

    usage = await client.usage(user)
    assert asked
    assert not await batch.cancel()
    assert (ended.status, ended.cancelled) == (BatchState.CANCELLED, 5)
    assert (usage.videos_reserved, usage.reserved_usd_micros) == (0, 0)
    # What the provider had taken is booked until its bill is read; the rest never cost anything.
    booked = [item for item in await batch.items() if item.cost_usd_micros]
    assert [item.position for item in booked] in ([], [1], [2], [1, 2])
    assert usage.settled_usd_micros == len(booked) * COST == ended.cost_usd_micros


async def test_five_hundred_items_are_held_as_one_and_released_as_five_hundred(
    client: VideoClient, stack: Stack, user: str
) -> None:
    await on_plan(stack, user, "enterprise")
    items = [an_item(f"scene {number}") for number in range(500)]

    async with stack.faults({"job": {"kind": "hang"}}):
        batch = await client.batch(items, user_id=user, max_parallel=1)
        async for seen in batch.updates():
            if seen.status is not BatchState.ACCEPTED:
                break
        held = await client.usage(user)
        await batch.cancel()
        ended = await batch.result(timeout=PATIENCE_S)

    usage = await client.usage(user)
    assert taken(held) == (500, 500 * COST)
    assert (ended.status, ended.cancelled) == (BatchState.CANCELLED, 500)
    assert (usage.videos_reserved, usage.reserved_usd_micros) == (0, 0)
    assert usage.settled_usd_micros <= COST


BAD = {
    "no operation": (an_item(operation=None), "operation: missing; allowed: image-to-video"),
    "another operation": (an_item(operation="text-to-video"), "operation: 'text-to-video'"),
    "a duration": (an_item(duration_s=7), "duration_s: 7"),
    "an unknown field": (an_item(colour="red"), "colour: it is not taken; allowed: "),
    "no prompt": (an_item(prompt=None), "prompt: missing."),
    "a user of its own": (an_item(user_id="eve"), "user_id: it is the batch's"),
    "no picture": (an_item(image=None), "image: missing."),
    "a number as picture": (an_item(image=5), "image: 5; allowed: a file"),
    "a broken reference": (an_item(image={"media_id": "x"}), "image: {'media_id': 'x'}; allowed"),
    "no such file": (an_item(image=Path("gone.jpg")), "image: 'gone.jpg' is not a file"),
    "a repeated key": (an_item(idempotency_key="mine"), "idempotency_key: 'mine' stands in item 1"),
    "no object": ("steam rises", "'steam rises'; allowed: an object"),
}


@pytest.mark.parametrize("case", BAD)
async def test_an_item_that_is_wrong_is_told_before_anything_is_stored(
    case: str, idle_client: VideoClient, idle_stack: Stack, user: str
) -> None:
    item, told = BAD[case]

    with pytest.raises(ItemRefused) as refused:
        await idle_client.batch([an_item(idempotency_key="mine"), item], user_id=user)  # pyright: ignore[reportArgumentType]

    assert refused.value.position == 2
    assert str(refused.value).startswith(f"item 2: {told}")
    assert await idle_stack.rows_of(user) == NOTHING


@pytest.mark.parametrize(
    ("items", "options", "told"),
    [
        ([], {}, "items: 0; allowed: 1 to 500."),
        ([an_item()] * 501, {}, "items: 501; allowed: 1 to 500."),
        ([an_item()], {"source": "blog"}, "source: 'blog'; allowed: story_writer, "),
        ([an_item()], {"max_parallel": 0}, "max_parallel: 0; allowed: 1 to 100."),
        ([an_item()], {"max_cost_usd_micros": -1}, "max_cost_usd_micros: -1; allowed: 0 or more."),
        ([an_item()], {"idempotency_key": "a\0b"}, "idempotency_key: "),
    ],
    ids=["none", "too many", "another product", "no place", "a negative limit", "a key with NUL"],
)
async def test_a_batch_that_is_wrong_itself_is_refused(
    items: list[dict[str, Any]],
    options: dict[str, Any],
    told: str,
    idle_client: VideoClient,
    idle_stack: Stack,
    user: str,
) -> None:
    with pytest.raises(RequestRefused) as refused:
        await idle_client.batch(items, user_id=user, **options)

    assert str(refused.value).startswith(told)
    assert await idle_stack.rows_of(user) == NOTHING


async def test_a_picture_of_many_items_is_decoded_and_stored_once(
    idle_client: VideoClient,
    idle_stack: Stack,
    user: str,
    pictures: Pictures,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = pictures.picture("other.jpg", (600, 400))
    items = [an_item(f"scene {n}", image=image) for n, image in enumerate((COFFEE, other) * 5)]
    measured: list[Path] = []
    measure = idle_client.inputs.measure

    async def counted(path: Path, *rest: Any) -> InputFacts:
        measured.append(path)
        return await measure(path, *rest)

    monkeypatch.setattr(idle_client.inputs, "measure", counted)
    batch = await idle_client.batch(items, user_id=user)

    assert measured == [Path(COFFEE), Path(other)]
    assert (await idle_stack.rows_of(user))["media"] == 2
    assert (await batch.progress()).message == "10 waiting of 10"


async def test_the_same_key_is_the_same_batch(idle_client: VideoClient, user: str) -> None:
    items = [an_item("one"), an_item("two")]
    first = await idle_client.batch(items, user_id=user, idempotency_key="mine")

    second = await idle_client.batch(items, user_id=user, idempotency_key="mine")

    assert first.id == second.id
    with pytest.raises(RequestRefused, match="already names") as refused:
        await idle_client.batch(items[::-1], user_id=user, idempotency_key="mine")
    assert refused.value.failure.kind is FailureKind.KEY_REUSED


async def test_a_batch_that_goes_on_is_not_done(idle_client: VideoClient, user: str) -> None:
    batch = await idle_client.batch([an_item()], user_id=user)

    with pytest.raises(BatchNotFinished, match="1 waiting of 1"):
        await batch.result(timeout=0.2)
    with pytest.raises(RequestRefused, match="allowed: one that has ended"):
        await idle_client.redo(batch.id)
    assert await batch.resume()


async def test_batches_of_others_look_like_nothing(idle_client: VideoClient, user: str) -> None:
    batch = await idle_client.batch([an_item()], user_id=user)

    assert (await idle_client.batches.get(batch.id[:14], user_id=user)).id == batch.id
    with pytest.raises(UnknownBatch):
        await idle_client.batches.get(batch.id, user_id="eve")
    with pytest.raises(UnknownBatch):
        await idle_client.redo(batch.id, user_id="eve")
