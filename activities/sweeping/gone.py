"""Generations and batches whose workflow is gone: terminated, or lost with its server.

    may be paid, or is               its workflow starts again under its id, and adopts
    a hold, and nothing was sent     released, closed as `terminated`, or `not_started`
    nothing was held                 the same, and its key is free: it may be started again
    an open batch                    starts nothing more; what it has started goes on by itself

A batch needs no more than its own end: an item that waited for it has no workflow then, and so is
released like any other, and one that was started has a life of its own. What stands above holds
for both: what was submitted goes on, what was not is released.

Whoever is gone is asked for again under the generation's row lock, which the first activity of any
new run waits for. So a run that begins meanwhile either is seen, or finds the hold ended. The
sender's lock is held as well: a process that was frozen before its POST finds nothing to send.

On another Temporal than the database's own everybody would seem gone, so there nothing is done.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import structlog
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.batches.repository import SQL as BATCHES
from activities.database.pool import Connection, Pool, Row
from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.provider.submissions import InFlight, Submissions
from activities.sweeping.namespaces import why_elsewhere
from activities.sweeping.turns import SQL, Turns
from workflows.contracts import callbacks, queues
from workflows.contracts.activities import ForGeneration
from workflows.contracts.batch_results import BatchState
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.ids import callbacks_id_for
from workflows.contracts.requests import WORKFLOW_TYPES, Claimed
from workflows.contracts.stages import Stage, status_of
from workflows.contracts.sweeps import Swept
from workflows.contracts.terms import Terms
from workflows.contracts.texts import dollars, summary_of

SLICE = 1000
"""Of one sweep: at a few milliseconds each, describing them stays below ten seconds."""

ASKED_AT_ONCE = 8

RPC_TIMEOUT = timedelta(seconds=10)
"""A row lock is held for one describe."""

_ENDED = frozenset(
    {
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
    }
)
"""A status that is not known here counts as running."""

log = structlog.get_logger()


class Gone:
    """Finds them by asking Temporal for each row that has not moved for `grace_s`."""

    def __init__(
        self, pool: Pool, submissions: Submissions, temporal: Client, *, grace_s: float
    ) -> None:
        self._pool = pool
        self._submissions = submissions
        self._temporal = temporal
        self._grace = timedelta(seconds=grace_s)
        self._turns = Turns(pool)

    async def look(self) -> Swept:
        """End batches that are gone, then mend generations; one that can't be hides no other."""
        elsewhere = await why_elsewhere(self._pool, self._temporal, RPC_TIMEOUT)
        if elsewhere is not None:
            return Swept(failed=elsewhere)
        repaired: Counter[str] = Counter()
        failed = 0
        for row in await self._gone("batches", "batch_id"):
            repaired["batches_ended"] += await self._end_batch(row["batch_id"])
        for row in await self._gone("generations", "generation_id"):
            try:
                done = await self._mend(row)
            except Exception:
                log.exception("not mended", generation_id=row["generation_id"])
                failed += 1
            else:
                repaired.update([done] if done else [])
        told = f"{failed} could not be mended; the worker's log says why." if failed else None
        return Swept(repaired={kind: n for kind, n in repaired.items() if n}, failed=told)

    async def _gone(self, what: str, key: str) -> Sequence[Row]:
        """The rows of the next slice that nothing runs for."""
        place = await self._turns.place(what)
        rows = await self._pool.fetch(SQL[f"quiet_{what}"], self._grace, place, SLICE)
        await self._turns.leave(what, rows[-1][key] if len(rows) == SLICE else "")
        places = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(row: Row) -> bool:
            async with places:
                return await self._is_gone(row[key])

        gone = await asyncio.gather(*map(ask, rows))
        return [row for row, is_gone in zip(rows, gone, strict=True) if is_gone]

    async def _is_gone(self, workflow_id: str) -> bool:
        request = DescribeWorkflowExecutionRequest(
            namespace=self._temporal.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id),
        )
        try:
            described = await self._temporal.workflow_service.describe_workflow_execution(
                request, retry=True, timeout=RPC_TIMEOUT
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return True
            raise
        return described.workflow_execution_info.status in _ENDED

    async def _end_batch(self, batch_id: str) -> bool:
        """Close a batch that nothing carries out; one that held nothing may be asked for again."""
        async with self._pool.acquire() as connection, connection.transaction():
            state = await connection.fetchval(SQL["lock_open_batch"], batch_id)
            if state is None or not await self._is_gone(batch_id):
                return False
            if state == BatchState.ACCEPTED:
                end = BatchState.FAILED
                told = failure(FailureKind.NOT_STARTED, "Its workflow was never carried out.")
            else:
                end = BatchState.CANCELLED
                told = failure(
                    FailureKind.TERMINATED,
                    "Its workflow is gone: what was started goes on, what waited is released.",
                ).with_money("Each item says what became of its money.")
            document = told.model_dump(mode="json")
            await connection.execute(BATCHES["close"], batch_id, end.value, document)
        return True

    async def _mend(self, row: Row) -> str | None:
        """Restart or close one generation; what was done, None where it moves after all."""
        generation_id = row["generation_id"]
        try:
            async with (
                self._submissions.locked(generation_id) as connection,
                connection.transaction(),
            ):
                seen = await connection.fetchrow(
                    SQL["lock_unmoved"], generation_id, row["stage"], row["last_seq"]
                )
                if seen is None or not await self._is_gone(generation_id):
                    return None
                if not seen["may_be_paid"]:
                    return await self._close(connection, generation_id, seen)
        except InFlight:
            # A sender is at work, or frozen: the next sweep sees what came of it.
            return None
        return "restarted" if await self._restart(generation_id, seen) else None

    async def _restart(self, generation_id: str, seen: Row) -> bool:
        """Start its workflow, which finds hold, prompt and submission there; False: one runs."""
        terms = Terms.model_validate(seen["terms"])
        stage = Stage(seen["stage"])
        try:
            await self._temporal.start_workflow(
                WORKFLOW_TYPES[terms.operation],
                Claimed(),
                id=generation_id,
                task_queue=queues.TaskQueue.GENERATIONS.value,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary=summary_of(f"{terms.title}, started again by the sweeper"),
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(queues.USER, terms.user_hash),
                        SearchAttributePair(queues.OPERATION, terms.operation.value),
                        SearchAttributePair(queues.SOURCE, terms.source.value),
                        SearchAttributePair(queues.STATUS, status_of(stage).value),
                    ]
                ),
                priority=Priority(
                    fairness_key=terms.user_hash, fairness_weight=terms.fairness_weight
                ),
                rpc_timeout=RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return False
        log.info("restarted", generation_id=generation_id, stage=stage.value)
        return True

    async def _close(self, connection: Connection, generation_id: str, seen: Row) -> str:
        """Release and close what was never submitted. Its receiver is told by who waits for it.

        Where nothing is held no tombstone is left, so that the key may be used again: a late
        reserve finds that the generation has ended.
        """
        if seen["has_callback"]:
            # First, since nobody comes back to a closed one: it waits for the event below.
            await self._tell(generation_id)
        told = (
            failure(FailureKind.NOT_STARTED, "Its workflow was never started.")
            if seen["stage"] == Stage.ACCEPTED
            else failure(
                FailureKind.TERMINATED, "Its workflow is gone, and nothing had been submitted."
            )
        )
        if seen["is_held"]:
            released = await money.release(connection, generation_id)
            told = told.with_money(
                f"Nothing was charged. The {dollars(released)} that was reserved is released."
            )
        await connection.execute(SQL["forget_payload"], generation_id)
        moved = await generations.record(connection, generation_id, Stage.FAILED, failure=told)
        assert moved, "what is not submitted may fail at every stage"
        log.info("closed", generation_id=generation_id, kind=told.kind.value)
        return "released" if seen["is_held"] else told.kind.value

    async def _tell(self, generation_id: str) -> None:
        try:
            await self._temporal.start_workflow(
                callbacks.WORKFLOW_TYPE,
                ForGeneration(generation_id=generation_id),
                id=callbacks_id_for(generation_id),
                task_queue=queues.TaskQueue.GENERATIONS.value,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary="tells the callback_url of every stage",
                rpc_timeout=RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return
