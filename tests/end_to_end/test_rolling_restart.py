"""A new version of the workers takes over under load: nothing fails, nothing is paid twice."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stacks import SMALL, Process, Stack, at_stage, finished, impatient, running_dev, until

from starter import GenerationHandle, VideoClient
from starter.releases import standing
from workflows.contracts.stages import Stage, Status

# Python only, and half a minute of it.
pytestmark = [pytest.mark.slow, pytest.mark.tools(), pytest.mark.timeout(600)]

IN_FLIGHT = 40 if os.environ.get("STILLMOTION_EVIDENCE") == "1" else 12
"""12 in `make test`, 40 as evidence."""

PARKS = "it outlives its deadline"


@pytest.fixture
async def own_stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack of its own: once a version is current, workers without one get nothing."""
    folder = tmp_path / "stack"
    async with (
        running_dev(folder, "--no-workers", "--sandbox-work-s=8") as (_, address),
        await VideoClient.connect(folder) as client,
    ):
        yield Stack(folder, address, client)


async def test_a_rolling_restart_under_load_fails_no_generation_and_pays_none_twice(
    own_stack: Stack, tmp_path: Path
) -> None:
    stack = own_stack
    impatience = impatient(tmp_path, image_to_video=2)
    old, new = ({"STILLMOTION_BUILD_ID": name, **impatience} for name in ("old", "new"))
    await stack.faults({"job": {"kind": "hang", "match": PARKS}, "output": SMALL})
    async with stack.worker(settings=old) as first, stack.worker(settings=old) as second:
        await _says_what_to_release(stack, "old")
        await _release(stack, "old")
        parked = await stack.start(PARKS)
        await at_stage(parked, Stage.TIMED_OUT)

        async with stack.worker(settings=new), stack.worker(settings=new):
            cats = (stack.animate(f"Cat {number}") for number in range(IN_FLIGHT - 1))
            others = await asyncio.gather(*cats)
            await _release(stack, "new")
            in_flight = await _running_on(stack, "old")
            later = await stack.animate("The first cat of the new version")
            codes = [await _stopped(first)]
            # Still at work, it parks again: and that is where it goes on with the new version.
            assert await parked.resume()
            await until(lambda: _version_is(stack, parked, "new"))
            await until(lambda: _nothing_runs_on(stack, "old"), timeout_s=300)
            ok, line = await _versions_line(stack)
            codes.append(await _stopped(second))
            await stack.mend("job")
            await until(lambda: _completes(parked))

            ended = [await finished(each, timeout_s=300) for each in (parked, later, *others)]

    assert in_flight >= IN_FLIGHT / 2
    assert (ok, line) == (
        True,
        "new is current; nothing runs on old, so its workers may be stopped",
    )
    assert codes == [0, 0]
    assert {generation.status for generation in ended} == {Status.COMPLETED}
    assert await _version_is(stack, later, "new")
    for handle in (parked, later, *others):
        assert len(await stack.predictions_of(handle.id)) == 1
        assert await stack.settlements(handle.id) == 1


async def _says_what_to_release(stack: Stack, build_id: str) -> None:
    """Until a version is current, nothing begins: `doctor` says so, with what to type."""

    async def said() -> bool:
        return await _versions_line(stack) == (
            False,
            f"{build_id} polls, but none is current: nothing begins",
        )

    await until(said)


async def _versions_line(stack: Stack) -> tuple[bool, str]:
    """What `doctor` says of the versions: whether all is well, and how they stand."""
    _, out, _ = await stack.cli("doctor", "-o", "json")
    (line,) = [check for check in json.loads(out)["checks"] if check["name"] == "versions"]
    return line["ok"], line["detail"]


async def _release(stack: Stack, build_id: str) -> None:
    """`stillmotion release`, which waits for workers of every queue."""
    code, _, said = await stack.cli("release", build_id)
    assert code == 0, said


async def _stopped(worker: Process) -> int:
    worker.process.send_signal(signal.SIGTERM)
    return await asyncio.wait_for(worker.process.wait(), 120)


async def _version_is(stack: Stack, handle: GenerationHandle, build_id: str) -> bool:
    described = await stack.client.temporal.get_workflow_handle(handle.id).describe()
    versioning = described.raw_description.workflow_execution_info.versioning_info
    return versioning.deployment_version.build_id == build_id


async def _nothing_runs_on(stack: Stack, build_id: str) -> bool:
    return await _running_on(stack, build_id) == 0


async def _running_on(stack: Stack, build_id: str) -> int:
    found = await standing(stack.client.temporal)
    return sum(each.running for each in found.versions if each.build_id == build_id)


async def _completes(handle: GenerationHandle) -> bool:
    """Whether it has; it is asked to look until it does."""
    await handle.resume()
    return (await handle.facts()).stage is Stage.COMPLETED
