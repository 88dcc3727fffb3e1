"""A job that outlives its deadline parks and says what to do; `resume` completes it, paid once."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial

import pytest
from stacks import SMALL, Stack, at_stage, finished, impatient, until

from activities.generations.repository import UnknownGeneration
from starter import GenerationHandle
from workflows.contracts.stages import Stage, Status
from workflows.contracts.texts import dollars

pytestmark = pytest.mark.slow

NOT_FINISHED = 6


@pytest.fixture(scope="module")
async def worked(
    whole_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """A worker whose operator gives every job one second."""
    folder = tmp_path_factory.mktemp("catalogues")
    settings = impatient(folder, image_to_video=1, scene_animation=1, talking_avatar=1)
    async with whole_stack.worker(settings=settings):
        yield whole_stack


async def test_each_operation_parks_says_what_to_do_and_is_completed_by_resume_paid_once(
    stack: Stack, worked: Stack
) -> None:
    await stack.faults({"job": {"kind": "hang"}, "output": SMALL})
    handles = await asyncio.gather(worked.start(), worked.animate(), worked.speak())
    await asyncio.gather(*(at_stage(handle, Stage.TIMED_OUT) for handle in handles))
    for handle in handles:
        await _says_that_it_waits(stack, handle)

    await stack.mend("job")
    for handle in handles:
        (prediction_id,) = await stack.predictions_of(handle.id)
        await until(partial(_is_at_the_provider, stack, handle, "completed"))
        assert (await handle.facts()).stage is Stage.TIMED_OUT
        # However often, and by either id.
        by_prediction = await stack.client.get(prediction_id)
        await asyncio.gather(handle.resume(), *(by_prediction.resume() for _ in range(4)))

    for handle in handles:
        generation = await finished(handle)
        assert generation.status is Status.COMPLETED
        assert not await _looked_by_itself(stack, handle)
        assert list((await stack.jobs_of(handle.id)).values()) == ["completed"]
        assert await stack.settlements(handle.id) == 1
        assert generation.cost_usd_micros == generation.quoted_usd_micros
        assert await handle.resume() is False


async def _says_that_it_waits(stack: Stack, handle: GenerationHandle) -> None:
    code, shown, _ = await stack.cli("show", handle.id, "-o", "json")

    parked = json.loads(shown)
    assert code == 0
    assert parked["status"] == "timed_out"
    assert parked["error"]["kind"] == "deadline_passed"
    assert f"stillmotion resume {handle.id}" in parked["error"]["hint"]
    assert parked["error"]["money"] == f"{dollars(parked['quoted_usd_micros'])} stays reserved."


async def test_its_owner_is_told_the_command_to_go_on_and_nobody_else_finds_it(
    stack: Stack, worked: Stack
) -> None:
    await stack.faults({"job": {"kind": "hang"}})
    handle = await worked.start(user_id="owner")
    await at_stage(handle, Stage.TIMED_OUT)
    (prediction_id,) = await stack.predictions_of(handle.id)

    _, shown, _ = await stack.cli("show", prediction_id, "-o", "human", "--user", "owner")
    code, _, said = await stack.cli("watch", handle.id, "--timeout", "0.5")

    assert f"stillmotion resume {handle.id}" in _one_line(shown)
    assert "$0.25 stays reserved" in _one_line(shown)
    assert (code, f"stillmotion resume {handle.id}" in _one_line(said)) == (NOT_FINISHED, True)
    for known_as in (handle.id, prediction_id):
        with pytest.raises(UnknownGeneration):
            await stack.client.get(known_as, user_id="stranger")


async def test_a_resumed_job_that_still_runs_is_waited_for_again(
    stack: Stack, worked: Stack
) -> None:
    await stack.faults({"job": {"kind": "hang"}, "output": SMALL})
    handle = await worked.start()
    await at_stage(handle, Stage.TIMED_OUT)

    assert await handle.resume()
    await until(lambda: _times_at(stack, handle, Stage.TIMED_OUT, 2))
    await stack.mend("job")
    await until(lambda: _is_at_the_provider(stack, handle, "completed"))
    assert await handle.resume()

    assert (await finished(handle)).status is Status.COMPLETED
    assert len(await stack.predictions_of(handle.id)) == 1


async def test_a_job_that_failed_says_start_again_and_no_resume_charges(
    stack: Stack, worked: Stack
) -> None:
    await stack.faults({"job": [{"kind": "work", "work_s": 2}, {"kind": "failed"}]})
    handle = await worked.animate()
    await at_stage(handle, Stage.TIMED_OUT)
    await until(lambda: _is_at_the_provider(stack, handle, "failed"))

    assert await handle.resume()
    await at_stage(handle, Stage.FAILED)
    resumed_again = await handle.resume()

    failed = await handle.read_generation()
    assert failed.error is not None
    assert failed.error.kind == "provider_failed"
    assert failed.error.hint == "Start it again."
    assert failed.error.money.startswith("Nothing was charged.")
    assert resumed_again is False
    assert (await handle.facts()).stage is Stage.FAILED
    assert await stack.settlements(handle.id) == 0
    assert len(await stack.predictions_of(handle.id)) == 1


async def _is_at_the_provider(stack: Stack, handle: GenerationHandle, status: str) -> bool:
    return status in (await stack.jobs_of(handle.id)).values()


async def _looked_by_itself(stack: Stack, handle: GenerationHandle) -> bool:
    """Whether a pause between two looks was over before somebody resumed it."""
    history = await stack.client.temporal.get_workflow_handle(handle.id).fetch_history()
    return any(event.HasField("timer_fired_event_attributes") for event in history.events)


async def _times_at(stack: Stack, handle: GenerationHandle, stage: Stage, times: int) -> bool:
    events = await stack.client.events(handle.id)
    return sum(event.stage is stage for event in events) >= times


def _one_line(text: str) -> str:
    return " ".join(text.split())
