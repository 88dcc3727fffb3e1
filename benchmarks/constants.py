"""A worker whose activities do nothing: each returns what a real one returned once.

    python -m benchmarks.constants FILE

FILE holds the recorded results as JSON, by the activity's wire name. Workflows, queues, settings
and the client are the production worker's, so what is left is what Temporal and the workflow cost.
"""

import asyncio
import json
import signal
import sys
import typing
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, JsonValue
from temporalio import activity

from workers.pools import build_workers
from workers.settings import WorkerSettings
from workers.telemetry import configure_logging
from workers.wiring import Activities, connect_temporal
from workflows.contracts.activities import Ledger, Library, Media, Prompts, Provider
from workflows.contracts.queues import TaskQueue

Body = Callable[[Any], Awaitable[BaseModel]]

STEPS: dict[TaskQueue, Mapping[str, Callable[..., Any]]] = {
    TaskQueue.GENERATIONS: {
        "prompts.build_prompt": Prompts.build_prompt,
        "library.save": Library.save,
        "ledger.record_usage": Ledger.record_usage,
    },
    TaskQueue.SUBMIT: {"provider.submit": Provider.submit},
    TaskQueue.POLL: {"provider.poll": Provider.poll},
    TaskQueue.MEDIA: {
        "ledger.reserve": Ledger.reserve,
        "provider.stage_inputs": Provider.stage_inputs,
        "media.download": Media.download,
    },
}
"""The steps of a generation that goes well, on the queues whose workers carry them out."""


class Constants:
    """Stands where the wired activities do."""

    def __init__(self, results: Mapping[str, JsonValue]) -> None:
        self._results = results

    def registered_on(self, queue: TaskQueue) -> list[Body]:
        """The constant bodies of a queue's steps."""
        return [self._constant(name, stub) for name, stub in STEPS[queue].items()]

    def _constant(self, name: str, stub: Callable[..., Any]) -> Body:
        hints = typing.get_type_hints(stub)
        result: BaseModel = hints["return"].model_validate(self._results[name])

        async def body(task: Any) -> BaseModel:  # noqa: ANN401 - annotated below, as the stub is
            del task
            return result

        body.__annotations__ = {"task": hints["task"], "return": hints["return"]}
        return activity.defn(name=name)(body)


async def work(results: Mapping[str, JsonValue]) -> None:
    """Serve the steps' queues until SIGTERM."""
    settings = WorkerSettings()
    configure_logging(settings.log_format)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await connect_temporal()
    activities = cast(Activities, Constants(results))
    async with AsyncExitStack() as stack:
        for worker in build_workers(client, activities, settings, tuple(STEPS)):
            await stack.enter_async_context(worker)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(work(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
