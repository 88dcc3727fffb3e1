"""The provider's activities: their waiting, their errors and their one look."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.provider.activities import ProviderActivities
from activities.provider.models import Prediction
from activities.provider.polling import interval_s
from activities.provider.settings import POLL_INTERVAL_S, POLL_INTERVAL_S_MAX
from tests.activities.conftest import SandboxControl, some_terms
from tests.activities.submissions.conftest import Desk
from workflows.contracts.activities import (
    ForGeneration,
    PredictionEnd,
    Resolution,
    Resolve,
    Verdict,
    Watch,
)
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage

ME = ForGeneration(generation_id="gen_one")


async def accepted(desk: Desk) -> Watch:
    """A prediction to be waited for."""
    await desk.staged()
    return a_watch(desk, await desk.submit())


def a_watch(desk: Desk, prediction_id: str, **given: object) -> Watch:
    identity = desk.submissions.identity
    agreed = {"base_url": identity.base_url, "key_fingerprint": identity.key_fingerprint, **given}
    now = datetime.now(UTC)
    return Watch(
        terms=some_terms("gen_one", **agreed),
        prediction_id=prediction_id,
        deadline_at=now + timedelta(minutes=1),
        accepted_at=now,
    )


async def poll(activities: ProviderActivities, watch: Watch) -> PredictionEnd:
    return await ActivityEnvironment().run(activities.poll, watch)


async def test_a_poll_returns_when_the_job_is_completed(
    activities: ProviderActivities, desk: Desk
) -> None:
    end = await poll(activities, await accepted(desk))

    assert end == PredictionEnd(state="completed")


async def test_a_finished_job_is_seen_whatever_the_provider_says_it_took(
    activities: ProviderActivities, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    truly = desk.client.prediction

    async def in_nanoseconds(prediction_id: str) -> Prediction:
        found = await truly(prediction_id)
        return found.model_copy(update={"execution_ms": 10**18})

    monkeypatch.setattr(desk.client, "prediction", in_nanoseconds)

    end = await poll(activities, await accepted(desk))

    assert end == PredictionEnd(state="completed")


@pytest.mark.parametrize(
    "weather",
    [
        {"kind": "status", "code": 503, "times": 2},
        {"kind": "status", "code": 429, "times": 2},
        {"kind": "cut", "times": 2},
        {"kind": "malformed", "times": 2},
        {"kind": "unknown_status", "status": "in_queue", "times": 2},
    ],
    ids=str,
)
async def test_a_poll_bears_the_providers_weather(
    activities: ProviderActivities,
    desk: Desk,
    sandbox: SandboxControl,
    weather: dict[str, object],
) -> None:
    await sandbox.faults(poll=weather)

    end = await poll(activities, await accepted(desk))

    assert end.state == "completed"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "failed"}, FailureKind.PROVIDER_FAILED),
        ({"kind": "moderated"}, FailureKind.PROMPT_REJECTED),
        ({"kind": "ended", "status": "cancelled"}, FailureKind.PROVIDER_FAILED),
        ({"kind": "ended", "status": "timeout"}, FailureKind.PROVIDER_FAILED),
    ],
    ids=str,
)
async def test_a_job_that_failed_says_why_in_our_words(
    activities: ProviderActivities,
    desk: Desk,
    sandbox: SandboxControl,
    fault: dict[str, object],
    kind: FailureKind,
) -> None:
    if fault["kind"] == "failed":
        fault = {**fault, "message": "GPU 7 at 10.0.0.3 on fire"}
    await sandbox.faults(job=fault)

    end = await poll(activities, await accepted(desk))

    assert (end.state, end.kind) == ("failed", kind)
    assert end.message
    assert "on fire" not in end.message


async def test_a_prediction_that_the_provider_lost_is_gone(
    activities: ProviderActivities, desk: Desk
) -> None:
    await desk.staged()

    end = await poll(activities, a_watch(desk, "nobody_knows_it"))

    assert (end.state, end.kind) == ("gone", FailureKind.PROVIDER_LOST)


async def test_a_poll_ends_at_its_deadline_with_the_job_running(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await sandbox.faults(job={"kind": "hang"})
    watch = await accepted(desk)

    end = await poll(
        activities,
        watch.model_copy(update={"deadline_at": datetime.now(UTC) + timedelta(seconds=0.2)}),
    )

    assert end == PredictionEnd(state="running")


async def test_a_poll_beats_and_stops_when_it_is_cancelled(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await sandbox.faults(job={"kind": "hang"})
    watch = await accepted(desk)
    environment = ActivityEnvironment()
    beaten = asyncio.Event()
    environment.on_heartbeat = lambda *_: beaten.set()

    polling = asyncio.create_task(environment.run(activities.poll, watch))
    await asyncio.wait_for(beaten.wait(), 20)
    environment.cancel()

    with pytest.raises(asyncio.CancelledError):
        await polling


async def test_a_poll_is_handed_over_at_once_when_its_worker_stops(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await sandbox.faults(job={"kind": "hang"})
    watch = await accepted(desk)
    environment = ActivityEnvironment()
    beaten = asyncio.Event()
    environment.on_heartbeat = lambda *_: beaten.set()

    polling = asyncio.create_task(environment.run(activities.poll, watch))
    await asyncio.wait_for(beaten.wait(), 20)
    environment.worker_shutdown()

    with pytest.raises(ApplicationError, match="another one goes on") as ended:
        await asyncio.wait_for(polling, 5)
    assert not ended.value.non_retryable


async def test_a_poll_takes_a_parked_generation_up_again(
    activities: ProviderActivities, desk: Desk
) -> None:
    watch = await accepted(desk)
    await desk.pool.execute("UPDATE generations SET stage = 'timed_out'")

    await poll(activities, watch)

    assert await desk.stage() is Stage.GENERATING


async def test_a_poll_records_a_prediction_that_only_history_knew(
    activities: ProviderActivities, desk: Desk
) -> None:
    watch = await accepted(desk)
    await desk.pool.execute(
        "UPDATE submissions SET state = 'sending', prediction_id = NULL, accepted_at = NULL"
    )

    await poll(activities, watch)

    row = await desk.row()
    assert (row.state, row.prediction_id) == ("accepted", watch.prediction_id)


@pytest.mark.parametrize(
    "other", [{"base_url": "http://127.0.0.1:1/api/v3"}, {"key_fingerprint": "f" * 12}], ids=str
)
async def test_another_provider_is_never_asked(
    activities: ProviderActivities,
    desk: Desk,
    sandbox: SandboxControl,
    other: dict[str, object],
) -> None:
    watch = a_watch(desk, (await accepted(desk)).prediction_id, **other)
    before = (await sandbox.log())["requests"]

    for look in (activities.poll, activities.check, activities.withdraw):
        with pytest.raises(ApplicationError) as refused:
            await ActivityEnvironment().run(look, watch)
        assert (refused.value.type, refused.value.non_retryable) == (
            FailureKind.PROVIDER_CHANGED,
            True,
        )

    assert (await sandbox.log())["requests"] == before


async def test_a_refused_key_ends_the_poll(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    watch = await accepted(desk)
    await sandbox.faults(any={"kind": "refused"})

    with pytest.raises(ApplicationError) as refused:
        await poll(activities, watch)

    assert (refused.value.type, refused.value.non_retryable) == (
        FailureKind.PROVIDER_REFUSED_KEY,
        True,
    )


async def test_a_check_looks_once(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await sandbox.faults(job={"kind": "hang"})
    watch = await accepted(desk)

    assert await ActivityEnvironment().run(activities.check, watch) == PredictionEnd(
        state="running"
    )

    requests = (await sandbox.log())["requests"]
    assert requests["GET /api/v3/predictions/{prediction_id}/result"] == 1


async def test_a_running_job_is_withdrawn(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await sandbox.faults(job={"kind": "hang"})
    watch = await accepted(desk)

    withdrawn = await ActivityEnvironment().run(activities.withdraw, watch)

    assert withdrawn.state == "deleted"
    (made,) = (await sandbox.log())["predictions"]
    assert made["status"] == "deleted"


async def test_a_finished_job_is_kept_by_a_withdrawal(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    watch = await accepted(desk)
    await poll(activities, watch)

    withdrawn = await ActivityEnvironment().run(activities.withdraw, watch)

    assert withdrawn.state == "completed"
    (made,) = (await sandbox.log())["predictions"]
    assert made["status"] == "completed"


async def test_paused_submits_send_nothing_and_pass_by_themselves(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await desk.pool.execute("INSERT INTO deployment (name, value) VALUES ('paused', 'by ann')")

    with pytest.raises(ApplicationError) as paused:
        await ActivityEnvironment().run(activities.submit, ME)
    await desk.pool.execute("DELETE FROM deployment WHERE name = 'paused'")
    submitted = await ActivityEnvironment().run(activities.submit, ME)

    assert (paused.value.type, paused.value.non_retryable) == (FailureKind.SUBMITS_PAUSED, False)
    assert await sandbox.submits() == (1, [submitted.prediction_id])


async def test_a_submission_in_doubt_has_its_kind(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await sandbox.faults(submit={"kind": "lost_reply"})

    with pytest.raises(ApplicationError) as lost:
        await ActivityEnvironment().run(activities.submit, ME)
    async with desk.submissions.locked("gen_one"):
        with pytest.raises(ApplicationError) as locked:
            await ActivityEnvironment().run(activities.submit, ME)

    assert lost.value.type == locked.value.type == FailureKind.SUBMISSION_AMBIGUOUS


async def test_an_overloaded_provider_says_when_to_come_again(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await sandbox.faults(submit={"kind": "status", "code": 429, "retry_after": 7})

    with pytest.raises(ApplicationError) as busy:
        await ActivityEnvironment().run(activities.submit, ME)

    assert busy.value.type == FailureKind.PROVIDER_OVERLOADED
    assert busy.value.next_retry_delay == timedelta(seconds=7)


async def test_a_persons_decision_is_carried_out(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await sandbox.faults(submit={"kind": "lost_reply", "times": 1})
    with pytest.raises(ApplicationError):
        await ActivityEnvironment().run(activities.submit, ME)
    (made,) = (await sandbox.submits())[1]

    async def decide(resolution: Resolution) -> Verdict:
        task = Resolve(generation_id="gen_one", resolution=resolution)
        return (await ActivityEnvironment().run(activities.resolve, task)).verdict

    assert await decide(Resolution(decision="give_up")) is Verdict.UNPROVEN
    async with desk.submissions.locked("gen_one"):
        assert await decide(Resolution(decision="resubmit")) is Verdict.IN_FLIGHT
    assert await decide(Resolution(decision="adopt", prediction_id=made)) is Verdict.ADOPTED
    assert (await desk.row()).prediction_id == made


def test_the_pause_between_looks_grows_with_the_jobs_age_and_stays_in_bounds() -> None:
    middle = [interval_s(age_s, jitter=0.5) for age_s in (-5, 0, 60, 150, 300, 1e6)]

    assert middle[0] == middle[1] == POLL_INTERVAL_S
    assert middle[-2] == middle[-1] == POLL_INTERVAL_S_MAX
    assert middle == sorted(middle)
    assert interval_s(0, jitter=0) == pytest.approx(POLL_INTERVAL_S * 0.8)
    assert interval_s(0, jitter=1) == pytest.approx(POLL_INTERVAL_S * 1.2)
    assert len({interval_s(0) for _ in range(20)}) > 1
