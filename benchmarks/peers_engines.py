"""The same steps in order, by three engines: plain asyncio, and DBOS Transact in two ways."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

from dbos import DBOS, DBOSConfig, SetWorkflowID

from benchmarks.peers_steps import Job, Steps
from workflows.contracts.requests import ImageToVideoRequest
from workflows.contracts.results import StoredVideo
from workflows.contracts.terms import Terms

P = ParamSpec("P")
R = TypeVar("R")
Run = Callable[[Job], Awaitable[object]]
"""Carries a job out, or begins it where the engine goes on by itself."""

DATABASE = "dbos"
ATTEMPTS_MAX = 3

_Workflow = Callable[[str, str], Coroutine[Any, Any, int]]


@asynccontextmanager
async def plain(steps: Steps, database_url: str) -> AsyncGenerator[Run]:
    """A coroutine per generation. What it knows is gone with its process."""
    del database_url

    async def run(job: Job) -> object:
        terms = await steps.reserve(job)
        await steps.build_prompt(job.generation_id)
        await steps.stage(job.generation_id)
        prediction_id = await steps.submit(job.generation_id)
        await steps.poll(terms, prediction_id, datetime.now(UTC))
        video = await steps.download(terms, prediction_id)
        await steps.save(job.generation_id, video)
        return await steps.record_usage(job.generation_id)

    yield run


@asynccontextmanager
async def dbos_steps(steps: Steps, database_url: str) -> AsyncGenerator[Run]:
    """Each look is a step, and each pause between two a durable sleep."""
    sequence = _Sequence(steps)

    @DBOS.workflow()
    async def by_steps(generation_id: str, request: str) -> int:
        terms, prediction_id, accepted_at = await sequence.begin(generation_id, request)
        while (pause_s := await _step(sequence.look, prediction_id, accepted_at)) is not None:
            await DBOS.sleep_async(pause_s)
        return await sequence.end(generation_id, terms, prediction_id)

    async with _launched(database_url, by_steps) as run:
        yield run


@asynccontextmanager
async def dbos_loop(steps: Steps, database_url: str) -> AsyncGenerator[Run]:
    """All looks and pauses are one step, which starts anew after a crash."""
    sequence = _Sequence(steps)

    @DBOS.workflow()
    async def by_loop(generation_id: str, request: str) -> int:
        terms, prediction_id, accepted_at = await sequence.begin(generation_id, request)
        await _step(sequence.poll, terms, prediction_id, accepted_at)
        return await sequence.end(generation_id, terms, prediction_id)

    async with _launched(database_url, by_loop) as run:
        yield run


ENGINES = {"plain": plain, "dbos_steps": dbos_steps, "dbos_loop": dbos_loop}


async def _step(step: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs) -> R:
    """Have DBOS checkpoint what `step` returns, and repeat it where it fails."""
    return await DBOS.run_step_async(
        {"retries_allowed": True, "max_attempts": ATTEMPTS_MAX}, step, *args, **kwargs
    )


class _Sequence:
    """What both workflows have in common. The steps return plain JSON, as our activities do."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    async def begin(self, generation_id: str, request: str) -> tuple[str, str, str]:
        """Up to the submission: the terms, the prediction's id, when it was accepted."""
        terms = await _step(self._reserve, generation_id, request)
        await _step(self._steps.build_prompt, generation_id)
        await _step(self._steps.stage, generation_id)
        prediction_id, accepted_at = await _step(self._submit, generation_id)
        return terms, prediction_id, accepted_at

    async def end(self, generation_id: str, terms: str, prediction_id: str) -> int:
        """From the download to the settlement: the cost in micro-USD."""
        video = await _step(self._download, terms, prediction_id)
        await _step(self._save, generation_id, video)
        return await _step(self._steps.record_usage, generation_id)

    async def look(self, prediction_id: str, accepted_at: str) -> float | None:
        """One look."""
        return await self._steps.look(prediction_id, datetime.fromisoformat(accepted_at))

    async def poll(self, terms: str, prediction_id: str, accepted_at: str) -> None:
        """All of them."""
        at = datetime.fromisoformat(accepted_at)
        await self._steps.poll(Terms.model_validate_json(terms), prediction_id, at)

    async def _reserve(self, generation_id: str, request: str) -> str:
        job = Job(generation_id, ImageToVideoRequest.model_validate_json(request))
        return (await self._steps.reserve(job)).model_dump_json()

    async def _submit(self, generation_id: str) -> tuple[str, str]:
        return await self._steps.submit(generation_id), datetime.now(UTC).isoformat()

    async def _download(self, terms: str, prediction_id: str) -> str:
        video = await self._steps.download(Terms.model_validate_json(terms), prediction_id)
        return video.model_dump_json()

    async def _save(self, generation_id: str, video: str) -> None:
        await self._steps.save(generation_id, StoredVideo.model_validate_json(video))


@asynccontextmanager
async def _launched(database_url: str, workflow: _Workflow) -> AsyncGenerator[Run]:
    """DBOS with its own tables beside ours on the same server; no queue, so without a limit."""
    config = DBOSConfig(
        name="peer",
        system_database_url=_system_database(database_url),
        application_version="1",
        log_level="WARNING",
    )
    DBOS(config=config)
    await asyncio.to_thread(DBOS.launch)

    async def run(job: Job) -> object:
        with SetWorkflowID(job.generation_id):
            # Nobody waits for the handle: it would ask the database again and again.
            return await DBOS.start_workflow_async(
                workflow, job.generation_id, job.request.model_dump_json(exclude_none=True)
            )

    try:
        yield run
    finally:
        await asyncio.to_thread(DBOS.destroy)


def _system_database(database_url: str) -> str:
    """SQLAlchemy's form of the address, with DBOS's own database."""
    address, _, options = database_url.partition("?")
    server = address.rpartition("/")[0].replace("postgresql", "postgresql+psycopg")
    return f"{server}/{DATABASE}?{options}"
