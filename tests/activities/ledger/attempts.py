"""Attempts to reserve and to close, each as that of a workflow run."""

from dataclasses import replace

from temporalio.testing import ActivityEnvironment

from activities.ledger.activities import LedgerActivities
from tests.activities.conftest import a_request
from workflows.contracts.activities import Booked, Close, Reserve
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.stages import Stage
from workflows.contracts.terms import Terms


async def reserve(
    ledger: LedgerActivities,
    media_id: str,
    *,
    generation_id: str = "gen_one",
    run_id: str = "first run",
    **asked: object,
) -> Terms:
    request = a_request(image={"media_id": media_id}, **asked)
    task = Reserve(generation_id=generation_id, request=request)
    return await in_run(run_id).run(ledger.reserve, task)


def in_run(run_id: str) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_run_id=run_id)
    return environment


async def close(
    ledger: LedgerActivities, settle: str, kind: FailureKind, run_id: str = "first run"
) -> Booked:
    stage = Stage.CANCELLED if kind is FailureKind.CANCELLED else Stage.FAILED
    told = failure(kind, "It ended.", generation_id="gen_one")
    task = Close.model_validate(
        {"generation_id": "gen_one", "stage": stage, "failure": told, "settle": settle}
    )
    return await in_run(run_id).run(ledger.close, task)
