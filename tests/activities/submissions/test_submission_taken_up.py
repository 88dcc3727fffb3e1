"""A later run of a generation takes up what an earlier one submitted, and sends nothing."""

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.provider.activities import ProviderActivities
from tests.activities.conftest import SandboxControl, a_generation
from tests.activities.submissions.conftest import Desk
from workflows.contracts.activities import ForGeneration, Submitted
from workflows.contracts.failures import FailureKind

ME = ForGeneration(generation_id="gen_one")


async def _submit(activities: ProviderActivities) -> Submitted:
    return await ActivityEnvironment().run(activities.submit, ME)


async def _pause(desk: Desk) -> None:
    await desk.pool.execute("INSERT INTO deployment (name, value) VALUES ('paused', 'now')")


async def test_it_is_told_with_the_time_at_which_the_provider_took_it(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    first = await _submit(activities)

    again = await _submit(activities)

    assert first.accepted_at is None
    assert again == Submitted(
        prediction_id=first.prediction_id, accepted_at=(await desk.row()).accepted_at
    )
    assert (await sandbox.submits())[1] == [first.prediction_id]


async def test_an_operators_pause_is_not_for_what_is_submitted(
    activities: ProviderActivities, desk: Desk
) -> None:
    await desk.staged()
    prediction_id = await desk.submit()
    await _pause(desk)

    assert (await _submit(activities)).prediction_id == prediction_id


async def test_a_doubt_is_told_as_one_though_submits_are_paused(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await sandbox.faults(submit={"kind": "lost_reply"})
    with pytest.raises(ApplicationError):
        await _submit(activities)
    await _pause(desk)

    with pytest.raises(ApplicationError) as told:
        await _submit(activities)

    assert told.value.type == FailureKind.SUBMISSION_AMBIGUOUS


async def test_where_nothing_was_staged_nothing_is_sent_and_no_doubt_is_left(
    activities: ProviderActivities, desk: Desk, sandbox: SandboxControl
) -> None:
    await a_generation(desk.pool, "gen_one")

    with pytest.raises(ApplicationError) as told:
        await _submit(activities)

    assert told.value.type == FailureKind.PROVIDER_UNREACHABLE
    assert (await sandbox.submits())[1] == []
