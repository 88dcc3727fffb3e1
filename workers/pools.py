"""Worker pools: one Temporal worker per task queue, any number of queues in a process."""

from collections.abc import Iterable
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from workers.settings import WorkerSettings
from workers.wiring import Activities
from workflows.batch import Batch
from workflows.callbacks import Callbacks
from workflows.contracts.queues import TaskQueue
from workflows.following import FollowingBatch, FollowingCallbacks
from workflows.image_to_video import ImageToVideo
from workflows.scene_animation import SceneAnimation
from workflows.sweep import Sweep
from workflows.talking_avatar import TalkingAvatar

WORKFLOWS = (ImageToVideo, SceneAnimation, TalkingAvatar, Callbacks, Batch, Sweep)
VERSIONED = (
    ImageToVideo,
    SceneAnimation,
    TalkingAvatar,
    FollowingCallbacks,
    FollowingBatch,
    Sweep,
)
"""The same, where a worker says which version of the code it is."""

# Temporal's sandbox would stop I/O only: to have one set of models, our modules pass through it
# whole. It takes a tenth of the worker's CPU for that. The linter bans I/O, clocks and randomness
# in `workflows/` instead (pyproject.toml), and the tests run and replay under the sandbox.
RUNNER = UnsandboxedWorkflowRunner()


def build_workers(
    client: Client,
    activities: Activities,
    settings: WorkerSettings,
    queues: Iterable[TaskQueue] = tuple(TaskQueue),
) -> list[Worker]:
    """A worker for each queue of `queues`."""
    return [_build(client, activities, settings, queue) for queue in queues]


def _build(
    client: Client, activities: Activities, settings: WorkerSettings, queue: TaskQueue
) -> Worker:
    slots = {
        TaskQueue.GENERATIONS: settings.database_slots,
        TaskQueue.SUBMIT: settings.submit_slots,
        TaskQueue.RECONCILE: settings.reconcile_slots,
        TaskQueue.POLL: settings.poll_slots,
        TaskQueue.MEDIA: settings.media_slots,
    }[queue]
    return Worker(
        client,
        task_queue=queue.value,
        workflows=_workflows(settings) if queue is TaskQueue.GENERATIONS else (),
        activities=activities.registered_on(queue),
        workflow_runner=RUNNER,
        max_concurrent_activities=slots,
        max_concurrent_local_activities=settings.database_slots,
        max_cached_workflows=settings.workflows_cached_max,
        max_task_queue_activities_per_second=_rate_per_s(settings, queue),
        deployment_config=_deployment(settings),
        # The SDK's default is a hash over all modules, which takes longer than the rest of this.
        build_id=None if settings.build_id else "unversioned",
        graceful_shutdown_timeout=timedelta(seconds=settings.drain_s),
        # Eager activities would go round the server's rate limit of a queue.
        disable_eager_activity_execution=True,
    )


def _workflows(settings: WorkerSettings) -> tuple[type, ...]:
    return VERSIONED if settings.build_id else WORKFLOWS


def _rate_per_s(settings: WorkerSettings, queue: TaskQueue) -> float | None:
    """The server's rate for the whole queue, whichever worker asks; None = as fast as it goes."""
    if queue is not TaskQueue.SUBMIT or settings.starts_per_minute is None:
        return None
    return settings.starts_per_minute / 60


def _deployment(settings: WorkerSettings) -> WorkerDeploymentConfig | None:
    """Which version of the code this is; None = unversioned, as `stillmotion dev` is.

    Pinned: what has begun goes on by the code that it began with, so no release can break it. On
    every queue, since a pinned workflow's activities go to its own version's workers.
    """
    if not settings.build_id:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.deployment_name, settings.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )
