"""A user's closed histories in Temporal: found by the ids in the database, deleted, and seen gone.

Temporal's lists lag, so they only add to what the database knows: runs of a workflow's id that
never began its generation, and of callbacks.
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.erasing.rows import StillRunning
from workflows.contracts.ids import callbacks_id_for

_PLAIN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
"""What can stand in a query as it is; a caller's own id may be any text."""

RPC_TIMEOUT = timedelta(seconds=10)
AT_ONCE = 8
LISTED_AT_ONCE = 50
"""Ids in one query of a list."""

LOOK_S = 0.2
ENDED_WITHIN_S = 15.0
"""A workflow's row ends a moment before the workflow does."""

GONE_WITHIN_S = 180.0
"""The server deletes in the background: at once what ended some time ago, and what has just ended
after its next checkpoints, which took 10 to 32 s (Server 1.32)."""


class HistoriesLeft(Exception):
    """Temporal took the deletion, and still tells of them. Erase again: it goes on from there."""


class Histories:
    """Deletes histories."""

    def __init__(
        self,
        temporal: Client,
        *,
        ended_within_s: float = ENDED_WITHIN_S,
        gone_within_s: float = GONE_WITHIN_S,
    ) -> None:
        self._temporal = temporal
        self._ended_within_s = ended_within_s
        self._gone_within_s = gone_within_s
        self._places = asyncio.Semaphore(AT_ONCE)

    async def delete(
        self, generations: Mapping[str, Sequence[str]], batches: Sequence[str], owner: str
    ) -> int:
        """Delete every run of generations, of what told their callbacks, and of batches.

        Args:
            generations: Id → the runs that are known.
            batches: Ids.
            owner: The user's keyed hash, which stands in search attributes.

        Returns:
            How many runs there were.

        Raises:
            StillRunning: a generation or a batch goes on; nothing was deleted.
            HistoriesLeft: the server has not deleted them in time.
            RPCError: Temporal can't be asked, or refuses.
        """
        tellers = set(map(callbacks_id_for, generations))
        known = {(each, run_id) for each, runs in generations.items() for run_id in runs}
        known |= await self._listed([*generations, *tellers, *batches], owner)
        ids = {*generations, *tellers, *batches, *(each for each, _ in known)}
        known |= await self._last_runs(ids, tellers, batches)
        runs = sorted(known)
        deleted = await asyncio.gather(*(self._delete(*each) for each in runs))
        gone = [each for each, was_there in zip(runs, deleted, strict=True) if was_there]
        await self._wait_until_gone(gone)
        return len(gone)

    async def _listed(self, ids: list[str], owner: str) -> set[tuple[str, str]]:
        """What Temporal lists of these ids, as far as they can be asked for, and of the user."""
        ours = [each for each in ids if _PLAIN.fullmatch(each)]
        queries = [f"StillmotionUser = '{owner}'"]
        for start in range(0, len(ours), LISTED_AT_ONCE):
            listed = ", ".join(f"'{each}'" for each in ours[start : start + LISTED_AT_ONCE])
            queries.append(f"WorkflowId IN ({listed})")
        found: set[tuple[str, str]] = set()
        for query in queries:
            async for each in self._temporal.list_workflows(query):
                found.add((each.id, each.run_id))
        return found

    async def _last_runs(
        self, ids: Iterable[str], tellers: Collection[str], batches: Collection[str]
    ) -> set[tuple[str, str]]:
        """The last run of each workflow, which alone can be open: those before it are closed.

        Tellers of callbacks may go on for days, and are terminated by their deletion.

        Raises:
            StillRunning: another one is open, and doesn't end in time.
        """
        last: set[tuple[str, str]] = set()
        left = list(ids)
        deadline = asyncio.get_running_loop().time() + self._ended_within_s
        while True:
            running: list[str] = []
            for each, info in zip(left, await self._described_all(left), strict=True):
                if info is None:
                    continue
                if each in tellers or info.HasField("close_time"):
                    last.add((each, info.execution.run_id))
                else:
                    running.append(each)
            if not running:
                return last
            if asyncio.get_running_loop().time() > deadline:
                raise StillRunning(
                    [each for each in running if each not in batches],
                    [each for each in running if each in batches],
                )
            left = running
            await asyncio.sleep(LOOK_S)

    async def _described_all(self, ids: Sequence[str]) -> Sequence[WorkflowExecutionInfo | None]:
        return await asyncio.gather(*(self._described(each) for each in ids))

    async def _described(self, workflow_id: str, run_id: str = "") -> WorkflowExecutionInfo | None:
        """What the server knows of a run, the last one where none is named; None if nothing."""
        request = DescribeWorkflowExecutionRequest(
            namespace=self._temporal.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        )
        try:
            async with self._places:
                described = await self._temporal.workflow_service.describe_workflow_execution(
                    request, retry=True, timeout=RPC_TIMEOUT
                )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        return described.workflow_execution_info

    async def _delete(self, workflow_id: str, run_id: str) -> bool:
        """Delete a run; whether there was one."""
        request = DeleteWorkflowExecutionRequest(
            namespace=self._temporal.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        )
        try:
            async with self._places:
                await self._temporal.workflow_service.delete_workflow_execution(
                    request, retry=True, timeout=RPC_TIMEOUT
                )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True

    async def _wait_until_gone(self, runs: Sequence[tuple[str, str]]) -> None:
        left = list(runs)
        deadline = asyncio.get_running_loop().time() + self._gone_within_s
        while left:
            if await self._described(*left[-1]) is None:
                left.pop()
                continue
            if asyncio.get_running_loop().time() > deadline:
                raise HistoriesLeft(
                    f"Temporal has not deleted {len(left)} of {len(runs)} histories"
                )
            await asyncio.sleep(LOOK_S)
