"""A user's closed histories in Temporal: found by the ids in the database, deleted, and seen gone.

Temporal's lists lag, so they only add to what the database knows: runs of a workflow's id that
never began its generation, and of callbacks.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflows.contracts.ids import callbacks_id_for

_PLAIN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
"""What can stand in a query as it is; a caller's own id may be any text."""

RPC_TIMEOUT = timedelta(seconds=10)
AT_ONCE = 8
LISTED_AT_ONCE = 50
"""Ids in one query of a list."""

GONE_LOOK_S = 0.2
GONE_WITHIN_S = 180.0
"""The server deletes in the background: at once what ended some time ago, and what has just ended
after its next checkpoints, which took 10 to 32 s (Server 1.32)."""


class HistoriesLeft(Exception):
    """Temporal took the deletion, and still tells of them. Erase again: it goes on from there."""


class Histories:
    """Deletes histories."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal
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
            HistoriesLeft: the server has not deleted them in time.
            RPCError: Temporal can't be asked, or refuses.
        """
        runs = {each: set(known) for each, known in generations.items()}
        for each in (*map(callbacks_id_for, generations), *batches):
            runs[each] = set()
        for workflow_id, run_id in await self._listed(list(runs), owner):
            runs.setdefault(workflow_id, set()).add(run_id)
        deleted = await asyncio.gather(
            *(self._delete_all(each, known) for each, known in runs.items())
        )
        await self._wait_until_gone(
            [each for each, count in zip(runs, deleted, strict=True) if count]
        )
        return sum(deleted)

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

    async def _delete_all(self, workflow_id: str, runs: Iterable[str]) -> int:
        """Delete the runs that are known, and the last one, whichever that is; how many there were.

        One that runs, such as the teller of callbacks, is terminated by that.
        """
        async with self._places:
            last = await self._last_run(workflow_id)
            known = {*runs, *([last] if last is not None else [])}
            return sum([await self._delete(workflow_id, run_id) for run_id in known])

    async def _last_run(self, workflow_id: str) -> str | None:
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
                return None
            raise
        return described.workflow_execution_info.execution.run_id

    async def _delete(self, workflow_id: str, run_id: str) -> bool:
        request = DeleteWorkflowExecutionRequest(
            namespace=self._temporal.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        )
        try:
            await self._temporal.workflow_service.delete_workflow_execution(
                request, retry=True, timeout=RPC_TIMEOUT
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True

    async def _wait_until_gone(self, ids: Sequence[str]) -> None:
        left = list(ids)
        deadline = asyncio.get_running_loop().time() + GONE_WITHIN_S
        while left:
            if await self._last_run(left[-1]) is None:
                left.pop()
                continue
            if asyncio.get_running_loop().time() > deadline:
                raise HistoriesLeft(f"Temporal has not deleted {len(left)} of {len(ids)} histories")
            await asyncio.sleep(GONE_LOOK_S)
