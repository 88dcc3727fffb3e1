"""An operator's `sweep`: the sweeper at once, and what came of it."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from starter.cli.context import Ctx, operators_database
from starter.cli.flags import SWITCH
from starter.cli.output import Fields
from starter.cli.refusals import DONE, NOT_FINISHED, NOT_REACHABLE

if TYPE_CHECKING:
    from temporalio.client import Client, ScheduleHandle, WorkflowHandle

    from workflows.contracts.sweeps import SweepEnd

LOOK_S = 0.2

_FORGET_NAMESPACE = "DELETE FROM deployment WHERE name = 'temporal_namespace'"


async def sweep(
    *,
    accept_namespace: Annotated[
        bool,
        SWITCH,
        Parameter(
            help="Take the workers' Temporal namespace for this database's own, after the one"
            " before was lost with its data: who has no workflow there is restarted, or released"
        ),
    ] = False,
    timeout: Annotated[  # noqa: ASYNC109 - the flag's name
        float, Parameter(help="How long to wait for it, in seconds")
    ] = 600.0,
    ctx: Ctx,
) -> int:
    """Look for what a crash left behind, mend what is safe, and say what is left.

    For example: stillmotion sweep
    """
    from starter.places import connect_temporal, find_place

    temporal = await connect_temporal(find_place(ctx.data_dir))
    if accept_namespace:
        async with operators_database(ctx) as pool:
            await pool.execute(_FORGET_NAMESPACE)
    ctx.output.note("Sweeping: a worker takes its looks one after the other.")
    try:
        async with asyncio.timeout(timeout):
            handle = await _started(temporal)
            end: SweepEnd = await handle.result()
    except TimeoutError:
        ctx.output.note(
            f"It has not ended yet: {ctx.command('doctor')} says whether a worker runs."
        )
        return NOT_FINISHED
    ctx.output.value(end, Fields(_rows(end)), bare=str(sum(end.repaired.values())))
    return NOT_REACHABLE if end.failed else DONE


async def _started(temporal: "Client") -> "WorkflowHandle[Any, SweepEnd]":
    """The run that follows from now: the Schedule's next one, or one of its own without it."""
    from temporalio.client import ScheduleOverlapPolicy
    from temporalio.common import WorkflowIDConflictPolicy
    from temporalio.service import RPCError, RPCStatusCode

    from workflows.contracts.queues import TaskQueue
    from workflows.contracts.sweeps import SCHEDULE_ID, WORKFLOW_TYPE, SweepEnd

    schedule = temporal.get_schedule_handle(SCHEDULE_ID)
    try:
        before = (await schedule.describe()).info.num_actions
        # After the one that runs now, which may have looked already.
        await schedule.trigger(overlap=ScheduleOverlapPolicy.BUFFER_ONE)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return await temporal.start_workflow(
            WORKFLOW_TYPE,
            id=f"{SCHEDULE_ID}-by-hand",
            task_queue=TaskQueue.GENERATIONS.value,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            result_type=SweepEnd,
        )
    workflow_id = await _next_action(schedule, before)
    return temporal.get_workflow_handle(workflow_id, result_type=SweepEnd)


async def _next_action(schedule: "ScheduleHandle", before: int) -> str:
    """The workflow id of the first run after `before` runs."""
    from temporalio.client import ScheduleActionExecutionStartWorkflow

    while True:
        info = (await schedule.describe()).info
        if info.num_actions > before:
            newest = info.recent_actions[-1].action
            assert isinstance(newest, ScheduleActionExecutionStartWorkflow)
            return newest.workflow_id
        await asyncio.sleep(LOOK_S)


def _rows(end: "SweepEnd") -> list[tuple[str, str | None]]:
    rows: list[tuple[str, str | None]] = [
        ("repaired", _counts(end.repaired)),
        ("left to a person", _counts(end.found)),
    ]
    return rows + [(f"not looked at: {look}", why) for look, why in end.failed.items()]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in counts.items()) or "nothing"
