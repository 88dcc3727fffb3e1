"""The provider misbehaves; nobody pays twice and nothing paid is lost."""

import asyncio

import pytest
from stacks import Stack, at_stage, finished

from workflows.contracts.stages import Stage, Status

# Python only, and half a minute of it.
pytestmark = [pytest.mark.slow, pytest.mark.tools()]


async def test_submissions_whose_replies_are_all_lost_are_found_again_not_sent_again(
    stack: Stack,
) -> None:
    await stack.faults({"submit": {"kind": "lost_reply"}})
    async with stack.worker():
        handles = [await stack.start(f"video number {number}") for number in range(4)]
        generations = await asyncio.gather(*(finished(handle) for handle in handles))

    assert {generation.status for generation in generations} == {Status.COMPLETED}
    for handle in handles:
        assert len(await stack.predictions_of(handle.id)) == 1
        assert await stack.settlements(handle.id) == 1


async def test_lists_without_input_still_find_a_lost_prediction_by_reading_each_candidate(
    stack: Stack,
) -> None:
    await stack.faults(
        {"submit": {"kind": "lost_reply", "times": 1}, "list": {"kind": "without_input"}}
    )
    async with stack.worker():
        handle = await stack.start()
        generation = await finished(handle)

    assert generation.status is Status.COMPLETED
    assert len(await stack.predictions_of(handle.id)) == 1


async def test_lists_that_lag_and_lack_input_park_it_until_a_person_adopts(stack: Stack) -> None:
    await stack.faults(
        {
            "submit": {"kind": "lost_reply", "times": 1},
            "list": [{"kind": "without_input"}, {"kind": "lag", "lag_s": 3600}],
        }
    )
    async with stack.worker():
        handle = await stack.start()
        await at_stage(handle, Stage.UNRESOLVED, timeout_s=170)
        (prediction_id,) = await stack.predictions_of(handle.id)

        parked = await handle.read_generation()
        assert parked.status is Status.UNRESOLVED
        assert parked.error is not None
        assert "stays reserved" in parked.error.money
        assert handle.id in parked.error.hint

        await handle.resolve("adopt", prediction_id)
        generation = await finished(handle)

    assert generation.status is Status.COMPLETED
    assert await stack.predictions_of(handle.id) == [prediction_id]
    assert await stack.settlements(handle.id) == 1


async def test_an_output_that_is_cut_at_first_is_fetched_again(stack: Stack) -> None:
    await stack.faults({"output": {"kind": "cut_connection", "downloads": 1}})
    async with stack.worker():
        handle = await stack.start()
        generation = await finished(handle)

    assert generation.status is Status.COMPLETED
    assert generation.duration_s == 5.0
    assert generation.warnings == ()


async def test_a_moderated_job_costs_nothing_and_says_why(stack: Stack) -> None:
    await stack.faults({"job": {"kind": "moderated"}})
    async with stack.worker():
        handle = await stack.start()
        await at_stage(handle, Stage.FAILED)

    generation = await handle.read_generation()
    assert generation.error is not None
    assert generation.error.kind == "prompt_rejected"
    assert generation.error.money.startswith("Nothing was charged.")
    assert generation.cost_usd_micros == 0
