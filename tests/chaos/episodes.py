"""Directed episodes: the moments on which the money hangs, made to happen for certain.

Each plays on a running rig without workers and leaves it without workers; the checks come after.
With a guard taken out it plays the same, and the checks must find what the guard had kept. Time is
moved on by hand where only time would pass: an attempt is failed instead of waiting for its
heartbeat, a row of `submissions` is aged instead of waiting for its send window.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from starter import GenerationHandle
from tests.chaos.broken_worker import MOVED_ON_S
from tests.chaos.guards import Guard
from tests.chaos.parts import Program
from tests.chaos.rig import Rig, at_work, until
from tests.chaos.weather import CALM
from tests.end_to_end.stacks import COFFEE
from workflows.contracts.queues import TaskQueue
from workflows.contracts.stages import TERMINAL

USER = "episodes"
SLOW_S = 20.0
"""A reply that is still not there when its reader is killed."""
FROZEN_S = 25.0
"""Past the heartbeat timeout of a submission (20 s), which ends its only attempt."""
LATE_S = 14.0
"""How long the provider sits on a POST before it takes it; a second sender needs less."""
ALL_BUT_SUBMIT = tuple(queue for queue in TaskQueue if queue is not TaskQueue.SUBMIT)
PATIENCE_S = 120.0

Harm = Callable[[Program], Awaitable[None]]
Episode = Callable[[Rig, Guard | None], Awaitable[None]]


async def killed_after_post(rig: Rig, guard: Guard | None = None) -> None:
    """A worker is killed between the POST's arrival and its reply."""
    await _cut_short(rig, guard, times=1, harm=Program.kill, by_hand=True)


async def killed_after_post_often(rig: Rig, times: int) -> None:
    """The same for so many workers, each killed with its own POST open; nothing moved by hand."""
    await _cut_short(rig, None, times=times, harm=Program.kill, by_hand=False)


async def frozen_after_post_often(rig: Rig, times: int) -> None:
    """So many workers frozen there, all of them past every timeout, then thawed."""

    async def freeze(submitter: Program) -> None:
        submitter.freeze()

    await _cut_short(rig, None, times=times, harm=freeze, by_hand=False)


async def _cut_short(
    rig: Rig, guard: Guard | None, *, times: int, harm: Harm, by_hand: bool
) -> None:
    """Submitters one after the other, each harmed when the provider has the job."""
    await _some_earlier_video(rig)
    slow = {"kind": "slow", "delay_s": SLOW_S, "match": "cut short"}
    await rig.stack.faults(CALM | {"submit": slow})
    submitters = [submitter(rig, f"submitter-{number}", guard) for number in range(times + 1)]
    handles: list[GenerationHandle] = []
    async with at_work(worker(rig, "others", ALL_BUT_SUBMIT, guard)):
        for number, each in enumerate(submitters[:-1]):
            handle = await start(rig, f"cut short, number {number}")
            handles.append(handle)
            await each.start()
            await at_the_provider(rig, handle)
            await harm(each)
            if by_hand:
                await end_attempt(rig, handle.id)
        await rig.stack.mend("submit")
        async with at_work(submitters[-1]):
            if harm is not Program.kill:
                await asyncio.sleep(FROZEN_S)
            for each in submitters[:-1]:
                each.thaw()
            await asyncio.gather(*(each.stop() for each in submitters[:-1]))
            await all_ended(rig, handles)


async def frozen_before_post(rig: Rig, guard: Guard | None = None) -> None:
    """A worker freezes before its POST and loses its lock; another submits; then it thaws."""
    await rig.stack.faults(CALM)
    await _some_earlier_video(rig)
    flag = rig.directory.path / "freeze"
    flag.touch()
    frozen = submitter(rig, "frozen", guard, "--freeze", str(flag))
    async with at_work(worker(rig, "others", ALL_BUT_SUBMIT, guard), frozen):
        handle = await start(rig, "frozen before its POST")

        async def is_frozen() -> bool:
            return frozen.is_frozen

        await until(is_frozen, "the worker is frozen")
        await rig.stack.value(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        )
        async with at_work(submitter(rig, "second", guard)):
            await end_attempt(rig, handle.id)
            await move_on(rig, handle.id)
            await all_ended(rig, [handle])
        frozen.thaw()
        # It lets its activity finish: the POST, if there is to be one, has been made after this.
        await frozen.stop()


async def frozen_while_the_provider_dawdles(rig: Rig, guard: Guard | None = None) -> None:
    """A POST has left, its sender is frozen, and the provider takes the job long after."""
    await _some_earlier_video(rig)
    late = {"kind": "slow", "delay_s": LATE_S, "accepted": False, "times": 1, "match": "dawdles"}
    await rig.stack.faults(CALM | {"submit": late})
    sender = submitter(rig, "sender", guard)
    async with at_work(worker(rig, "others", ALL_BUT_SUBMIT, guard), sender):
        second = submitter(rig, "second", guard)
        handle = await start(rig, "the provider dawdles")
        await until(lambda: rig.stack.struck("submit"), "the POST has arrived")
        sender.freeze()
        async with asyncio.timeout(PATIENCE_S), at_work(second):
            await end_attempt(rig, handle.id)
            await move_on(rig, handle.id)
            # The looks of a reconciliation, at once: each would need a pause of its own.
            for _ in range(int(LATE_S / 0.5) + 2):
                await _look_at_once(handle)
                await asyncio.sleep(0.5)
            sender.thaw()
            await all_ended(rig, [handle])


