"""The sweeper on real processes: what was submitted goes on, what was not is released and told."""

import json
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from stacks import COFFEE, SMALL, Stack, a_user, at_stage, finished, running_dev, until, without
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.service import RPCError, RPCStatusCode

from activities.callbacks.signing import Signers
from activities.database.pool import connect
from activities.database.settings import DatabaseSettings
from starter import VideoClient
from tests.activities.callbacks.listening import Listener, listening
from workflows.contracts.batch_results import BatchState
from workflows.contracts.failures import FailureKind
from workflows.contracts.queues import TaskQueue
from workflows.contracts.requests import Source
from workflows.contracts.stages import Stage, Status

pytestmark = pytest.mark.slow

AT_ONCE = {"STILLMOTION_SWEEP_INTERVAL_S": "3600", "STILLMOTION_SWEEP_GRACE_S": "0"}
"""A sweep when a test asks for one, and whoever stands still is looked at."""
SOURCE = Source.PODCAST_MAKER


@pytest.fixture(scope="module")
async def swept_stack(folder: Path) -> AsyncIterator[Stack]:
    """A stack of its own: a sweep would mend what other tests have left as it is."""
    async with AsyncExitStack() as stack:
        flags = ("--no-workers", "--sandbox-work-s=1")
        _, address = await stack.enter_async_context(running_dev(folder / "swept", *flags))
        client = await stack.enter_async_context(await VideoClient.connect(folder / "swept"))
        yield Stack(folder / "swept", address, client)


@pytest.fixture
async def stack(swept_stack: Stack) -> AsyncIterator[Stack]:
    await swept_stack.faults({"output": SMALL})
    yield swept_stack
    await swept_stack.faults({})


async def sweep(stack: Stack) -> dict[str, Any]:
    code, out, err = await stack.cli("sweep", "-o", "json")
    assert code == 0, err
    return json.loads(out)


async def terminate(stack: Stack, workflow_id: str) -> None:
    await stack.client.temporal.get_workflow_handle(workflow_id).terminate("by an operator")


async def forget(stack: Stack, workflow_id: str) -> None:
    """Let Temporal know nothing of a workflow, as after the loss of its database."""
    temporal = stack.client.temporal
    execution = WorkflowExecution(workflow_id=workflow_id)
    await temporal.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(namespace=temporal.namespace, workflow_execution=execution)
    )

    async def is_forgotten() -> bool:
        try:
            await temporal.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            return error.status is RPCStatusCode.NOT_FOUND
        return False

    await until(is_forgotten)


async def test_one_that_was_terminated_while_the_provider_works_is_adopted_and_completed(
    stack: Stack,
) -> None:
    await stack.faults({"output": SMALL, "job": {"kind": "work", "work_s": 3}})
    async with stack.worker(settings=AT_ONCE):
        handle = await stack.start()
        await at_stage(handle, Stage.GENERATING)
        await terminate(stack, handle.id)

        swept = await sweep(stack)
        generation = await finished(handle)

    assert swept["repaired"] == {"restarted": 1}
    assert generation.status is Status.COMPLETED
    assert len(await stack.predictions_of(handle.id)) == 1
    assert await stack.settlements(handle.id) == 1


async def test_one_that_was_terminated_before_its_submission_is_released_and_told(
    stack: Stack,
) -> None:
    async with listening() as listener:
        secret = await a_secret(stack)
        async with stack.worker(*without(TaskQueue.SUBMIT), settings=AT_ONCE):
            handle = await stack.start(callback_url=listener.url, source=SOURCE)
            await at_stage(handle, Stage.SUBMITTING)
            await terminate(stack, handle.id)

            swept = await sweep(stack)
            await until(lambda: told_the_end(listener))

    facts = await handle.facts()
    assert swept["repaired"] == {"released": 1}
    assert facts.stage is Stage.FAILED
    assert facts.failure is not None
    assert facts.failure.kind is FailureKind.TERMINATED
    assert "is released" in facts.money
    assert await stack.predictions_of(handle.id) == []
    assert all(post.verified_by(secret) for post in listener.taken)
    assert listener.taken[-1].data["failure"]["kind"] == "terminated"


