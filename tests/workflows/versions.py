"""Versions of the application's workers on a real server, the newest of which is current."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from temporalio.api.enums.v1 import RoutingConfigUpdateState
from temporalio.api.workflowservice.v1 import DescribeWorkerDeploymentRequest
from temporalio.client import Client, WorkflowHandle

from starter.releases import NotReleasable, make_current
from tests.workflows.stagehand import Stagehand
from tests.workflows.theatre import until
from workers.pools import build_workers
from workers.settings import WorkerSettings
from workflows.contracts.queues import TaskQueue


class Versions:
    """Releases of the same code under one build id after the other."""

    def __init__(self, client: Client, stagehand: Stagehand, deployment: str) -> None:
        self.client = client
        self.deployment = deployment
        self.stagehand = stagehand
        self._workers: dict[str, AsyncExitStack] = {}

    async def start(self, queues: Iterable[TaskQueue] = tuple(TaskQueue)) -> str:
        """Workers of one more version, which is not current yet; returns its build id."""
        build_id = f"build-{len(self._workers) + 1}"
        settings = WorkerSettings(deployment_name=self.deployment, build_id=build_id, drain_s=0)
        activities = self.stagehand.activities()
        stack = self._workers[build_id] = AsyncExitStack()
        for worker in build_workers(self.client, activities, settings, queues):
            await stack.enter_async_context(worker)
        return build_id

    async def release(self) -> str:
        """Workers of one more version, which is current then."""
        build_id = await self.start()
        await until(lambda: self._is_made_current(build_id))
        await until(self._every_queue_knows)
        return build_id

    async def _is_made_current(self, build_id: str) -> bool:
        """Whether it could be; not before Temporal knows that every queue of it is served."""
        try:
            await make_current(self.client, build_id, deployment=self.deployment)
        except NotReleasable:
            return False
        return True

    async def _every_queue_knows(self) -> bool:
        """Whether the change has reached the queues, which takes a moment."""
        described = await self.client.workflow_service.describe_worker_deployment(
            DescribeWorkerDeploymentRequest(
                namespace=self.client.namespace, deployment_name=self.deployment
            )
        )
        done = RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_COMPLETED
        return described.worker_deployment_info.routing_config_update_state == done

    async def stop(self, build_id: str) -> None:
        """No worker of this version any more."""
        await self._workers[build_id].aclose()

    async def close(self) -> None:
        for stack in self._workers.values():
            await stack.aclose()


@asynccontextmanager
async def versioned(client: Client, stagehand: Stagehand, name: str) -> AsyncGenerator[Versions]:
    versions = Versions(client, stagehand, name)
    try:
        yield versions
    finally:
        await versions.close()


async def version_of(handle: WorkflowHandle[object, object]) -> str:
    """The build that a workflow is pinned to."""
    described = (await handle.describe()).raw_description
    return described.workflow_execution_info.versioning_info.deployment_version.build_id
