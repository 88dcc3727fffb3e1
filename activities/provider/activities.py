"""The provider's Temporal face: stage, submit, reconcile, poll, withdraw."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.beating import heartbeats, pause
from activities.boundary import boundary
from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.metrics.instruments import Instruments
from activities.provider.errors import (
    AccessDenied,
    KeyRefused,
    NotFound,
    Overloaded,
    ProviderError,
    SubmissionAmbiguous,
)
from activities.provider.identity import ProviderChanged
from activities.provider.models import Prediction
from activities.provider.pacing import HeldBack
from activities.provider.polling import interval_s, look
from activities.provider.reconciliation import Reconciliation
from activities.provider.staging import Staging
from activities.provider.submissions import InFlight, Submissions
from activities.provider.wavespeed import WaveSpeed
from workflows.contracts import activities as contract
from workflows.contracts.activities import (
    Doubt,
    ForGeneration,
    InputsStaged,
    PredictionEnd,
    Reconciled,
    Resolve,
    Submitted,
    Verdict,
    Watch,
    Withdrawn,
)
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.stages import Stage

WAITS_IN_SLOT_S = 40.0
"""Who goes back to the queue's end after this loses a turn that was fair; the POST and its window
need the rest of the activity's time (`workflows.timeouts.SUBMIT`)."""

PLACE_LOOK_S = 1.0


