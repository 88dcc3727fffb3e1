"""The worker process: wire, serve the queues, drain on SIGTERM."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack

import structlog
from temporalio.client import Client
from temporalio.runtime import Runtime

from activities.metrics.instruments import Instruments
from activities.tracing.spans import WORKER, start_tracing, tracing
from workers.pools import build_workers
from workers.reporting import reporting
from workers.schedules import schedule_sweeps
from workers.telemetry import configure_logging, metrics_at
from workers.wiring import Settings, connect_temporal, require_connections, wire
from workflows.contracts.queues import TaskQueue

CONNECT_TRIES = 30
"""A second apart: a server that starts beside us gets half a minute."""

log = structlog.get_logger()


async def work(settings: Settings, queues: Sequence[TaskQueue]) -> None:
    """Serve `queues` until SIGTERM or SIGINT, then let activities finish for `drain_s` seconds.

    Raises:
        TooFewConnections: the slots could hold all of the database's.
        MetricsAddressTaken: nothing can listen at `metrics_address`.
        RuntimeError: Temporal does not answer within half a minute.
        DatabaseUnreachable, CatalogueInvalid, KeyRefused: as `wire`.
    """
    require_connections(settings, queues)
    configure_logging(settings.worker.log_format)
    start_tracing(WORKER)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    runtime = metrics_at(settings.worker.metrics_address)
    client = await _connect(runtime)
    async with AsyncExitStack() as stack:
        stack.callback(tracing().flush)
        metrics = None if runtime is None else Instruments(runtime.metric_meter)
        activities = await stack.enter_async_context(wire(settings, metrics=metrics))
        workers = build_workers(client, activities, settings.worker, queues)
        for worker in workers:
            await stack.enter_async_context(worker)
        if TaskQueue.GENERATIONS in queues:
            # Whoever serves the sweeper's workflow keeps its Schedule.
            await schedule_sweeps(client, settings.sweeps.sweep_interval_s)
            if runtime is not None:
                await stack.enter_async_context(reporting(client, settings, runtime.metric_meter))
        log.info(
            "working",
            queues=[queue.value for queue in queues],
            version=settings.worker.build_id or None,
        )
        await stop.wait()
        log.info("draining", seconds=settings.worker.drain_s)
        # All at once: one after the other, each would have the whole time.
        await asyncio.gather(*(worker.shutdown() for worker in workers))
        log.info("drained")


async def _connect(runtime: Runtime | None) -> Client:
    for attempt in range(1, CONNECT_TRIES + 1):
        try:
            return await connect_temporal(runtime=runtime)
        except RuntimeError:
            if attempt == CONNECT_TRIES:
                raise
            await asyncio.sleep(1)
    raise AssertionError("the last try returns or raises")