async def late_reserve(rig: Rig, guard: Guard | None = None) -> None:
    """A generation is closed before anything was held; then an attempt to reserve arrives."""
    handle = await start(rig, "closed before it is held")
    await rig.client.temporal.get_workflow_handle(handle.id).terminate("an operator's mistake")
    await _second_hand(rig, guard, "close", handle.id)
    await _second_hand(rig, guard, "reserve", handle.id)


async def settled_again(rig: Rig, guard: Guard | None = None) -> None:
    """A settlement is repeated, twice at once, while the user holds other money."""
    await rig.stack.faults(CALM | {"job": {"kind": "hang", "match": "goes on meanwhile"}})
    async with at_work(worker(rig, "all", tuple(TaskQueue), None)):
        other = await start(rig, "goes on meanwhile")
        handle = await start(rig, "settled twice")
        await all_ended(rig, [handle])
        await at_the_provider(rig, other)
        await _second_hand(rig, guard, "record_usage", handle.id, times=2)
        await rig.stack.faults(CALM)
        if guard is not Guard.SETTLEMENT:
            await all_ended(rig, [other])


DIRECTED: dict[str, Episode] = {
    "killed-after-post": killed_after_post,
    "frozen-before-post": frozen_before_post,
    "provider-dawdles": frozen_while_the_provider_dawdles,
    "late-reserve": late_reserve,
    "settled-again": settled_again,
}
"""By name, in the order in which a run plays them."""

OF_GUARD: dict[Guard, str] = {
    Guard.SENDING: "killed-after-post",
    Guard.SEND_BY: "frozen-before-post",
    Guard.LOCK: "provider-dawdles",
    Guard.TOMBSTONE: "late-reserve",
    Guard.SETTLEMENT: "settled-again",
}
"""The episode in which a guard is the only one that keeps the promise."""


# What episodes are made of


def worker(
    rig: Rig, name: str, queues: Sequence[TaskQueue], guard: Guard | None, *flags: str
) -> Program:
    """A worker without `guard`; the normal one where there is nothing to take out."""
    argv = ["-m", "workers", "worker"]
    if guard is not None or flags:
        without = ["--guard", guard] if guard is not None else []
        argv = ["-m", "tests.chaos.broken_worker", *without, *flags]
    return rig.program(name, *argv, "--queues", *queues, settings={"STILLMOTION_SUBMIT_SLOTS": "1"})


def submitter(rig: Rig, name: str, guard: Guard | None, *flags: str) -> Program:
    """A worker that only submits, one at a time: frozen, it keeps nobody else's task."""
    return worker(rig, name, (TaskQueue.SUBMIT,), guard, *flags)


async def start(rig: Rig, prompt: str) -> GenerationHandle:
    """An image-to-video generation; faults find it by its prompt."""
    await rig.put(USER, "enterprise")
    return await rig.client.image_to_video(COFFEE, prompt, user_id=USER, resolution="480p")


async def at_the_provider(rig: Rig, handle: GenerationHandle) -> None:
    """Wait until the provider has the job."""
    await until(lambda: rig.stack.jobs_of(handle.id), f"the provider has the job of {handle.id}")


async def all_ended(rig: Rig, handles: Sequence[GenerationHandle]) -> None:
    """Wait until all have ended; whoever is parked is told to look at once."""

    async def ended() -> bool:
        stages = [(await handle.facts()).stage for handle in handles]
        for handle, stage in zip(handles, stages, strict=True):
            if stage not in TERMINAL:
                await _look_at_once(handle)
        return all(stage in TERMINAL for stage in stages)

    await until(ended, f"{len(handles)} generations have ended", PATIENCE_S)


async def end_attempt(rig: Rig, generation_id: str) -> None:
    """End the running attempt to submit, as its heartbeat timeout would."""
    workflow = rig.client.temporal.get_workflow_handle(generation_id)
    described = await workflow.describe()
    for activity in described.raw_description.pending_activities:
        if activity.activity_type.name == "provider.submit":
            await rig.client.temporal.get_async_activity_handle(
                workflow_id=generation_id,
                run_id=described.run_id,
                activity_id=activity.activity_id,
            ).fail(ApplicationError("The heartbeat stopped.", type="MovedOn"))


async def move_on(rig: Rig, generation_id: str) -> None:
    """Let the send window of a submission have closed long ago."""
    await rig.stack.value(
        "UPDATE submissions SET sending_at = sending_at - $2 * interval '1 second',"
        " send_by = send_by - $2 * interval '1 second' WHERE generation_id = $1 RETURNING state",
        generation_id,
        MOVED_ON_S,
    )


async def _look_at_once(handle: GenerationHandle) -> None:
    try:
        await handle.resume()
    except RPCError:
        return


async def _some_earlier_video(rig: Rig) -> None:
    """A listing proves something only where rows with inputs stand in it."""
    if (await rig.stack.log())["accepted"]:
        return
    async with at_work(worker(rig, "earlier", tuple(TaskQueue), None)):
        await all_ended(rig, [await start(rig, "any earlier video")])


async def _second_hand(
    rig: Rig, guard: Guard | None, step: str, generation_id: str, times: int = 1
) -> None:
    without = ["--guard", guard] if guard is not None else []
    hand = rig.program(
        f"second-hand-{step}",
        *("-m", "tests.chaos.second_hand", *without, "--times", str(times), step, generation_id),
    )
    await hand.start()
    code = await hand.child.wait()
    told = hand.child.log_tail()
    await hand.stop()
    assert code == 0, f"{hand.name} ended with exit code {code}: {told}"