async def test_one_whose_start_was_lost_fails_and_the_same_key_starts_it_again(
    stack: Stack,
) -> None:
    asked = {"user_id": a_user(), "idempotency_key": uuid.uuid4().hex}
    handle = await stack.start(**asked)
    await forget(stack, handle.id)
    async with stack.worker(settings=AT_ONCE):
        swept = await sweep(stack)
        lost = (await handle.facts()).failure
        again = await stack.start(**asked)
        generation = await finished(again)

    assert swept["repaired"] == {"not_started": 1}
    assert lost is not None
    assert lost.kind is FailureKind.NOT_STARTED
    assert again.id == handle.id
    assert generation.status is Status.COMPLETED
    assert await stack.settlements(handle.id) == 1


async def test_a_batch_that_was_terminated_ends_and_only_what_it_had_started_goes_on(
    stack: Stack,
) -> None:
    await stack.faults({"output": SMALL, "job": {"kind": "work", "work_s": 3}})
    user_id = a_user()
    await stack.value(
        "INSERT INTO subscriptions (user_id, plan) VALUES ($1, 'pro') RETURNING plan", user_id
    )
    items = [
        {"operation": "image-to-video", "image": COFFEE, "prompt": f"scene {number}"}
        | {"resolution": "480p"}
        for number in range(3)
    ]
    async with stack.worker(settings=AT_ONCE):
        batch = await stack.client.batch(items, user_id=user_id, max_parallel=1)
        query = "SELECT generation_id FROM generations WHERE user_id = $1 AND stage = 'generating'"
        first = await until(lambda: stack.value(query, user_id))
        handle = await stack.client.get(first)
        await terminate(stack, batch.id)

        swept = await sweep(stack)
        await finished(handle)

    usage = await stack.client.usage(user_id)
    ended = await batch.progress()
    assert swept["repaired"] == {"batches_ended": 1, "released": 2}
    assert (ended.status, ended.completed, ended.failed) == (BatchState.CANCELLED, 1, 2)
    assert (usage.videos_reserved, usage.videos_settled) == (0, 1)


async def test_a_sweep_is_on_record_in_the_doctor_and_in_the_metrics(stack: Stack) -> None:
    metrics = f"127.0.0.1:{a_free_port()}"
    settings = AT_ONCE | {"STILLMOTION_METRICS_ADDRESS": metrics}
    handle = await stack.start()
    await terminate(stack, handle.id)
    async with stack.worker(settings=settings), httpx.AsyncClient(trust_env=False) as http:
        await sweep(stack)
        scraped = (await http.get(f"http://{metrics}/metrics")).text
        _, out, _ = await stack.cli("doctor", "-o", "json")

    lines = scraped.splitlines()
    gauges = [line for line in lines if line.startswith("stillmotion_findings{")]
    (repairs,) = [line for line in lines if line.startswith("stillmotion_repairs_total{")]
    (unresolved,) = [line for line in gauges if 'kind="unresolved"' in line]
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert unresolved.endswith(" 0")
    assert 'kind="not_started"' in repairs
    assert repairs.endswith(" 1")
    assert checks["sweeper"]["detail"].endswith("every 3600 s")
    assert (checks["findings"]["ok"], checks["findings"]["detail"]) == (True, "none")


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def told_the_end(listener: Listener) -> bool:
    return any(post.data["stage"] == "failed" for post in listener.taken)


async def a_secret(stack: Stack) -> str:
    settings = DatabaseSettings(
        database_url=SecretStr(stack.address.database), database_connections_max=2
    )
    async with connect(settings) as pool:
        return (await Signers(pool, stack.client.place.callbacks).make(SOURCE, rotate=True)).text
