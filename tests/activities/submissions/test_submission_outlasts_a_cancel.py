"""`provider.submit` under a cancel: the POST that has begun goes on, and never ends as cancelled.

The workflow gives the hold back when a submission ends as cancelled, so only one that no worker has
begun may end so.
"""

import asyncio

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.media.store import MediaStore
from activities.provider.activities import ProviderActivities
from activities.provider.staging import Staging
from tests.activities.conftest import SandboxControl
from tests.activities.submissions.conftest import Desk
from workflows.contracts.activities import ForGeneration, Submitted
from workflows.contracts.failures import FailureKind

PATIENCE_S = 20
ANSWER_S = 1
NEVER_S = 600


async def sending(
    desk: Desk, store: MediaStore, sandbox: SandboxControl, answer_s: float
) -> tuple[ActivityEnvironment, asyncio.Task[Submitted]]:
    """A submission that the provider has taken, and answers after `answer_s` seconds."""
    await desk.staged()
    await sandbox.faults(submit={"kind": "slow", "delay_s": answer_s})
    activities = ProviderActivities(
        pool=desk.pool,
        client=desk.client,
        staging=Staging(desk.pool, store, desk.client, desk.submissions),
        submissions=desk.submissions,
        reconciliation=desk.reconciliation,
    )
    environment = ActivityEnvironment()
    me = ForGeneration(generation_id="gen_one")
    task = asyncio.create_task(environment.run(activities.submit, me))
    async with asyncio.timeout(PATIENCE_S):
        while not (await sandbox.submits())[1]:
            await asyncio.sleep(0.02)
    return environment, task


async def test_a_requested_cancel_does_not_cut_the_post_short(
    desk: Desk, store: MediaStore, sandbox: SandboxControl
) -> None:
    environment, task = await sending(desk, store, sandbox, ANSWER_S)

    environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    submitted = await task

    assert (await sandbox.submits())[1] == [submitted.prediction_id]
    assert (await desk.row()).state == "accepted"


@pytest.mark.parametrize(
    "why",
    [
        ActivityCancellationDetails(worker_shutdown=True),
        ActivityCancellationDetails(timed_out=True),
    ],
    ids=["its worker ends", "Temporal gave it up"],
)
async def test_what_cuts_the_post_short_leaves_a_doubt_not_a_cancel(
    desk: Desk, store: MediaStore, sandbox: SandboxControl, why: ActivityCancellationDetails
) -> None:
    environment, task = await sending(desk, store, sandbox, NEVER_S)

    environment.cancel(why)
    with pytest.raises(ApplicationError) as raised:
        await task

    assert raised.value.type == FailureKind.SUBMISSION_AMBIGUOUS
    assert (await desk.row()).state == "unknown"


async def test_a_cancel_of_one_whose_worker_ends_leaves_a_doubt(
    desk: Desk, store: MediaStore, sandbox: SandboxControl
) -> None:
    environment, task = await sending(desk, store, sandbox, NEVER_S)

    environment.worker_shutdown()
    environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(ApplicationError) as raised:
        await task

    assert raised.value.type == FailureKind.SUBMISSION_AMBIGUOUS
