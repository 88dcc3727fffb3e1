"""Worker pools: one Temporal worker per task queue, any number of queues in a process."""

from collections.abc import Iterable
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workers.settings import WorkerSettings
from workers.wiring import Activities
from workflows.batch import Batch
from workflows.callbacks import Callbacks
from workflows.contracts.queues import TaskQueue
from workflows.image_to_video import ImageToVideo
from workflows.scene_animation import SceneAnimation
from workflows.talking_avatar import TalkingAvatar

WORKFLOWS = (ImageToVideo, SceneAnimation, TalkingAvatar, Callbacks, Batch)

# Our own modules are passed through: reloaded per run they cost three times the CPU, and their
# models become other classes. The restrictions on clocks, randomness and I/O stay.
RUNNER = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules("workflows")
)


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
        workflows=WORKFLOWS if queue is TaskQueue.GENERATIONS else (),
        activities=activities.by_queue()[queue],
        workflow_runner=RUNNER,
        max_concurrent_activities=slots,
        graceful_shutdown_timeout=timedelta(seconds=settings.drain_s),
        # Eager activities would go round the server's rate limit of a queue.
        disable_eager_activity_execution=True,
    )
