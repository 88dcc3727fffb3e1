"""What `doctor` says of the pace: what is set, what to set, and how the account stands."""

import asyncio
from datetime import UTC, datetime

import pytest
from temporalio import activity
from temporalio.worker import Worker

from activities.database.pool import Pool
from activities.provider.pacing import Pacing
from starter.cli.pacing_checks import LEVELS, pacing, polled_rates_per_s
from tests.workflows.theatre import with_namespace
from workflows.contracts.queues import TaskQueue

REAL = "https://api.wavespeed.ai/api/v3"
SANDBOX = "http://127.0.0.1:4010/api/v3"
STARTS, JOBS = "STILLMOTION_STARTS_PER_MINUTE", "STILLMOTION_JOBS_IN_FLIGHT_MAX"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STARTS, raising=False)
    monkeypatch.delenv(JOBS, raising=False)


async def test_a_real_account_without_limits_is_a_warning_that_recommends_them() -> None:
    told = await pacing(REAL, None, None)

    assert told.startswith("warning: starts are not limited, nor jobs at once.")
    assert "Bronze 2 and 2, Silver 60 and 100, Gold 600 and 2,000, Ultra 5,000 and 5,000" in told
    assert STARTS in told
    assert JOBS in told


async def test_one_limit_alone_is_still_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JOBS, "100")

    told = await pacing(REAL, None, None)

    assert told.startswith("warning: starts are not limited, 100 jobs at once.")


async def test_a_sandbox_needs_no_limits() -> None:
    assert await pacing(SANDBOX, None, None) == "starts are not limited, nor jobs at once"


async def test_what_is_set_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    silver = LEVELS[1]
    monkeypatch.setenv(STARTS, str(silver.starts_per_minute))
    monkeypatch.setenv(JOBS, str(silver.jobs_at_once))

    assert await pacing(REAL, None, None) == "60 starts a minute, 100 jobs at once"


async def test_places_and_a_pause_in_force_are_said(
    monkeypatch: pytest.MonkeyPatch, database: Pool
) -> None:
    monkeypatch.setenv(STARTS, "2")
    monkeypatch.setenv(JOBS, "2")
    before = await pacing(REAL, database, None)

    await Pacing(database, REAL).slow_down(600)
    told = await pacing(REAL, database, None)

    assert before == "2 starts a minute, 2 jobs at once; 0 places are taken"
    assert told.startswith(f"{before}; the provider asked for a pause until ")
    assert told.endswith(" UTC")
    assert await pacing("https://another.example/v3", database, None) == before


async def test_a_worker_with_another_rate_is_named(temporal_server: str) -> None:
    @activity.defn(name="provider.submit")
    async def submit() -> None: ...

    client = await with_namespace(temporal_server, f"pacing-{datetime.now(UTC):%H%M%S%f}")
    slow = Worker(
        client,
        task_queue=TaskQueue.SUBMIT,
        activities=[submit],
        max_task_queue_activities_per_second=0.5,
    )
    async with slow, asyncio.timeout(20):
        while not await polled_rates_per_s(client):
            await asyncio.sleep(0.05)
        told = await pacing(SANDBOX, None, client)

    assert "workers poll with 30 a minute" in told
