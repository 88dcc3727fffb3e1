"""Real processes, killed and frozen where it hurts: one prediction, one settlement, one video."""

import os
import signal
from pathlib import Path

import pytest
from stacks import Stack, at_stage, finished, running_dev, until

from starter import VideoClient
from workflows.contracts.queues import TaskQueue
from workflows.contracts.stages import Stage, Status

FROZEN_WORKER = str(Path(__file__).with_name("frozen_worker.py"))
WORKER = ("-m", "workers", "worker", "--queues")
OTHERS = (*WORKER, *(queue for queue in TaskQueue if queue is not TaskQueue.SUBMIT))
SUBMITTER = (*WORKER, TaskQueue.SUBMIT)
# Python only, and a minute of it.
pytestmark = [pytest.mark.slow, pytest.mark.tools()]


async def test_a_worker_killed_while_the_job_runs_costs_neither_the_video_nor_a_second_bill(
    stack: Stack,
) -> None:
    await stack.faults({"job": {"kind": "work", "work_s": 6}})
    async with stack.worker() as worker:
        handle = await stack.start()
        await at_stage(handle, Stage.GENERATING)
        await worker.signal(signal.SIGKILL)

    async with stack.worker():
        generation = await finished(handle)

    assert generation.status is Status.COMPLETED
    assert len(await stack.predictions_of(handle.id)) == 1
    assert await stack.settlements(handle.id) == 1


async def test_a_worker_frozen_before_its_post_sends_nothing_after_it_thaws(
    stack: Stack, tmp_path: Path
) -> None:
    flag = tmp_path / "freeze"
    flag.touch()
    async with stack.worker(*OTHERS), stack.worker(FROZEN_WORKER, str(flag)) as frozen:
        handle = await stack.start()
        await until(lambda: _stopped(frozen.pid))
        # Another one reconciles meanwhile; the frozen one still holds the sender's lock.
        async with stack.worker(*SUBMITTER):
            await until(lambda: _reconciled(stack, handle.id))
            await frozen.signal(signal.SIGCONT)
            generation = await finished(handle)

    assert generation.status is Status.COMPLETED
    assert len(await stack.predictions_of(handle.id)) == 1
    assert await stack.settlements(handle.id) == 1


@pytest.mark.skipif(
    os.environ.get("STILLMOTION_EVIDENCE") != "1",
    reason="nothing is moved on by hand, as the chaos episode does: part of `make evidence`",
)
async def test_a_frozen_worker_that_lost_its_lock_finds_its_window_closed(
    stack: Stack, tmp_path: Path
) -> None:
    async with stack.worker():
        # A listing proves something only where rows with inputs stand in it.
        await finished(await stack.start("any earlier video"))
    flag = tmp_path / "freeze"
    flag.touch()
    async with stack.worker(*OTHERS), stack.worker(FROZEN_WORKER, str(flag)) as frozen:
        handle = await stack.start()
        await until(lambda: _stopped(frozen.pid))
        await stack.value(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted"
        )
        async with stack.worker(*SUBMITTER):
            generation = await finished(handle)
            before = await stack.predictions_of(handle.id)
            await frozen.signal(signal.SIGCONT)
            await until(lambda: _polls_again(frozen.pid))

            assert generation.status is Status.COMPLETED
            assert len(before) == 1
            assert await stack.predictions_of(handle.id) == before
            assert await stack.settlements(handle.id) == 1


async def test_a_stack_killed_whole_goes_on_where_it_was(folder: Path) -> None:
    data_dir = folder / "killed"
    async with running_dev(data_dir, "--sandbox-work-s=3") as (process, address):
        async with await VideoClient.connect(data_dir) as client:
            handle = await Stack(data_dir, address, client).start()
            await at_stage(handle, Stage.GENERATING)
        await process.signal(signal.SIGKILL)

    async with (
        running_dev(data_dir, "--sandbox-work-s=3") as (_, again),
        await VideoClient.connect(data_dir) as client,
    ):
        survivor = Stack(data_dir, again, client)
        generation = await finished(await client.get(handle.id))

        assert generation.status is Status.COMPLETED
        assert len(await survivor.predictions_of(handle.id)) == 1
        assert await survivor.settlements(handle.id) == 1


async def _stopped(pid: int) -> bool:
    return _state(pid) == "T"


async def _polls_again(pid: int) -> bool:
    return _state(pid) != "T"


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]


async def _reconciled(stack: Stack, generation_id: str) -> bool:
    """Whether the workflow has asked for a reconciliation and got its answer."""
    history = await stack.client.temporal.get_workflow_handle(generation_id).fetch_history()
    return any(
        event.activity_task_scheduled_event_attributes.activity_type.name == "provider.reconcile"
        for event in history.events
    )