@dataclass
class ProviderActivities(contract.Provider):
    """What the provider's steps need."""

    pool: Pool
    client: WaveSpeed
    staging: Staging
    submissions: Submissions
    reconciliation: Reconciliation
    pace: Callable[[float], float] = interval_s
    """From a job's age to the pause before the next look, both in seconds."""
    waits_in_slot_s: float = WAITS_IN_SLOT_S
    """How long a submission that our pacing holds back keeps its slot."""
    metrics: Instruments = field(default_factory=Instruments)

    @activity.defn(name="provider.stage_inputs")
    @boundary
    async def stage_inputs(self, task: ForGeneration) -> InputsStaged:
        """Upload the inputs, unless they are staged already."""
        async with heartbeats():
            return InputsStaged(inputs=await self.staging.stage(task.generation_id))

    @activity.defn(name="provider.submit")
    @boundary
    async def submit(self, task: ForGeneration) -> Submitted:
        """The one paid POST, under the protocol of `submissions`.

        It never ends as cancelled: Temporal says that of one that no worker has begun, and the
        workflow believes it.
        """
        async with heartbeats():
            return await _outlasting_a_cancel(self._adopt_or_submit(task.generation_id))

    async def _adopt_or_submit(self, generation_id: str) -> Submitted:
        accepted = await self.submissions.accepted(generation_id)
        if accepted is not None:
            # An earlier run's. It sends nothing, so neither pause nor pacing is meant for it.
            return Submitted(**accepted._asdict())
        return await self._submit(generation_id)

    async def _submit(self, generation_id: str) -> Submitted:
        """Submit in turn: for a short wait the slot is kept, and with it the queue's order."""
        give_up_at = time.monotonic() + self.waits_in_slot_s
        while True:
            await self._require_running()
            try:
                return await self._submit_now(generation_id)
            except HeldBack as held:
                left_s = give_up_at - time.monotonic()
                if _is_unwanted() or left_s <= max(held.retry_after_s or 0, PLACE_LOOK_S):
                    raise
            await asyncio.sleep(PLACE_LOOK_S)

    async def _submit_now(self, generation_id: str) -> Submitted:
        try:
            submitted = Submitted(prediction_id=await self.submissions.submit(generation_id))
        except HeldBack:
            raise
        except InFlight:
            self.metrics.submitted("in_flight")
            raise _ambiguous("Another process is sending.") from None
        except SubmissionAmbiguous:
            self.metrics.submitted("ambiguous")
            raise
        except Overloaded as error:
            self.metrics.submitted("overloaded")
            # Who was told so tells everybody, and waits as long as all.
            error.retry_after_s = await self.submissions.pacing.slow_down(error.retry_after_s)
            raise
        except ProviderError:
            self.metrics.submitted("refused")
            raise
        self.metrics.submitted("accepted")
        return submitted

    async def _require_running(self) -> None:
        paused = await self.pool.fetchval("SELECT true FROM deployment WHERE name = 'paused'")
        if paused:
            told = failure(FailureKind.SUBMITS_PAUSED, "Submits are paused.")
            raise ApplicationError(told.message, told.model_dump(mode="json"), type=told.kind.value)

    @activity.defn(name="provider.reconcile")
    @boundary
    async def reconcile(self, task: Doubt) -> Reconciled:
        """One look for a prediction whose id was never received."""
        async with heartbeats():
            return self._counted(
                await self.reconciliation.reconcile(task.generation_id, hinted=task.hinted)
            )

    @activity.defn(name="provider.resolve")
    @boundary
    async def resolve(self, task: Resolve) -> Reconciled:
        """Carry out a person's decision; `give_up` needs nothing of the provider."""
        async with heartbeats():
            return self._counted(await self._carry_out(task))

    def _counted(self, reconciled: Reconciled) -> Reconciled:
        self.metrics.reconciled(reconciled.verdict)
        return reconciled

    async def _carry_out(self, task: Resolve) -> Reconciled:
        try:
            named = task.resolution.prediction_id
            if named is not None:
                return await self.reconciliation.adopt(task.generation_id, named)
            if task.resolution.decision == "resubmit":
                return await self.reconciliation.resubmit(task.generation_id)
        except InFlight:
            return Reconciled(
                verdict=Verdict.IN_FLIGHT, evidence="Another process may still be sending."
            )
        return Reconciled(verdict=Verdict.UNPROVEN, evidence="Nothing to carry out.")

    @activity.defn(name="provider.poll")
    @boundary
    async def poll(self, task: Watch) -> PredictionEnd:
        """Look every 3 to 15 s, growing with the job's age, until it ends or the deadline passes.

        Transport errors, 429 and 5xx are part of the weather: the next look may be better.
        """
        await self._require_provider(task)
        async with self.pool.acquire() as connection, connection.transaction():
            # Only a parked one moves: it is waited for again.
            await generations.record(connection, task.terms.generation_id, Stage.GENERATING)
        async with heartbeats():
            return await self._watch(task)

    async def _watch(self, task: Watch) -> PredictionEnd:
        end = PredictionEnd(state="running")
        while _now() < task.deadline_at:
            pause_s = self.pace((_now() - task.accepted_at).total_seconds())
            try:
                end = await look(self.client, task.prediction_id, tell=self._detected)
            except (KeyRefused, AccessDenied):
                raise
            except Overloaded as error:
                pause_s = max(pause_s, error.retry_after_s or 0)
                activity.logger.warning("the provider asks to slow down for %.0f s", pause_s)
            except ProviderError as error:
                activity.logger.warning("a look failed: %s", error)
            if end.state != "running":
                return end
            await pause(min(pause_s, (task.deadline_at - _now()).total_seconds()))
        return end

    @activity.defn(name="provider.check")
    @boundary
    async def check(self, task: Watch) -> PredictionEnd:
        """Look once."""
        await self._require_provider(task)
        return await look(self.client, task.prediction_id, tell=self._detected)

    def _detected(self, prediction: Prediction) -> None:
        if prediction.created_at is None or prediction.execution_ms is None:
            return
        # Whatever the provider says it took: a figure must not cost a finished job its look.
        with suppress(OverflowError):
            done_at = prediction.created_at + timedelta(milliseconds=prediction.execution_ms)
            self.metrics.detected(_now() - done_at)

    @activity.defn(name="provider.withdraw")
    @boundary
    async def withdraw(self, task: Watch) -> Withdrawn:
        """Ask the provider to drop the job; one that has finished is kept, since it is paid."""
        await self._require_provider(task)
        end = await look(self.client, task.prediction_id)
        if end.state != "running":
            return Withdrawn(state=end.state, kind=end.kind, message=end.message)
        with suppress(NotFound):
            await self.client.delete(task.prediction_id)
        return Withdrawn(state="deleted")

    async def _require_provider(self, task: Watch) -> None:
        """Heal a row that missed its outcome, and refuse to look in the wrong place."""
        terms = task.terms
        try:
            self.submissions.identity.require(terms.base_url, terms.key_fingerprint)
        except ProviderChanged as error:
            told = failure(FailureKind.PROVIDER_CHANGED, str(error))
            raise ApplicationError(
                told.message, told.model_dump(mode="json"), type=told.kind.value, non_retryable=True
            ) from None
        await self.submissions.accept(
            terms.generation_id, task.prediction_id, "known from the workflow's history"
        )


async def _outlasting_a_cancel(work: Coroutine[Any, Any, Submitted]) -> Submitted:
    """The outcome of `work`, which a requested cancel does not cut short.

    Raises:
        ApplicationError: it was cut short, by the worker's end or since Temporal gave this attempt
            up; it may have been sent.
    """
    task = asyncio.create_task(work)
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            why = activity.cancellation_details()
            if why is not None and why.cancel_requested and not activity.is_worker_shutdown():
                continue
            task.cancel()
            await asyncio.wait([task])
            if task.cancelled():
                raise _ambiguous("The worker stopped while it was sending.") from None
    return task.result()


def _is_unwanted() -> bool:
    """Whether nobody waits for this attempt any more: it was cancelled, or its worker stops."""
    return activity.is_cancelled() or activity.is_worker_shutdown()


def _ambiguous(message: str) -> ApplicationError:
    return ApplicationError(message, type=FailureKind.SUBMISSION_AMBIGUOUS.value)


def _now() -> datetime:
    return datetime.now(UTC)
