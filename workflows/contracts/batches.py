"""Many generations asked for at once: what the workflow is told of them.

The requests stand in the database, so histories hold ids and counts only. An item's position
counts from 1, as people and error messages count.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from temporalio import activity

from workflows.contracts.batch_results import BatchState
from workflows.contracts.failures import Failure
from workflows.contracts.requests import Operation, Source

WORKFLOW_TYPE = "Batch"

PAGE = 16
"""Items in one payload: with 100 bytes an item it stays below 2 kB."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)


class ForBatch(_Message):
    """An activity that needs no more than the id, and the workflow's whole input."""

    batch_id: str = Field(pattern=r"^bat_[a-z0-9]{26}$")


class BatchTerms(_Message):
    """The whole is reserved. Frozen in history like a generation's terms."""

    batch_id: str
    items: int
    quoted_usd_micros: int
    """Held for what this batch makes; an item that another key made before costs nothing more."""
    max_parallel: int
    source: Source
    user_hash: str
    fairness_weight: float


class Look(_Message):
    """Count the items; those up to position `started_to` were started by who asks."""

    batch_id: str
    started_to: int
    lost: tuple[int, ...] = ()
    """Positions that count no more: their workflows were terminated."""


class Window(_Message):
    """How the items stand."""

    waiting: int
    active: int
    """Started, neither parked nor ended: these hold the places."""
    parked: int
    """Waiting for the provider or a person, for days perhaps; they hold no place."""


class NextItems(_Message):
    """The page of items after position `after`."""

    batch_id: str
    after: int


class Item(_Message):
    """One item, for the workflow that starts or cancels it."""

    position: int
    generation_id: str
    operation: Operation


class Items(_Message):
    """A page, in the order of positions; an empty one is the end."""

    items: tuple[Item, ...]


class CloseWaiting(_Message):
    """Close as cancelled what this batch made and nobody started, after position `started_to`."""

    batch_id: str
    started_to: int
    told_to: int = 0
    """The position up to which receivers were told by earlier pages."""


class ClosedWaiting(_Message):
    """They are closed and their holds released."""

    closed: int
    to_tell: tuple[str, ...] = ()
    """Generations whose `callback_url` has to be told of that, since nothing else runs for them."""
    told_to: int = 0
    """The position of the last of them; the next page is after it."""
    is_all: bool = True
    """False where a page is full: ask again."""


class CloseBatch(_Message):
    """Record how the batch ended."""

    batch_id: str
    state: Literal[BatchState.COMPLETED, BatchState.FAILED, BatchState.CANCELLED]
    failure: Failure | None = None
    lost: tuple[int, ...] = ()
    """Positions whose workflows were terminated: failed, unless they have ended otherwise."""


class BatchResult(_Message):
    """What the workflow returns: how many items ended in which way."""

    completed: int
    failed: int
    cancelled: int


class Batches:
    """Reserving, counting and closing a batch."""

    @activity.defn(name="batches.reserve")
    async def reserve(self, task: ForBatch) -> BatchTerms:
        """Price every item, then claim and hold all of them, or none; once."""
        raise NotImplementedError

    @activity.defn(name="batches.look")
    async def look(self, task: Look) -> Window:
        """Count what waits, is active, is parked."""
        raise NotImplementedError

    @activity.defn(name="batches.list_waiting")
    async def list_waiting(self, task: NextItems) -> Items:
        """Items whose generation waits for its start."""
        raise NotImplementedError

    @activity.defn(name="batches.list_started")
    async def list_started(self, task: NextItems) -> Items:
        """Items of this batch's making that were started and have not ended."""
        raise NotImplementedError

    @activity.defn(name="batches.close_waiting")
    async def close_waiting(self, task: CloseWaiting) -> ClosedWaiting:
        """Cancel what was never started; each hold is released once."""
        raise NotImplementedError

    @activity.defn(name="batches.close")
    async def close(self, task: CloseBatch) -> BatchResult:
        """Record how it ended."""
        raise NotImplementedError
