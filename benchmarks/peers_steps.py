"""The steps of a generation without an engine, for whoever runs them in order.

They are the functions that our worker serves as activities, called directly: the same rows, the
same requests, the same decoding. What differs between the peers is then their engine alone.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from temporalio.testing import ActivityEnvironment

from activities.provider.errors import ProviderError
from activities.provider.polling import interval_s, look
from workers.settings import WorkerSettings
from workers.wiring import Activities
from workflows.contracts.activities import (
    Download,
    ForGeneration,
    PredictionEnd,
    Reserve,
    Save,
    Watch,
)
from workflows.contracts.requests import ImageToVideoRequest
from workflows.contracts.results import StoredVideo
from workflows.contracts.terms import Terms

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


class Job(NamedTuple):
    """One generation that is asked for."""

    generation_id: str
    request: ImageToVideoRequest


class NotCompleted(Exception):
    """The provider's job ended otherwise, which no job of a measure does."""


class Steps:
    """The steps, as many at once of each kind as a worker has slots for it."""

    def __init__(self, activities: Activities, settings: WorkerSettings) -> None:
        self._activities = activities
        self._database = asyncio.Semaphore(settings.database_slots)
        self._submits = asyncio.Semaphore(settings.submit_slots)
        self._media = asyncio.Semaphore(settings.media_slots)
        self._heartbeat_timeout = timedelta(seconds=settings.heartbeat_timeout_s)

    async def reserve(self, job: Job) -> Terms:
        """Claim the id, price the inputs, hold video and cost."""
        task = Reserve(generation_id=job.generation_id, request=job.request)
        async with self._media:
            return await self._carried_out(self._activities.ledger.reserve, task)

    async def build_prompt(self, generation_id: str) -> None:
        """Store the prompt."""
        await self._carried_out(self._activities.prompts.build_prompt, _of(generation_id))

    async def stage(self, generation_id: str) -> None:
        """Upload the inputs."""
        async with self._media:
            await self._carried_out(self._activities.provider.stage_inputs, _of(generation_id))

    async def submit(self, generation_id: str) -> str:
        """The one paid POST; the prediction's id."""
        async with self._submits:
            step = self._activities.provider.submit
            return (await self._carried_out(step, _of(generation_id))).prediction_id

    async def look(self, prediction_id: str, accepted_at: datetime) -> float | None:
        """One look: seconds until the next one, None where the job is completed."""
        end = PredictionEnd(state="running")
        # As in the poll: the next look may be better.
        with suppress(ProviderError):
            end = await look(self._activities.provider.client, prediction_id)
        if end.state == "running":
            return interval_s((datetime.now(UTC) - accepted_at).total_seconds())
        _require_completed(end)
        return None

    async def poll(self, terms: Terms, prediction_id: str, accepted_at: datetime) -> None:
        """Look until the job is completed."""
        watch = Watch(
            terms=terms,
            prediction_id=prediction_id,
            accepted_at=accepted_at,
            deadline_at=accepted_at + timedelta(seconds=terms.quote.deadline_s),
        )
        _require_completed(await self._carried_out(self._activities.provider.poll, watch))

    async def download(self, terms: Terms, prediction_id: str) -> StoredVideo:
        """Copy the output into the store and verify it."""
        task = Download(terms=terms, prediction_id=prediction_id)
        async with self._media:
            return await self._carried_out(self._activities.media.download, task)

    async def save(self, generation_id: str, video: StoredVideo) -> None:
        """Record the asset."""
        task = Save(generation_id=generation_id, video=video)
        async with self._database:
            await self._carried_out(self._activities.library.save, task)

    async def record_usage(self, generation_id: str) -> int:
        """Settle; the cost in micro-USD."""
        async with self._database:
            step = self._activities.ledger.record_usage
            return (await self._carried_out(step, _of(generation_id))).cost_usd_micros

    async def _carried_out(
        self, step: Callable[[_Task], Awaitable[_Result]], task: _Task
    ) -> _Result:
        """Call an activity where there is no engine; it beats into the void."""
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(
            environment.info, heartbeat_timeout=self._heartbeat_timeout
        )
        return await environment.run(step, task)


def _of(generation_id: str) -> ForGeneration:
    return ForGeneration(generation_id=generation_id)


def _require_completed(end: PredictionEnd) -> None:
    if end.state != "completed":
        raise NotCompleted(end.state)
