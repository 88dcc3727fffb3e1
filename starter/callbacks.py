"""Receivers of callbacks: how far each was told, and telling one that was given up after all."""

from temporalio.client import Client
from temporalio.service import RPCError

from activities.callbacks import repository
from activities.callbacks.repository import Callback, CallbackState
from activities.database.pool import Pool
from starter.places import NotReachable
from workflows.contracts.activities import ForGeneration
from workflows.contracts.callbacks import RETRY, WORKFLOW_TYPE
from workflows.contracts.ids import callbacks_id_for
from workflows.contracts.queues import TaskQueue


class Callbacks:
    """`VideoClient.callbacks`; reads are owner-scoped unless an operator asks (None)."""

    def __init__(self, temporal: Client, pool: Pool) -> None:
        self._temporal = temporal
        self._rows = repository.Callbacks(pool)

    async def find(
        self,
        *,
        user_id: str | None = None,
        state: CallbackState | None = None,
        generation_id: str | None = None,
        limit: int = 100,
    ) -> list[Callback]:
        """Receivers, the latest change first."""
        return await self._rows.find(
            user_id=user_id, state=state, generation_id=generation_id, limit=limit
        )

    async def retry(self, generation_id: str, *, user_id: str | None = None) -> bool:
        """Tell a receiver at once what it wasn't told, also after it was given up.

        Returns False where it knows everything already.

        Raises:
            UnknownGeneration: no such generation, or another owner's.
            NoCallback: it has no callback_url.
            NotReachable: Temporal could not be asked.
        """
        if not await self._rows.require(generation_id, user_id):
            return False
        try:
            # A workflow that runs is woken; one that has ended starts again.
            await self._temporal.start_workflow(
                WORKFLOW_TYPE,
                ForGeneration(generation_id=generation_id),
                id=callbacks_id_for(generation_id),
                task_queue=TaskQueue.GENERATIONS.value,
                start_signal=RETRY,
                static_summary="tells the callback_url again",
            )
        except RPCError as error:
            raise NotReachable(f"Temporal did not take the retry ({error.status.name}).") from error
        return True
