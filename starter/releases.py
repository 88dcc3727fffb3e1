"""Versions of the workers: which are there, what depends on each, and which one new work goes to.

Temporal keeps the records. A version is a build id of a deployment; a workflow stays with the
version that it began with, and what begins or continues goes to the current one.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from temporalio.api.deployment.v1 import WorkerDeploymentInfo, WorkerDeploymentVersion
from temporalio.api.enums.v1 import TaskQueueType, WorkerDeploymentVersionStatus
from temporalio.api.taskqueue.v1 import TaskQueue as TaskQueueMessage
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentVersionRequest,
    ListWorkerDeploymentsRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflows.contracts.queues import TaskQueue

DEPLOYMENT = "stillmotion"
"""The name that workers have without STILLMOTION_DEPLOYMENT_NAME."""

POLLED_WITHIN = timedelta(seconds=90)
"""A worker asks again after a minute at the latest; Temporal lists for five who has asked."""

_CREATED = WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_CREATED
_INACTIVE = WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_INACTIVE
_DRAINED = WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED
_CURRENT = WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT


class NotReleasable(Exception):
    """The version can't become the current one. The message says why; nothing has changed."""


class Version(NamedTuple):
    """One version, and what depends on it."""

    deployment: str
    build_id: str
    is_current: bool
    was_current: bool
    """Whether it is, or was once."""
    polls: bool
    """Whether workers of it serve the workflows' queue."""
    running: int
    """Workflows that only its workers go on with."""
    example: str | None
    """The id of one of them."""


class Standing(NamedTuple):
    """Every version that somebody serves or depends on."""

    versions: tuple[Version, ...]
    unversioned_polls: bool
    """Whether workers without a version serve the workflows' queue."""


async def standing(temporal: Client, *, polled_within: timedelta = POLLED_WITHIN) -> Standing:
    """How the versions stand now.

    Raises:
        RPCError: Temporal could not be asked.
    """
    polling = await _polling(temporal, polled_within)
    versions = [
        await _version(temporal, deployment.name, summary, polling)
        for deployment in await _deployments(temporal)
        for summary in deployment.version_summaries
        if summary.status != _DRAINED
    ]
    relevant = (each for each in versions if each.is_current or each.polls or each.running)
    return Standing(tuple(relevant), (None, None) in polling)


async def make_current(temporal: Client, build_id: str, *, deployment: str = DEPLOYMENT) -> str:
    """Send what begins or continues from now on to this version; returns what was current before.

    Raises:
        NotReleasable: no worker of it has come yet, or some queue has none.
        RPCError: Temporal could not be asked.
    """
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=temporal.namespace,
        deployment_name=deployment,
        build_id=build_id,
        identity=temporal.identity,
    )
    try:
        await _require_every_queue(temporal, deployment, build_id)
        done = await temporal.workflow_service.set_worker_deployment_current_version(request)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise NotReleasable(
                f"No worker of version {build_id} has polled as {deployment} yet."
            ) from error
        if error.status is RPCStatusCode.FAILED_PRECONDITION:
            raise NotReleasable(
                f"Version {build_id} serves less than the current one: {error.message}."
            ) from error
        raise
    return done.previous_deployment_version.build_id


async def _require_every_queue(temporal: Client, deployment: str, build_id: str) -> None:
    """Temporal itself asks for those queues only that have had tasks of late."""
    request = DescribeWorkerDeploymentVersionRequest(
        namespace=temporal.namespace,
        deployment_version=WorkerDeploymentVersion(deployment_name=deployment, build_id=build_id),
    )
    described = await temporal.workflow_service.describe_worker_deployment_version(request)
    served = {queue.name for queue in described.version_task_queues}
    if missing := [queue.value for queue in TaskQueue if queue.value not in served]:
        raise NotReleasable(f"No worker of version {build_id} has polled {', '.join(missing)} yet.")


async def _deployments(temporal: Client) -> list[WorkerDeploymentInfo]:
    listed = await temporal.workflow_service.list_worker_deployments(
        ListWorkerDeploymentsRequest(namespace=temporal.namespace)
    )
    described = [
        await temporal.workflow_service.describe_worker_deployment(
            DescribeWorkerDeploymentRequest(
                namespace=temporal.namespace, deployment_name=deployment.name
            )
        )
        for deployment in listed.worker_deployments
    ]
    return [each.worker_deployment_info for each in described]


async def _polling(temporal: Client, within: timedelta) -> set[tuple[str | None, str | None]]:
    """Deployment and build id of whoever serves the workflows' queue; of None without versions."""
    request = DescribeTaskQueueRequest(
        namespace=temporal.namespace,
        task_queue=TaskQueueMessage(name=TaskQueue.GENERATIONS.value),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    described = await temporal.workflow_service.describe_task_queue(request)
    since = datetime.now(UTC) - within
    options = [
        poller.deployment_options
        for poller in described.pollers
        if poller.last_access_time.ToDatetime(UTC) >= since
    ]
    return {(each.deployment_name or None, each.build_id or None) for each in options}


async def _version(
    temporal: Client,
    deployment: str,
    summary: WorkerDeploymentInfo.WorkerDeploymentVersionSummary,
    polling: set[tuple[str | None, str | None]],
) -> Version:
    build_id = summary.deployment_version.build_id
    query = (
        f"TaskQueue = '{TaskQueue.GENERATIONS.value}' AND ExecutionStatus = 'Running'"
        f" AND TemporalWorkerDeploymentVersion = '{deployment}:{build_id}'"
    )
    running = (await temporal.count_workflows(query)).count
    example = [found.id async for found in temporal.list_workflows(query, limit=1)]
    return Version(
        deployment=deployment,
        build_id=build_id,
        is_current=summary.status == _CURRENT,
        was_current=summary.status not in {_CREATED, _INACTIVE},
        polls=(deployment, build_id) in polling,
        running=running,
        example=example[0] if example else None,
    )
