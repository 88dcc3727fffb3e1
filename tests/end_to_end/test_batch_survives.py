"""A batch on real processes: its parent is terminated, its worker killed; every video once."""

import signal
from typing import Any

import pytest
from stacks import COFFEE, Stack, a_user, until

from starter.batch_handles import BatchHandle
from workflows.contracts.batch_results import BatchState, ItemStatus
from workflows.contracts.stages import Stage

pytestmark = pytest.mark.slow

SMALL: list[dict[str, Any]] = [
    {"kind": "other_size", "width": 64, "height": 36},
    {"kind": "other_duration", "duration_s": 0.5},
]
KEY = "the-episode"
PATIENCE_S = 120


async def a_batch(stack: Stack, user_id: str, size: int = 4) -> BatchHandle:
    """Start a batch, or go on with it: the key is always the same."""
    items = [
        {"operation": "image-to-video", "image": COFFEE, "prompt": f"scene {n}"}
        | {"resolution": "480p"}
        for n in range(size)
    ]
    return await stack.client.batch(items, user_id=user_id, idempotency_key=KEY, max_parallel=2)


async def on_a_large_plan(stack: Stack) -> str:
    user_id = a_user()
    await stack.value(
        "INSERT INTO subscriptions (user_id, plan) VALUES ($1, 'pro') RETURNING plan", user_id
    )
    return user_id


async def made_once(stack: Stack, batch: BatchHandle) -> bool:
    """Whether each item has one prediction and one settlement."""
    ids = [item.generation_id for item in await batch.items()]
    predictions = [len(await stack.predictions_of(each)) for each in ids]
    settlements = [await stack.settlements(each) for each in ids]
    return predictions == settlements == [1] * len(ids)


async def test_children_outlive_a_terminated_parent_and_the_same_key_goes_on(
    stack: Stack,
) -> None:
    user_id = await on_a_large_plan(stack)
    await stack.faults({"output": SMALL, "job": {"kind": "work", "work_s": 2}})
    async with stack.worker():
        batch = await a_batch(stack, user_id)
        await until(lambda: _running(batch, 2))
        await stack.client.temporal.get_workflow_handle(batch.id).terminate("an operator's mistake")
        await until(lambda: _completed(batch, 2))
        left = await batch.progress()
        held = await stack.client.usage(user_id)

        again = await a_batch(stack, user_id)
        ended = await again.result(timeout=PATIENCE_S)

    assert (left.status, left.completed, left.waiting) == (BatchState.RUNNING, 2, 2)
    assert (held.videos_reserved, held.videos_settled) == (2, 2)
    assert (again.id, ended.status, ended.completed) == (batch.id, BatchState.COMPLETED, 4)
    assert await made_once(stack, batch)


async def test_a_worker_killed_in_the_middle_costs_no_video_and_pays_none_twice(
    stack: Stack,
) -> None:
    user_id = await on_a_large_plan(stack)
    await stack.faults({"output": SMALL, "job": {"kind": "work", "work_s": 2}})
    async with stack.worker() as worker:
        batch = await a_batch(stack, user_id, size=3)
        await until(lambda: _running(batch, 2))
        await worker.signal(signal.SIGKILL)

    async with stack.worker():
        ended = await batch.result(timeout=PATIENCE_S)

    usage = await stack.client.usage(user_id)
    assert (ended.status, ended.completed) == (BatchState.COMPLETED, 3)
    assert await made_once(stack, batch)
    assert (usage.videos_reserved, usage.videos_settled) == (0, 3)


async def test_a_cancel_reaches_the_children_of_a_terminated_parent(stack: Stack) -> None:
    user_id = await on_a_large_plan(stack)
    await stack.faults({"job": {"kind": "hang"}})
    async with stack.worker():
        batch = await a_batch(stack, user_id)
        await until(lambda: _running(batch, 2))
        await stack.client.temporal.get_workflow_handle(batch.id).terminate("an operator's mistake")

        asked = await batch.cancel()
        ended = await batch.result(timeout=PATIENCE_S)

    usage = await stack.client.usage(user_id)
    assert asked
    assert (ended.status, ended.cancelled) == (BatchState.CANCELLED, 4)
    assert (usage.videos_reserved, usage.reserved_usd_micros) == (0, 0)


async def _running(batch: BatchHandle, count: int) -> bool:
    return [item.stage for item in await batch.items()].count(Stage.GENERATING) == count


async def _completed(batch: BatchHandle, count: int) -> bool:
    return [item.status for item in await batch.items()].count(ItemStatus.COMPLETED) == count
