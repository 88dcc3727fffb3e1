"""The sweeper's Schedule: made once, brought up to date, and deleted where it is not wanted."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import (
    Client,
    ScheduleActionStartWorkflow,
    ScheduleDescription,
    ScheduleOverlapPolicy,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from tests.workflows.theatre import with_namespace
from workers.schedules import schedule_sweeps
from workflows.contracts.sweeps import SCHEDULE_ID


@pytest.fixture(scope="session")
async def empty_namespace(temporal_server: str) -> Client:
    return await with_namespace(temporal_server, "schedules")


@pytest.fixture
async def client(empty_namespace: Client) -> AsyncIterator[Client]:
    """A namespace without a Schedule."""
    yield empty_namespace
    await schedule_sweeps(empty_namespace, 0)


async def described(client: Client) -> ScheduleDescription:
    return await client.get_schedule_handle(SCHEDULE_ID).describe()


def interval(seen: ScheduleDescription) -> timedelta:
    return seen.schedule.spec.intervals[0].every


async def test_many_workers_that_start_at_once_make_one_schedule(client: Client) -> None:
    await asyncio.gather(*(schedule_sweeps(client, 300) for _ in range(6)))

    seen = await described(client)
    assert interval(seen) == timedelta(minutes=5)
    assert seen.schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert seen.schedule.policy.catchup_window == timedelta(minutes=1)


async def test_another_interval_is_taken_over_and_an_operators_pause_stays(client: Client) -> None:
    await schedule_sweeps(client, 300)
    await client.get_schedule_handle(SCHEDULE_ID).pause(note="the provider is being moved")

    await schedule_sweeps(client, 60)

    seen = await described(client)
    assert interval(seen) == timedelta(minutes=1)
    assert (seen.schedule.state.paused, seen.schedule.state.note) == (
        True,
        "the provider is being moved",
    )


async def test_a_worker_that_wants_the_same_changes_nothing(client: Client) -> None:
    await schedule_sweeps(client, 300)

    await schedule_sweeps(client, 300)

    assert (await described(client)).info.last_updated_at is None


async def test_a_summary_is_taken_off_since_it_would_bear_one_payload_key_for_ever(
    client: Client,
) -> None:
    await schedule_sweeps(client, 300)
    handle = client.get_schedule_handle(SCHEDULE_ID)

    def summarised(seen: ScheduleUpdateInput) -> ScheduleUpdate:
        action = seen.description.schedule.action
        assert isinstance(action, ScheduleActionStartWorkflow)
        action.static_summary = "encrypted by the first key"
        return ScheduleUpdate(seen.description.schedule)

    assert _summary(await described(client)) is None
    await handle.update(summarised)
    assert _summary(await described(client)) is not None

    await schedule_sweeps(client, 300)

    assert _summary(await described(client)) is None


def _summary(seen: ScheduleDescription) -> object:
    action = seen.schedule.action
    assert isinstance(action, ScheduleActionStartWorkflow)
    return action.static_summary


async def test_an_interval_of_zero_deletes_it_and_is_fine_without_one(client: Client) -> None:
    await schedule_sweeps(client, 300)

    for _ in range(2):
        await schedule_sweeps(client, 0)

    with pytest.raises(RPCError) as missing:
        await described(client)
    assert missing.value.status is RPCStatusCode.NOT_FOUND


async def test_a_server_that_refuses_leaves_the_worker_without_sweeps(
    temporal_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = await Client.connect(temporal_server, namespace="no-such-namespace")

    await schedule_sweeps(stranger, 300)

    assert "no sweeps: the schedule could not be kept" in capsys.readouterr().out
