"""A parked generation goes on in a new run of the current version, and nobody sees a difference."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest

from tests.workflows.episodes import Episode
from tests.workflows.scripted import HELD, PREDICTION, VIDEO, Gate, Script, refused
from tests.workflows.stagehand import Stagehand
from tests.workflows.theatre import (
    Handle,
    Theatre,
    cancelled,
    facts,
    history,
    reaches,
    timers,
    until,
    with_namespace,
)
from tests.workflows.versions import Versions, version_of, versioned
from workflows import continuing
from workflows.contracts.activities import (
    PredictionEnd,
    PromptBuilt,
    Reconciled,
    Submitted,
    Verdict,
    Watch,
    Withdrawn,
)
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.queues import STATUS, USER
from workflows.contracts.requests import Continued, Parked
from workflows.contracts.stages import Stage

ACCEPTED_AT = datetime.now(UTC) - timedelta(hours=1)
"""Longer ago than the deadline."""
TAKEN = Submitted(prediction_id=PREDICTION)
KNOWN = Submitted(prediction_id=PREDICTION, accepted_at=ACCEPTED_AT)
COMPLETED = PredictionEnd(state="completed")
RUNNING = PredictionEnd(state="running")
KEY = refused(FailureKind.PROVIDER_REFUSED_KEY, "The provider refuses our key.")
FULL = refused(FailureKind.STORE_FULL, "The media store is full.")
AMBIGUOUS = refused(FailureKind.SUBMISSION_AMBIGUOUS, "The reply was lost.")
UNPROVEN = Reconciled(verdict=Verdict.UNPROVEN, evidence="The listing is not complete.")
ADOPTED = Reconciled(verdict=Verdict.ADOPTED, prediction_id=PREDICTION, evidence="It is there.")
TAKES_UP = ["ledger.reserve", "provider.submit"]


@pytest.fixture(scope="module")
async def versions(temporal_server: str) -> AsyncGenerator[Versions]:
    client = await with_namespace(temporal_server, "continued")
    stagehand = Stagehand()
    async with versioned(client, stagehand, "continued") as versions:
        await versions.release()
        yield versions


@pytest.fixture
async def stage(versions: Versions) -> AsyncGenerator[Theatre]:
    theatre = Theatre(versions.client, versions.stagehand)
    yield theatre
    await theatre.clear()


def _parked_once(script: Script | None = None) -> Script:
    """One whose key is refused while polling; the provider's job goes on."""
    script = script or Script()
    return script.on("provider.submit", TAKEN, KNOWN).on("provider.poll", KEY)


async def _goes_on_elsewhere(handle: Handle, versions: Versions) -> str:
    """Release a version, and wait until the generation has gone on to it; returns its build id."""
    build_id = await versions.release()
    await handle.signal("resume")
    await until(lambda: _is_at(handle, build_id))
    return build_id


async def _is_at(handle: Handle, build_id: str) -> bool:
    return await version_of(handle) == build_id


async def test_it_goes_on_with_the_current_version_and_looks_the_same(
    stage: Theatre, versions: Versions
) -> None:
    script = _parked_once().on("provider.check", KEY, COMPLETED)
    script.on("prompts.build_prompt", PromptBuilt(prompt_by="llm", warnings=("It was cut.",)))
    handle = await stage.start(script)
    before = await reaches(handle, Stage.TIMED_OUT)
    calls = script.calls

    await _goes_on_elsewhere(handle, versions)
    await until(lambda: script.count("provider.submit") == 2)
    await until(lambda: _knows_the_prediction(handle))
    after = await facts(handle)
    described = await handle.describe()
    await handle.signal("resume")
    result = await handle.result()

    assert script.calls[len(calls) :][:3] == ["provider.check", *TAKES_UP]
    assert after.model_dump(exclude={"started_at", "generating_since"}) == (
        before.model_dump(exclude={"started_at", "generating_since"})
    )
    assert after.generating_since == ACCEPTED_AT
    assert after.money == HELD
    assert described.typed_search_attributes[STATUS] == "timed_out"
    assert described.typed_search_attributes[USER] == "5f" * 16
    assert script.count("ledger.park") == 1
    assert (result.prompt_by, result.warnings[0]) == ("llm", "It was cut.")


