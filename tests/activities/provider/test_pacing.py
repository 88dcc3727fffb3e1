"""The pace of submissions: a 429 slows everybody down, and jobs in flight have their limit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from activities.database.pool import Pool, connect
from activities.generations import repository as generations
from activities.media.store import MediaStore
from activities.provider.activities import ProviderActivities
from activities.provider.errors import RETRY_AFTER_S_MAX, SubmissionAmbiguous
from activities.provider.pacing import SLOW_DOWN_S, AskedToWait, HeldBack, Pacing, standing
from activities.provider.reconciliation import Reconciliation
from activities.provider.staging import Staging
from activities.provider.submissions import Submissions
from activities.provider.wavespeed import WaveSpeed
from tests.activities.conftest import SandboxControl, settings_for_database
from tests.activities.submissions.conftest import Desk
from workflows.contracts.activities import ForGeneration, Submitted
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage

ONE, TWO = "gen_one", "gen_two"

MakeDesk = Callable[[int | None], Desk]
MakeActivities = Callable[..., ProviderActivities]


@pytest.fixture
def desk_for(database: Pool, wavespeed: WaveSpeed, tmp_path: Path) -> MakeDesk:
    """Submissions to an account that takes so many jobs at once."""

    def make(jobs_in_flight_max: int | None) -> Desk:
        submissions = Submissions(database, wavespeed, jobs_in_flight_max=jobs_in_flight_max)
        reconciliation = Reconciliation(submissions, wavespeed, settle_delay_s=5)
        return Desk(database, wavespeed, submissions, reconciliation, tmp_path)

    return make


@pytest.fixture
def activities_of(store: MediaStore) -> MakeActivities:
    """The activities at a desk; they wait in their slot for so long."""

    def make(desk: Desk, waits_in_slot_s: float = 0) -> ProviderActivities:
        return ProviderActivities(
            pool=desk.pool,
            client=desk.client,
            staging=Staging(desk.pool, store, desk.client, desk.submissions),
            submissions=desk.submissions,
            reconciliation=desk.reconciliation,
            waits_in_slot_s=waits_in_slot_s,
        )

    return make


@pytest.fixture
async def elsewhere(database_url: str) -> AsyncIterator[Pool]:
    """The connections of another worker."""
    async with connect(settings_for_database(database_url)) as pool:
        yield pool


async def submit(activities: ProviderActivities, generation_id: str = ONE) -> Submitted:
    task = ForGeneration(generation_id=generation_id)
    return await ActivityEnvironment().run(activities.submit, task)


async def refusal(submitting: Awaitable[Submitted]) -> ApplicationError:
    with pytest.raises(ApplicationError) as refused:
        await submitting
    return refused.value


async def pause_s(pool: Pool) -> float:
    """How much is left of the pause that is in force."""
    return await pool.fetchval(
        "SELECT extract(epoch FROM not_before - clock_timestamp())::float8 FROM pacing"
    )


async def move(pool: Pool, generation_id: str, stage: Stage) -> None:
    async with pool.acquire() as connection, connection.transaction():
        assert await generations.record(connection, generation_id, stage)


async def test_a_429_of_one_holds_back_all_and_leaves_their_rows_alone(
    desk_for: MakeDesk, activities_of: MakeActivities, sandbox: SandboxControl, elsewhere: Pool
) -> None:
    desk = desk_for(None)
    await desk.staged(ONE)
    await desk.staged(TWO)
    other = Desk(
        elsewhere,
        desk.client,
        Submissions(elsewhere, desk.client),
        desk.reconciliation,
        desk.folder,
    )
    await sandbox.faults(submit={"kind": "status", "code": 429, "retry_after": 60})

    busy = await refusal(submit(activities_of(desk), ONE))
    held = await refusal(submit(activities_of(other), TWO))

    assert (busy.type, busy.next_retry_delay) == (
        FailureKind.PROVIDER_OVERLOADED,
        timedelta(seconds=60),
    )
    # It counts against the provider's patience, as if the provider had been asked.
    assert held.type == FailureKind.PROVIDER_OVERLOADED
    assert held.category is ApplicationErrorCategory.BENIGN
    assert held.message.startswith("The provider asked for a pause until ")
    assert held.next_retry_delay is not None
    assert 30 < held.next_retry_delay.total_seconds() <= 60 * 1.2 + 1
    assert await sandbox.submits() == (1, [])
    assert (await desk.row(TWO)).attempts == 0
    assert await desk.attempts(TWO) == []


async def test_a_pause_may_be_an_http_date(
    desk_for: MakeDesk, activities_of: MakeActivities, sandbox: SandboxControl
) -> None:
    desk = desk_for(None)
    await desk.staged()
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)
    await sandbox.faults(submit={"kind": "status", "code": 429, "retry_after": date})

    await refusal(submit(activities_of(desk)))

    assert 60 < await pause_s(desk.pool) <= 120


async def test_a_429_without_a_time_holds_all_back_for_a_quarter_of_a_minute(
    desk_for: MakeDesk, activities_of: MakeActivities, sandbox: SandboxControl
) -> None:
    desk = desk_for(None)
    await desk.staged()
    await sandbox.faults(submit={"kind": "status", "code": 429})

    busy = await refusal(submit(activities_of(desk)))

    assert busy.next_retry_delay is not None
    asked_s = busy.next_retry_delay.total_seconds()
    assert 0.8 * SLOW_DOWN_S <= asked_s <= 1.2 * SLOW_DOWN_S
    assert await pause_s(desk.pool) <= asked_s


async def test_no_pause_is_longer_than_is_believable_and_none_is_cut_short_by_another(
    database: Pool,
) -> None:
    pacing = Pacing(database, "https://one.example/v3")

    assert await pacing.slow_down(7_000) == RETRY_AFTER_S_MAX
    assert await pacing.slow_down(1) == 1

    assert 1 < await pause_s(database) <= RETRY_AFTER_S_MAX
    async with database.acquire() as connection:
        with pytest.raises(AskedToWait):
            await pacing.require_turn(connection)
        await Pacing(database, "https://another.example/v3").require_turn(connection)


async def test_senders_who_hold_all_connections_learn_of_a_pause_without_another(
    desk_for: MakeDesk, database_url: str
) -> None:
    desk = desk_for(None)
    await desk.staged()
    await desk.submissions.pacing.slow_down(60)

    async with connect(settings_for_database(database_url, connections_max=1)) as narrow:
        held = asyncio.wait_for(Submissions(narrow, desk.client).submit(ONE), 10)
        with pytest.raises(AskedToWait):
            await held


async def test_a_short_pause_is_waited_out_in_the_slot(
    desk_for: MakeDesk, activities_of: MakeActivities, sandbox: SandboxControl
) -> None:
    desk = desk_for(None)
    await desk.staged()
    await desk.submissions.pacing.slow_down(0.5)

    submitted = await submit(activities_of(desk, waits_in_slot_s=20))

    assert await sandbox.submits() == (1, [submitted.prediction_id])


async def test_what_was_submitted_before_is_never_held_back(
    desk_for: MakeDesk, activities_of: MakeActivities, sandbox: SandboxControl
) -> None:
    desk = desk_for(1)
    await desk.staged(ONE)
    await desk.staged(TWO)
    taken = await desk.submit(ONE)
    await move(desk.pool, ONE, Stage.DOWNLOADING)
    await sandbox.faults(submit={"kind": "lost_reply"})
    with pytest.raises(SubmissionAmbiguous):
        await desk.submit(TWO)
    await desk.submissions.pacing.slow_down(60)

    adopted = await submit(activities_of(desk), ONE)
    doubted = await refusal(submit(activities_of(desk), TWO))

    assert adopted.prediction_id == taken
    assert doubted.type == FailureKind.SUBMISSION_AMBIGUOUS


async def test_a_submission_waits_in_its_slot_until_a_place_is_free(
    desk_for: MakeDesk, activities_of: MakeActivities
) -> None:
    desk = desk_for(1)
    await desk.staged(ONE)
    await desk.staged(TWO)
    activities = activities_of(desk, waits_in_slot_s=20)
    await submit(activities, ONE)

    waiting = asyncio.create_task(submit(activities, TWO))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await move(desk.pool, ONE, Stage.DOWNLOADING)

    assert (await waiting).prediction_id == (await desk.row(TWO)).prediction_id


async def test_without_a_free_place_nothing_is_sent_and_the_row_stays_as_it_was(
    desk_for: MakeDesk, activities_of: MakeActivities, sandbox: SandboxControl
) -> None:
    desk = desk_for(1)
    await desk.staged(ONE)
    await desk.staged(TWO)
    await desk.submit(ONE)

    held = await refusal(submit(activities_of(desk), TWO))

    assert held.type == FailureKind.PLACES_TAKEN
    assert held.message == "1 of 1 jobs are in flight; one has to end first."
    assert not held.non_retryable
    assert (await sandbox.submits())[0] == 1
    row = await desk.row(TWO)
    assert (row.state, row.attempts, row.sending_at) == ("prepared", 0, None)


@pytest.mark.parametrize("why", ["cancelled", "its worker stops"])
async def test_a_wait_for_a_place_that_nobody_needs_any_more_sends_nothing(
    desk_for: MakeDesk, activities_of: MakeActivities, sandbox: SandboxControl, why: str
) -> None:
    desk = desk_for(1)
    await desk.staged(ONE)
    await desk.staged(TWO)
    await desk.submit(ONE)
    environment = ActivityEnvironment()
    task = ForGeneration(generation_id=TWO)
    waiting = asyncio.create_task(environment.run(activities_of(desk, 600).submit, task))
    await asyncio.sleep(0.2)

    if why == "cancelled":
        environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    else:
        environment.worker_shutdown()
    held = await refusal(asyncio.wait_for(waiting, 20))

    assert held.type == FailureKind.PLACES_TAKEN
    assert (await sandbox.submits())[0] == 1
    assert (await desk.row(TWO)).state == "prepared"


async def test_an_operators_pause_reaches_those_who_wait_for_a_place(
    desk_for: MakeDesk, activities_of: MakeActivities
) -> None:
    desk = desk_for(1)
    await desk.staged(ONE)
    await desk.staged(TWO)
    await desk.submit(ONE)
    waiting = asyncio.create_task(submit(activities_of(desk, 600), TWO))
    await asyncio.sleep(0.2)

    await desk.pool.execute("INSERT INTO deployment (name, value) VALUES ('paused', 'now')")
    paused = await refusal(asyncio.wait_for(waiting, 20))

    assert paused.type == FailureKind.SUBMITS_PAUSED


@pytest.mark.parametrize("stage", [Stage.DOWNLOADING, Stage.TIMED_OUT, Stage.FAILED])
async def test_a_place_is_free_when_its_job_is_fetched_parked_or_ended(
    desk_for: MakeDesk, stage: Stage
) -> None:
    desk = desk_for(1)
    await desk.staged(ONE)
    await desk.staged(TWO)
    await desk.submit(ONE)
    before = await standing(desk.pool, desk.client.base_url)

    await move(desk.pool, ONE, stage)
    freed = await standing(desk.pool, desk.client.base_url)
    await desk.submit(TWO)

    assert (before.taken, freed.taken) == (1, 0)


async def test_a_submission_in_doubt_keeps_its_place_until_it_is_parked(
    desk_for: MakeDesk, sandbox: SandboxControl
) -> None:
    desk = desk_for(1)
    await desk.staged(ONE)
    await desk.staged(TWO)
    await sandbox.faults(submit={"kind": "lost_reply", "times": 1})
    with pytest.raises(SubmissionAmbiguous):
        await desk.submit(ONE)

    with pytest.raises(HeldBack):
        await desk.submit(TWO)
    await move(desk.pool, ONE, Stage.UNRESOLVED)

    assert await desk.submit(TWO)


async def test_a_refused_submission_holds_no_place(
    desk_for: MakeDesk, activities_of: MakeActivities, sandbox: SandboxControl
) -> None:
    desk = desk_for(1)
    await desk.staged(ONE)
    await desk.staged(TWO)
    await sandbox.faults(submit={"kind": "credit_exhausted", "times": 1})
    refused = await refusal(submit(activities_of(desk), ONE))

    submitted = await submit(activities_of(desk), TWO)

    assert refused.type == FailureKind.PROVIDER_CREDIT_EXHAUSTED
    assert (await sandbox.submits())[1] == [submitted.prediction_id]
