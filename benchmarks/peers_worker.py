"""A process that carries generations out by another engine than ours.

    python -m benchmarks.peers_worker ENGINE FOLDER

Its settings are a worker's, from the environment. `FOLDER/ready` says that it is up; then it takes
the jobs of `FOLDER/warm.json` and, when these are done or begun, those of `FOLDER/jobs.json`: lists
of objects of `generation_id` and `request`. It runs until it is killed.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.patience import until
from benchmarks.peers_engines import ENGINES
from benchmarks.peers_steps import Job, Steps
from workers.telemetry import configure_logging
from workers.wiring import Settings, wire
from workflows.contracts.requests import ImageToVideoRequest

PATIENCE_S = 600


async def work(engine: str, folder: Path) -> None:
    """Wire as a worker does, then run every job at once."""
    settings = Settings()
    configure_logging(settings.worker.log_format)
    url = settings.database.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        activities = await stack.enter_async_context(wire(settings))
        steps = Steps(activities, settings.worker)
        run = await stack.enter_async_context(ENGINES[engine](steps, url))
        await asyncio.to_thread((folder / "ready").touch)
        for name in ("warm", "jobs"):
            await asyncio.gather(*(run(job) for job in await _jobs(folder / f"{name}.json")))
        await asyncio.Event().wait()


async def _jobs(path: Path) -> list[Job]:
    async def there() -> bool:
        return await asyncio.to_thread(path.exists)

    await until(there, timeout_s=PATIENCE_S)
    rows: list[dict[str, Any]] = json.loads(await asyncio.to_thread(path.read_text, "utf-8"))
    return [
        Job(row["generation_id"], ImageToVideoRequest.model_validate(row["request"]))
        for row in rows
    ]


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], Path(sys.argv[2])))
