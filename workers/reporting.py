"""What is, told to the metrics again and again: stages, money, findings, queues.

Each process that serves the workflows' queue reports the same, read from PostgreSQL and Temporal,
so dashboards take the largest. A value of which there is nothing any more is told as 0.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue as TaskQueueMessage
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.common import MetricMeter

from activities.database.pool import Pool, Row, connect
from activities.ledger.limits import caps_of
from activities.ledger.settings import LedgerSettings
from activities.metrics.endings import SQL
from workers.wiring import Settings
from workflows.contracts.queues import TaskQueue
from workflows.contracts.stages import TERMINAL, Stage
from workflows.contracts.sweeps import FindingKind

ANSWER_S_MAX = 10.0
"""Who takes longer counts as not answering."""

_KINDS = {
    "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    "workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
}

_ACTIVITY = ("activity",)
_SECOND = timedelta(seconds=1)

log = structlog.get_logger()

Labels = tuple[tuple[str, str], ...]


class Gauges:
    """One gauge with its label values, those of before included."""

    def __init__(self, meter: MetricMeter, name: str, description: str) -> None:
        self._gauge = meter.create_gauge_float(name, description)
        self._known: set[Labels] = set()

    def tell(self, values: Mapping[Labels, float]) -> None:
        """What is now; whatever was told before and is not there is 0."""
        for labels in self._known - values.keys():
            self._gauge.set(0, dict(labels))
        for labels, value in values.items():
            # The SDK takes none below 0, which a 30-day sum is once a loss has left it first.
            self._gauge.set(max(0, value), dict(labels))
        self._known |= values.keys()


class Report:
    """Reads and tells; one connection, a handful of indexed statements."""

    def __init__(self, pool: Pool, client: Client, meter: MetricMeter, settings: Settings) -> None:
        self._pool = pool
        self._client = client
        self._settings = settings
        self._began = time.monotonic()
        self._failing: set[str] = set()

        def gauges(name: str, description: str) -> Gauges:
            return Gauges(meter, f"stillmotion_{name}", description)

        self._up = gauges("report_up", "1 = what is reported was read, 0 = it is old")
        self._open = gauges("generations_open", "Generations that go on, by where they are")
        self._age = gauges(
            "stage_age_seconds", "How long the one has stood there that stands longest"
        )
        self._spending = gauges("spending_usd_micros", "This day's and month's (UTC)")
        self._limit = gauges("spending_limit_usd_micros", "The deployment's caps")
        self._held = gauges("held_usd_micros", "What is held for generations that go on")
        self._house = gauges("house_loss_usd_micros", "What the house paid in 30 days")
        self._house_paid = gauges("house_paid_usd_micros", "What the house ever paid")
        self._paused = gauges(
            "submits_paused_seconds", "How long submits have been paused; 0 = not"
        )
        self._findings = gauges("findings", "What waits for a person, by kind")
        self._sweep_age = gauges("sweep_age_seconds", "Since the last sweep ended")
        self._sweep_interval = gauges(
            "sweep_interval_seconds", "How often sweeps are due; 0 = never"
        )
        self._callbacks = gauges("callbacks_open", "Receivers that are being told")
        self._backlog = gauges("queue_backlog", "Tasks that wait for a worker")
        self._backlog_age = gauges(
            "queue_backlog_age_seconds", "How long the oldest task has waited"
        )
        self._pollers = gauges("queue_pollers", "Workers that ask the queue for tasks")

    async def tell(self) -> None:
        """Read and tell once. Whoever doesn't answer is told of as down, and changes no value."""
        parts = (("postgresql", self._of_database), ("temporal", self._of_temporal))
        self._up.tell({(("of", of),): await self._is_read(of, read) for of, read in parts})

    async def _is_read(self, of: str, read: Callable[[], Awaitable[None]]) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                await read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look may be better
            if of not in self._failing:
                log.warning("no report: it could not be read", of=of, why=type(error).__name__)
            self._failing.add(of)
            return False
        self._failing.discard(of)
        return True

    async def _of_database(self) -> None:
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(SQL["open"])
            spending = await connection.fetch(SQL["spending"])
            held = await connection.fetchval(SQL["held"])
            house = await connection.fetchval(SQL["house"])
            house_paid = await connection.fetchval(SQL["house_paid"])
            paused_s = await connection.fetchval(SQL["paused"])
            findings = await connection.fetch(SQL["findings"])
            sweep_age_s = await connection.fetchval(SQL["sweep_age"])
            telling = await connection.fetchrow(SQL["telling"])
        names = ("stage", "operation", "source", "model")
        self._open.tell({tuple((name, row[name]) for name in names): row["many"] for row in rows})
        oldest_s = {(("stage", stage.value),): 0.0 for stage in Stage if stage not in TERMINAL}
        for row in rows:
            stage = (("stage", row["stage"]),)
            oldest_s[stage] = max(oldest_s.get(stage, 0.0), row["oldest_s"])
        self._age.tell(oldest_s)
        self._of_money({row["span"]: row for row in spending}, self._settings.ledger)
        self._held.tell({(): held})
        self._house.tell({(): house})
        self._house_paid.tell({(): house_paid})
        self._paused.tell({(): paused_s or 0})
        counts = {row["kind"]: row["many"] for row in findings}
        self._findings.tell(
            {(("kind", kind.value),): counts.get(kind.value, 0) for kind in FindingKind}
        )
        since_s = time.monotonic() - self._began
        self._sweep_age.tell({(): since_s if sweep_age_s is None else sweep_age_s})
        self._sweep_interval.tell({(): self._settings.sweeps.sweep_interval_s})
        assert telling is not None, "a count is a row"
        failing = telling["failing"]
        told = {"telling": telling["many"] - failing, "failing": failing}
        self._callbacks.tell({(("state", state),): many for state, many in told.items()})

    def _of_money(self, spending: Mapping[str, Row], limits: LedgerSettings) -> None:
        self._spending.tell(
            {
                (("span", span), ("state", state)): row[f"{state}_usd_micros"] if row else 0
                for span in ("day", "month")
                for row in (spending.get(span),)
                for state in ("reserved", "settled")
            }
        )
        caps = caps_of(limits).items()
        self._limit.tell({(("span", span),): cap for span, cap in caps if cap is not None})

    async def _of_temporal(self) -> None:
        backlog: dict[Labels, float] = {}
        ages_s: dict[Labels, float] = {}
        pollers: dict[Labels, float] = {}
        for queue in TaskQueue:
            for kind in ("activity", "workflow") if queue is TaskQueue.GENERATIONS else _ACTIVITY:
                request = DescribeTaskQueueRequest(
                    namespace=self._client.namespace,
                    task_queue=TaskQueueMessage(name=queue.value),
                    task_queue_type=_KINDS[kind],
                    report_stats=True,
                )
                described = await self._client.workflow_service.describe_task_queue(request)
                labels = (("queue", queue.value), ("kind", kind))
                backlog[labels] = described.stats.approximate_backlog_count
                ages_s[labels] = described.stats.approximate_backlog_age.ToTimedelta() / _SECOND
                pollers[labels] = len(described.pollers)
        self._backlog.tell(backlog)
        self._backlog_age.tell(ages_s)
        self._pollers.tell(pollers)


@asynccontextmanager
async def reporting(client: Client, settings: Settings, meter: MetricMeter) -> AsyncGenerator[None]:
    """Report at once and every `report_interval_s`, over a connection of its own, in the block.

    Raises:
        DatabaseUnreachable: PostgreSQL does not answer at the beginning.
    """
    own = settings.database.model_copy(update={"database_connections_max": 1})
    async with connect(own) as pool:
        report = Report(pool, client, meter, settings)
        running = asyncio.create_task(_tell_on(report, settings.worker.report_interval_s))
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def _tell_on(report: Report, interval_s: float) -> None:
    while True:
        await report.tell()
        await asyncio.sleep(interval_s)
