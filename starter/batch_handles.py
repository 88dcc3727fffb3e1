"""A handle on one batch: follow it, steer it, read what became of its items."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from workflows.contracts.batch_results import Batch, BatchItem, BatchState
from workflows.contracts.failures import RULES, Failure

if TYPE_CHECKING:
    from starter.batches import Batches

LOOK_INTERVAL_S = 0.5
"""A look counts up to 500 indexed rows."""


class BatchRefused(Exception):
    """The batch was refused as a whole: nothing was reserved or submitted. `failure` says why."""

    def __init__(self, batch: Batch) -> None:
        assert batch.error is not None, "a batch that failed says why"
        self.batch = batch
        self.failure: Failure = batch.error
        super().__init__(f"{self.failure.message} {self.failure.money} {self.failure.hint}")

    @property
    def exit_code(self) -> int:
        """What the CLI exits with."""
        return RULES[self.failure.kind].exit_code


class BatchNotFinished(Exception):
    """Items still go on, or are parked; nothing is lost. `batch` has the counts."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        super().__init__(f"{batch.batch_id}: {batch.message}.")


class BatchHandle:
    """One batch of one owner. Nothing here costs money that was not reserved when it started."""

    def __init__(self, batches: "Batches", batch_id: str, user_id: str | None) -> None:
        self._batches = batches
        self._user_id = user_id
        self.id = batch_id

    async def progress(self) -> Batch:
        """The counts of its items now, from PostgreSQL: it needs no worker."""
        return await self._batches.reader.read(self.id, self._user_id)

    async def updates(self, interval_s: float = LOOK_INTERVAL_S) -> AsyncIterator[Batch]:
        """The counts now and whenever they change, until the batch has ended."""
        told: Batch | None = None
        while True:
            seen = await self.progress()
            if seen != told:
                yield seen
                told = seen
            if seen.has_ended:
                return
            await asyncio.sleep(interval_s)

    async def items(self) -> list[BatchItem]:
        """Every item in its order, with what became of it."""
        return await self._batches.reader.items(self.id, self._user_id)

    async def result(self, timeout: float | None = None) -> Batch:  # noqa: ASYNC109 - public name
        """The batch after it has ended; its items' failures are their own and raise nothing.

        Args:
            timeout: Seconds to wait at most; None = until it ends, or only parked items are left.

        Raises:
            BatchRefused: it was refused as a whole.
            BatchNotFinished: items go on after `timeout`, or only parked ones are left.
        """
        try:
            async with asyncio.timeout(timeout):
                async for seen in self.updates():
                    if seen.only_parked:
                        raise BatchNotFinished(seen)
        except TimeoutError:
            raise BatchNotFinished(await self.progress()) from None
        batch = await self.progress()
        if batch.status is BatchState.FAILED:
            raise BatchRefused(batch)
        return batch

    async def cancel(self) -> bool:
        """Cancel what runs and what waits. Durable without workers; finished videos are kept.

        Returns False where it has ended already.

        Raises:
            NotReachable: Temporal could not be asked.
        """
        return await self._batches.cancel(self.id, self._user_id)

    async def resume(self) -> bool:
        """Go on where the batch's workflow was terminated. Returns False where it has ended.

        Raises:
            NotReachable: Temporal could not be asked.
        """
        return await self._batches.resume(self.id, self._user_id)
