"""The batches' Temporal face."""

from dataclasses import dataclass

from temporalio import activity

from activities.batches import repository
from activities.batches.admission import BatchAdmission
from activities.beating import heartbeats
from activities.boundary import boundary
from activities.database.pool import Pool
from workflows.contracts import batches as contract
from workflows.contracts.batches import (
    BatchResult,
    BatchTerms,
    CloseBatch,
    ClosedWaiting,
    CloseWaiting,
    ForBatch,
    Items,
    Look,
    NextItems,
    Window,
)


@dataclass
class BatchActivities(contract.Batches):
    """What a batch needs: a pool, and what reserves it."""

    pool: Pool
    admission: BatchAdmission

    @activity.defn(name="batches.reserve")
    @boundary
    async def reserve(self, task: ForBatch) -> BatchTerms:
        """Price every item, then claim and hold all of them, or none; once."""
        async with heartbeats():
            return await self.admission.reserve(task.batch_id)

    @activity.defn(name="batches.look")
    @boundary
    async def look(self, task: Look) -> Window:
        """Count what waits, is active, is parked."""
        return await repository.window(self.pool, task)

    @activity.defn(name="batches.list_waiting")
    @boundary
    async def list_waiting(self, task: NextItems) -> Items:
        """Items whose generation waits for its start."""
        return Items(items=await repository.waiting(self.pool, task.batch_id, task.after))

    @activity.defn(name="batches.list_started")
    @boundary
    async def list_started(self, task: NextItems) -> Items:
        """Items of this batch's making that were started and have not ended."""
        return Items(items=await repository.started(self.pool, task.batch_id, task.after))

    @activity.defn(name="batches.close_waiting")
    @boundary
    async def close_waiting(self, task: CloseWaiting) -> ClosedWaiting:
        """Cancel what was never started; each hold is released once."""
        async with heartbeats():
            return await repository.close_waiting(self.pool, task)

    @activity.defn(name="batches.close")
    @boundary
    async def close(self, task: CloseBatch) -> BatchResult:
        """Record how it ended."""
        return await repository.close(self.pool, task.batch_id, task.state, task.failure, task.lost)