async def _knows_the_prediction(handle: Handle) -> bool:
    return (await facts(handle)).prediction_id == PREDICTION


async def test_deadline_and_retention_count_from_when_the_provider_took_it(
    stage: Theatre, versions: Versions
) -> None:
    script = _parked_once().on("provider.check", KEY, COMPLETED)
    handle = await stage.start(script)
    await reaches(handle, Stage.TIMED_OUT)

    await _goes_on_elsewhere(handle, versions)
    await handle.signal("resume")
    await handle.result()

    watch = script.last("provider.check", Watch)
    assert watch.accepted_at == ACCEPTED_AT
    assert watch.deadline_at == ACCEPTED_AT + timedelta(seconds=600)


async def test_a_video_that_could_not_be_fetched_is_fetched_by_the_new_version(
    stage: Theatre, versions: Versions
) -> None:
    script = Script().on("provider.submit", TAKEN, KNOWN)
    script.on("media.download", FULL, FULL, VIDEO).on("provider.check", COMPLETED)
    handle = await stage.start(script)
    await reaches(handle, Stage.TIMED_OUT)

    await _goes_on_elsewhere(handle, versions)
    parked = await reaches(handle, Stage.TIMED_OUT)
    parks = script.count("ledger.park")
    await handle.signal("resume")
    await handle.result()

    assert parked.failure is not None
    assert parked.failure.kind is FailureKind.STORE_FULL
    assert script.count("ledger.park") == parks
    assert script.calls[-3:] == ["media.download", "library.save", "ledger.record_usage"]


async def test_an_unresolved_one_is_decided_in_its_new_run(
    stage: Theatre, versions: Versions
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)
    script.on("provider.resolve", ADOPTED)
    handle = await _unresolved(stage, script)

    await _goes_on_elsewhere(handle, versions)
    await until(lambda: script.count("provider.submit") == 2)
    after = await reaches(handle, Stage.UNRESOLVED)
    decision = {"decision": "adopt", "prediction_id": PREDICTION}
    answer = await handle.execute_update("resolve_submission", decision)
    await handle.result()

    assert after.failure is not None
    assert after.failure.kind is FailureKind.SUBMISSION_AMBIGUOUS
    assert answer == "It is there."
    assert script.count("ledger.park") == 1
    assert script.count("provider.stage_inputs") == 1
    # One look before the decision: the new run begins with the pause that the old one was in.
    taken_up = len(script.calls) - script.calls[::-1].index("provider.submit")
    assert script.calls[taken_up:][:2] == ["provider.reconcile", "provider.resolve"]


async def _unresolved(stage: Theatre, script: Script) -> Handle:
    """One whose submission nothing proves, hurried through the pauses before it parks."""
    handle = await stage.start(script)
    while (await facts(handle)).stage is not Stage.UNRESOLVED:
        await handle.signal("resume")
    return handle


async def test_a_doubt_that_was_settled_meanwhile_is_adopted_by_the_new_run(
    stage: Theatre, versions: Versions
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS, KNOWN).on("provider.reconcile", UNPROVEN)
    script.on("provider.check", COMPLETED)
    handle = await _unresolved(stage, script)

    await _goes_on_elsewhere(handle, versions)
    result = await handle.result()

    assert result.prediction_id == PREDICTION
    # Its deadline is long over, so that it is looked at before it is waited for.
    assert script.last("provider.check", Watch).accepted_at == ACCEPTED_AT


async def test_a_cancel_reaches_the_new_run_and_a_finished_job_is_kept(
    stage: Theatre, versions: Versions
) -> None:
    script = _parked_once().on("provider.check", KEY)
    script.on("provider.withdraw", Withdrawn(state="completed"))
    handle = await stage.start(script)
    await reaches(handle, Stage.TIMED_OUT)
    await _goes_on_elsewhere(handle, versions)

    await handle.cancel()
    result = await handle.result()

    assert result.prediction_id == PREDICTION
    assert script.count("ledger.close") == 0


