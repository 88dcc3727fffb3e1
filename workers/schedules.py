"""The Schedule that has the sweeper run, made or brought up to date by every worker that serves it.

Several may do so at once: they say the same. What an operator changes by hand on the Schedule, such
as a pause, stays; how often it runs is a setting.
"""

from datetime import timedelta

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from workflows.contracts.queues import TaskQueue
from workflows.contracts.sweeps import SCHEDULE_ID, WORKFLOW_TYPE

CATCH_UP = timedelta(minutes=1)
"""After an outage one sweep is enough: it sees all that there is."""

log = structlog.get_logger()


async def schedule_sweeps(client: Client, interval_s: int) -> None:
    """Have the sweeper run every `interval_s` seconds; 0 = never, an existing Schedule is deleted.

    A server that refuses it leaves the worker without sweeps, which `stillmotion doctor` tells.
    """
    try:
        if interval_s == 0:
            await _forget(client)
        else:
            await _keep(client, timedelta(seconds=interval_s))
    except RPCError as error:
        log.warning("no sweeps: the schedule could not be kept", why=error.status.name)


async def _keep(client: Client, every: timedelta) -> None:
    wanted = _schedule(every)
    try:
        await client.create_schedule(SCHEDULE_ID, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(SCHEDULE_ID).update(lambda seen: _changed(seen, wanted))


def _schedule(every: timedelta) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            WORKFLOW_TYPE,
            id=SCHEDULE_ID,
            task_queue=TaskQueue.GENERATIONS.value,
            # Without a summary, which would keep the payload key of the day it was made.
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )


def _changed(seen: ScheduleUpdateInput, wanted: Schedule) -> ScheduleUpdate | None:
    """The update that is needed; None where it runs as often as it should, and bears no key."""
    known = seen.description.schedule
    is_same = known.spec.intervals == wanted.spec.intervals and known.policy == wanted.policy
    if is_same and not _has_summary(known):
        return None
    wanted.state = known.state
    return ScheduleUpdate(wanted)


def _has_summary(schedule: Schedule) -> bool:
    action = schedule.action
    return isinstance(action, ScheduleActionStartWorkflow) and action.static_summary is not None


async def _forget(client: Client) -> None:
    try:
        await client.get_schedule_handle(SCHEDULE_ID).delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
