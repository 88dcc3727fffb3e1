"""A handle on one generation: follow it, steer it, read what it made."""

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from temporalio.client import (
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from activities.media.store import LINK_S
from starter.places import NotReachable
from workflows.contracts.activities import Resolution
from workflows.contracts.failures import RULES, Failure
from workflows.contracts.progress import Progress, ProgressFacts, estimate
from workflows.contracts.results import Generation
from workflows.contracts.stages import PARKED, TERMINAL, Stage, Status

if TYPE_CHECKING:
    from starter.client import VideoClient

OnProgress = Callable[[int, str], object]
"""Told of every change: the percent, 0 to 100 and never falling, and a message for people. What it
answers is awaited if it can be, and else ignored."""

LOOK_INTERVAL_S = 0.25
"""A look reads two indexed rows; no long poll at Temporal is held, so followers cost it nothing."""

LOOK_AGAIN_S = 20.0
"""After `resume`, a worker asks the provider: until then a park says nothing of what comes next."""

ANSWER_S = 20.0
"""A decision asks the provider, which takes seconds; without a worker nobody ever answers."""


class GenerationFailed(Exception):
    """The generation ended without a video. `failure` has kind, message, hint and money."""

    def __init__(self, generation: Generation) -> None:
        assert generation.error is not None, "a generation without a video says why"
        self.generation = generation
        self.failure: Failure = generation.error
        super().__init__(f"{self.failure.message} {self.failure.money} {self.failure.hint}")

    @property
    def exit_code(self) -> int:
        """What the CLI exits with."""
        return RULES[self.failure.kind].exit_code


class NotFinished(Exception):
    """The generation goes on, or is parked; nothing is lost. `progress` says where it is."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        super().__init__(progress.message)


class NothingToResolve(Exception):
    """The generation is not unresolved, or the decision does not fit it."""


class NotBegun(Exception):
    """No workflow runs for the generation yet: most likely it waits for its turn in a batch."""


class NoWorker(Exception):
    """A decision needs a worker to carry it out, and none answered."""


class GenerationHandle:
    """One generation of one owner. Nothing here starts anything or costs money."""

    def __init__(self, client: "VideoClient", generation_id: str, user_id: str | None) -> None:
        self._client = client
        self._user_id = user_id
        self._looks_again_until = 0.0
        self.id = generation_id

    async def facts(self) -> ProgressFacts:
        """What is known now, from PostgreSQL: it needs no worker."""
        return await self._client.reader.progress(self.id, self._user_id)

    async def progress(self) -> Progress:
        """Stage, estimated percent, ETA and a message for people."""
        return estimate(await self.facts(), datetime.now(UTC))

    async def updates(self, interval_s: float = LOOK_INTERVAL_S) -> AsyncGenerator[Progress]:
        """Progress now and whenever it changes, until the end; percent never goes backwards."""
        told: Progress | None = None
        highest = 0
        while True:
            seen = await self.progress()
            highest = max(highest, seen.percent)
            seen = seen.model_copy(update={"percent": highest})
            if told is None or (seen.stage, seen.percent, seen.message) != (
                told.stage,
                told.percent,
                told.message,
            ):
                yield seen
                told = seen
            if seen.stage in TERMINAL:
                return
            await asyncio.sleep(interval_s)

    async def result(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - public name
        on_progress: OnProgress | None = None,
    ) -> Generation:
        """The finished generation.

        Args:
            timeout: Seconds to wait at most; None = until it ends or parks.
            on_progress: Called with percent and message, now and at every change, up to the last;
                where it is async, it is awaited before the next look. Its time counts as waiting.

        Raises:
            GenerationFailed: it failed or was cancelled.
            NotFinished: still running after `timeout`, or parked (after a `resume` of this
                handle: parked still). It goes on by itself.
            Exception: what `on_progress` raises ends the waiting, not the generation.
        """
        limit = asyncio.timeout(timeout)
        try:
            async with limit, aclosing(self.updates()) as updates:
                async for seen in updates:
                    if on_progress is not None:
                        await _told(on_progress, seen)
                    if seen.stage in PARKED and not await self.leaves_its_park():
                        raise NotFinished(seen)
        except TimeoutError:
            if not limit.expired():
                raise
            raise NotFinished(await self.progress()) from None
        generation = await self.read_generation()
        if generation.status is not Status.COMPLETED:
            raise GenerationFailed(generation)
        return generation

    async def read_generation(self) -> Generation:
        """The generation as `show` prints it."""
        return await self._client.reader.read(self.id, self._user_id)

    async def read(self) -> bytes:
        """The video's bytes.

        Raises:
            NotFinished: there is no video yet.
            GenerationFailed: there will be none.
        """
        return b"".join([chunk async for chunk in self.stream()])

    async def stream(self) -> AsyncIterator[bytes]:
        """The video's bytes in pieces, from the media store; raises as `read`."""
        async for chunk in self._client.store.stream(await self._key()):
            yield chunk

    async def link(self, expires_s: int = LINK_S) -> str | None:
        """An address that plays the video for whoever has it; None where the store is a folder.

        It is a secret for its time: give it to the person who may see the video, and keep it
        nowhere.

        Args:
            expires_s: 1 second to 7 days.

        Raises:
            ValueError: `expires_s` is something else.
            NotFinished, GenerationFailed: as `read`.
        """
        return await self._client.store.presigned_url(await self._key(), expires_s)

    async def _key(self) -> str:
        """Where the store has this owner's video."""
        generation = await self.read_generation()
        if generation.error is not None and generation.status in {Status.FAILED, Status.CANCELLED}:
            raise GenerationFailed(generation)
        key = await self._client.asset_key(self.id, user_id=self._user_id)
        if key is None:
            raise NotFinished(await self.progress())
        return key

    async def resume(self) -> bool:
        """Look at once, where it is parked. Returns False where it has ended already.

        Raises:
            NotBegun: it waits for its turn in a batch.
            NotReachable: Temporal could not be asked.
        """
        asked = await self._steer(lambda workflow: workflow.signal("resume"))
        if asked:
            self._looks_again_until = time.monotonic() + LOOK_AGAIN_S
        return asked

    async def leaves_its_park(self) -> bool:
        """Whether a parked generation goes on; False at once where this handle didn't resume it."""
        while time.monotonic() < self._looks_again_until:
            if (await self.facts()).stage not in PARKED:
                return True
            await asyncio.sleep(LOOK_INTERVAL_S)
        return False

    async def cancel(self) -> bool:
        """Ask for the end. Durable without workers; a job that has finished meanwhile is kept.

        Returns False where it has ended already.

        Raises:
            NotBegun: it waits for its turn in a batch; cancel that.
            NotReachable: Temporal could not be asked.
        """
        return await self._steer(lambda workflow: workflow.cancel())

    async def resolve(
        self, decision: Literal["adopt", "resubmit", "give_up"], prediction_id: str | None = None
    ) -> str:
        """Decide what an unresolved submission is; returns what came of it.

        Raises:
            NothingToResolve: it is not unresolved, or the workflow refuses the decision.
            NoWorker: nobody is there to carry it out; nothing has changed.
            NotReachable: Temporal could not be asked.
        """
        facts = await self.facts()
        if facts.stage is not Stage.UNRESOLVED:
            raise NothingToResolve(f"{self.id} is {facts.stage.value}, not unresolved.")
        told = Resolution(decision=decision, prediction_id=prediction_id)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._workflow().execute_update(
                    "resolve_submission", told, result_type=str
                )
        except WorkflowUpdateFailedError as error:
            raise NothingToResolve(str(error.cause)) from error
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise NoWorker(f"No worker answered within {ANSWER_S:g} s.") from error
        except RPCError as error:
            raise NotReachable(f"Temporal did not answer ({error.status.name}).") from error

    def _workflow(self) -> WorkflowHandle[Any, Any]:
        return self._client.temporal.get_workflow_handle(self.id)

    async def _steer(self, act: Callable[[WorkflowHandle[Any, Any]], Awaitable[None]]) -> bool:
        """Send the workflow a message; False where it has ended, so that it is no use."""
        if (await self.facts()).stage in TERMINAL:
            return False
        try:
            await act(self._workflow())
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise NotReachable(f"Temporal did not answer ({error.status.name}).") from error
            if (await self.facts()).stage is Stage.ACCEPTED:
                raise NotBegun(f"{self.id} has not begun: no workflow runs for it yet.") from error
            return False
        return True

    async def ended_or_parked(self) -> bool:
        """Whether waiting longer would bring nothing by itself."""
        stage: Stage = (await self.facts()).stage
        return stage in TERMINAL or stage in PARKED


async def _told(on_progress: OnProgress, seen: Progress) -> None:
    answer = on_progress(seen.percent, seen.message)
    if inspect.isawaitable(answer):
        await answer