async def test_a_cancel_while_the_new_run_takes_up_is_asked_of_the_provider(
    stage: Theatre, versions: Versions
) -> None:
    taking_up = Gate(KNOWN, outlasts=True)
    script = Script().on("provider.submit", TAKEN, taking_up).on("provider.poll", KEY)
    script.on("provider.check", KEY)
    handle = await stage.start(script)
    await reaches(handle, Stage.TIMED_OUT)
    await _goes_on_elsewhere(handle, versions)
    await taking_up.entered.wait()

    await handle.cancel()
    taking_up.opened.set()

    await cancelled(handle)
    assert script.count("provider.withdraw") == 1
    assert script.closed() == (FailureKind.CANCELLED, "provisional")


async def test_a_child_stays_its_batchs_child(stage: Theatre, versions: Versions) -> None:
    batch = Episode(stage, 1)
    _parked_once(batch.item(1)).on("provider.check", KEY)
    run = await batch.start()
    await batch.reaches("parked")
    item: Handle = stage.client.get_workflow_handle(batch.ids[0])

    await _goes_on_elsewhere(item, versions)
    await until(lambda: batch.item(1).count("provider.submit") == 2)
    await run.cancel()

    await cancelled(run)
    assert batch.states() == ["cancelled"]


async def test_a_batch_and_what_it_starts_go_on_with_the_current_version(
    stage: Theatre, versions: Versions
) -> None:
    batch = Episode(stage, 2, max_parallel=1)
    gates = batch.hold_up((1,))
    run = await batch.start()
    await until(gates[1].entered.is_set)

    build_id = await versions.release()
    gates[1].opened.set()
    await run.result()

    first, second = (stage.client.get_workflow_handle(each) for each in batch.ids)
    assert await version_of(first) != build_id
    assert await version_of(second) == await version_of(run) == build_id


async def test_a_claim_to_be_parked_that_is_not_true_is_an_ordinary_start(
    stage: Theatre,
) -> None:
    nothing_staged = refused(FailureKind.PROVIDER_UNREACHABLE, "The inputs are not there yet.")
    script = Script().on("provider.submit", nothing_staged, TAKEN)
    forged = Continued(
        parked=Parked(
            stage=Stage.TIMED_OUT,
            looks=3,
            why=failure(FailureKind.DEADLINE_PASSED, "So they say."),
        )
    )

    handle = await stage.start(script, forged.model_dump(mode="json"))
    result = await handle.result()

    assert script.calls[:5] == [
        *TAKES_UP,
        "prompts.build_prompt",
        "provider.stage_inputs",
        "provider.submit",
    ]
    assert result.prompt_by == "caller"
    assert (await handle.describe()).typed_search_attributes[STATUS] == "completed"


async def test_the_pauses_go_on_widening_in_the_new_run(
    in_no_time: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([False] * 3 + [True] + [False] * 20)
    monkeypatch.setattr(continuing, "_is_due", lambda: next(looks))
    script = Script().on("provider.submit", TAKEN).on("provider.poll", KEY)
    script.on("provider.check", *[KEY] * 5, COMPLETED)

    handle = await in_no_time.start(script)
    first_run = handle.first_execution_run_id
    await handle.result()

    first = in_no_time.client.get_workflow_handle(handle.id, run_id=first_run)
    pauses = [
        pause / timedelta(minutes=1)
        for run in (first, in_no_time.client.get_workflow_handle(handle.id))
        for pause in timers(await history(run))
    ]
    assert pauses == [1, 2, 4, 8, 16, 32]
    assert script.count("ledger.park") == 1


async def test_one_whose_adoption_is_cut_short_still_counts_from_the_real_acceptance(
    stage: Theatre, versions: Versions
) -> None:
    known = ADOPTED.model_copy(update={"accepted_at": ACCEPTED_AT})
    script = Script().on("provider.submit", TAKEN, AMBIGUOUS).on("provider.reconcile", known)
    script.on("provider.poll", KEY).on("provider.check", KEY, RUNNING, COMPLETED)
    handle = await stage.start(script)
    await reaches(handle, Stage.TIMED_OUT)

    await _goes_on_elsewhere(handle, versions)
    await until(lambda: _counts_from(handle, ACCEPTED_AT))
    await handle.signal("resume")
    await handle.result()

    assert script.count("provider.poll") == 1


async def _counts_from(handle: Handle, moment: datetime) -> bool:
    return (await facts(handle)).generating_since == moment
