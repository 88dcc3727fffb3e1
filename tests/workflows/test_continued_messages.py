"""A message that comes while a parked generation is handed over is heard, by one run or the other.

The task that hands over is held up until the message has come: Temporal then refuses what it
decided, and has the workflow decide again.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import NoReturn

import pytest
from temporalio import worker
from temporalio.client import Client, Interceptor
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import (
    ContinueAsNewInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from tests.workflows.scripted import PREDICTION, Script, refused
from tests.workflows.stagehand import Stagehand
from tests.workflows.theatre import Handle, Theatre, facts, reaches, until, with_namespace
from tests.workflows.versions import Versions, version_of, versioned
from workflows.contracts.activities import PredictionEnd, Reconciled, Submitted, Verdict, Withdrawn
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage

TAKEN = Submitted(prediction_id=PREDICTION)
COMPLETED = PredictionEnd(state="completed")
KEY = refused(FailureKind.PROVIDER_REFUSED_KEY, "The provider refuses our key.")
AMBIGUOUS = refused(FailureKind.SUBMISSION_AMBIGUOUS, "The reply was lost.")
UNPROVEN = Reconciled(verdict=Verdict.UNPROVEN, evidence="The listing is not complete.")
ADOPTED = Reconciled(verdict=Verdict.ADOPTED, prediction_id=PREDICTION, evidence="It is there.")
HELD_UP_S_MAX = 1.5
"""A workflow's task that takes two seconds counts as stuck."""


class HandOver:
    """Where the tests hold one up."""

    began = threading.Event()
    may_go_on = threading.Event()

    @classmethod
    def hold_up(cls) -> None:
        cls.began.clear()
        cls.may_go_on.clear()


class HeldUp(WorkflowOutboundInterceptor):
    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002 - the SDK's
        HandOver.began.set()
        HandOver.may_go_on.wait(HELD_UP_S_MAX)
        super().continue_as_new(input)


class HoldsUp(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(HeldUp(outbound))


class OfItsWorkers(Interceptor, worker.Interceptor):
    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002, ARG002 - the SDK's own names
    ) -> type[WorkflowInboundInterceptor]:
        return HoldsUp


@pytest.fixture(scope="module")
async def versions(temporal_server: str) -> AsyncGenerator[Versions]:
    plain = await with_namespace(temporal_server, "handed-over")
    client = Client(
        plain.service_client,
        namespace=plain.namespace,
        data_converter=pydantic_data_converter,
        interceptors=[OfItsWorkers()],
    )
    async with versioned(client, Stagehand(), "handed-over") as versions:
        await versions.release()
        yield versions


@pytest.fixture
async def stage(versions: Versions) -> AsyncGenerator[Theatre]:
    theatre = Theatre(versions.client, versions.stagehand)
    yield theatre
    HandOver.may_go_on.set()
    await theatre.clear()


async def _parked(stage: Theatre, versions: Versions, script: Script) -> Handle:
    """One that is parked, whose next look hands it over, which is held up."""
    handle = await stage.start(script)
    await reaches(handle, Stage.TIMED_OUT)
    await _is_handed_over(handle, versions)
    return handle


async def _is_handed_over(handle: Handle, versions: Versions) -> None:
    await versions.release()
    HandOver.hold_up()
    await handle.signal("resume")
    await until(HandOver.began.is_set)


async def test_a_resume_that_comes_meanwhile_has_it_looked_at_at_once(
    stage: Theatre, versions: Versions
) -> None:
    script = Script().on("provider.submit", TAKEN).on("provider.poll", KEY)
    script.on("provider.check", KEY, COMPLETED)
    handle = await _parked(stage, versions, script)
    first_run = handle.first_execution_run_id

    await handle.signal("resume")
    HandOver.may_go_on.set()
    await handle.result()

    assert script.count("provider.check") == 2
    assert (await handle.describe()).run_id == first_run


async def test_a_cancel_that_comes_meanwhile_is_carried_out(
    stage: Theatre, versions: Versions
) -> None:
    script = Script().on("provider.submit", TAKEN).on("provider.poll", KEY)
    script.on("provider.check", KEY)
    script.on("provider.withdraw", Withdrawn(state="completed"))
    handle = await _parked(stage, versions, script)

    await handle.cancel()
    HandOver.may_go_on.set()
    result = await handle.result()

    assert result.prediction_id == PREDICTION
    assert script.count("provider.withdraw") == 1


async def test_a_decision_that_comes_meanwhile_is_answered(
    stage: Theatre, versions: Versions
) -> None:
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)
    script.on("provider.resolve", ADOPTED)
    handle = await stage.start(script)
    while (await facts(handle)).stage is not Stage.UNRESOLVED:
        await handle.signal("resume")
    build_id = await version_of(handle)
    await _is_handed_over(handle, versions)

    decision = {"decision": "adopt", "prediction_id": PREDICTION}
    update = handle.execute_update("resolve_submission", decision)
    asyncio.get_running_loop().call_later(0.3, HandOver.may_go_on.set)
    answer = await update
    await handle.result()

    assert answer == "It is there."
    assert script.count("provider.resolve") == 1
    assert await version_of(handle) != build_id
