"""Progress of one generation, seen by several watchers at once: it never goes back nor stops."""

import asyncio
import signal
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from stacks import SMALL, Stack, at_stage, until
from temporalio.service import RPCError

from starter import GenerationHandle, VideoClient
from workflows.contracts.progress import ProgressFacts, estimate
from workflows.contracts.stages import TERMINAL, Stage

pytestmark = pytest.mark.slow

# No other test of this stack waits for it, so that its expected time stays the catalogue's.
UNHURRIED = {"model": "alibaba/wan-2.5/image-to-video-fast", "resolution": "720p"}
LOOK_S = 0.2
DONE = 100
NEEDS_NO_WORKER = ("here", "there", "callback")

Percents = list[int]


async def test_every_watcher_sees_it_move_with_time_alone_and_never_backwards(
    stack: Stack,
) -> None:
    await stack.faults({"job": {"kind": "hang"}, "output": SMALL})
    async with (
        await VideoClient.connect(stack.data_dir) as another,
        asyncio.TaskGroup() as watching,
    ):
        async with stack.worker() as worker:
            handle = await stack.start(**UNHURRIED)
            seen = _watched(watching, stack, handle, await another.get(handle.id))
            await at_stage(handle, Stage.GENERATING)
            events = await stack.client.events(handle.id)
            await _each_rises(seen)
            await worker.signal(signal.SIGKILL)
        await _each_rises({name: seen[name] for name in NEEDS_NO_WORKER})
        async with stack.worker():
            await _each_rises(seen)
            assert await stack.client.events(handle.id) == events
            await stack.mend("job")
            await _each_is_told_the_end(seen)

    for name, percents in seen.items():
        assert percents == sorted(percents), name
    assert len(await stack.predictions_of(handle.id)) == 1


def _watched(
    watching: asyncio.TaskGroup, stack: Stack, here: GenerationHandle, there: GenerationHandle
) -> dict[str, Percents]:
    """What each watcher has seen up to now, by its name."""
    seen: dict[str, Percents] = {"here": [], "there": [], "callback": [], "query": []}

    async def follow(handle: GenerationHandle, percents: Percents) -> None:
        async for update in handle.updates():
            percents.append(update.percent)

    async def ask() -> None:
        """As a caller in any language does: by the query, with every look a new estimate."""
        workflow = stack.client.temporal.get_workflow_handle(here.id)
        stage = Stage.ACCEPTED
        while stage not in TERMINAL:
            await asyncio.sleep(LOOK_S)
            with suppress(RPCError):  # no worker is there to answer
                facts = await workflow.query(
                    "progress", result_type=ProgressFacts, rpc_timeout=timedelta(seconds=2)
                )
                seen["query"].append(estimate(facts, datetime.now(UTC)).percent)
                stage = facts.stage

    def note(percent: int, _message: str) -> None:
        seen["callback"].append(percent)

    watching.create_task(follow(here, seen["here"]))
    watching.create_task(follow(there, seen["there"]))
    watching.create_task(there.result(on_progress=note))
    watching.create_task(ask())
    return seen


async def _each_rises(seen: dict[str, Percents]) -> None:
    """Wait until every watcher has seen more than it has now."""
    before = {name: max(percents, default=0) for name, percents in seen.items()}

    async def risen() -> bool:
        return all(max(percents, default=0) > before[name] for name, percents in seen.items())

    await until(risen)


async def _each_is_told_the_end(seen: dict[str, Percents]) -> None:
    async def told() -> bool:
        return all(percents[-1] == DONE for percents in seen.values())

    await until(told)
