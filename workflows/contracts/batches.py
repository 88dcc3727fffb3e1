"""Many generations asked for at once: what the workflow is told of them, and what readers see.

The requests stand in the database, so histories hold ids and counts only. An item's position
counts from 1, as people and error messages count.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from temporalio import activity

from workflows.contracts.failures import Failure
from workflows.contracts.requests import Operation, Source
from workflows.contracts.stages import Stage

WORKFLOW_TYPE = "Batch"

ITEMS_MAX = 500
"""A podcast's or a long story's scenes; at about ten events an item, history stays far from the
51,200 events at which Temporal would end the workflow."""

PARALLEL_MAX = 100
PARALLEL_DEFAULT = 5

PAGE = 16
"""Items in one payload: with 100 bytes an item it stays below 2 kB."""


class BatchState(StrEnum):
    """Where a batch is. How its items ended is their own."""

    ACCEPTED = "accepted"  # recorded; nothing is reserved yet
    RUNNING = "running"  # the whole is reserved; items are started as there is room
    COMPLETED = "completed"  # every item has ended, each in its own way
    FAILED = "failed"  # refused as a whole: nothing was reserved or submitted
    CANCELLED = "cancelled"


BATCH_ENDS = frozenset({BatchState.COMPLETED, BatchState.FAILED, BatchState.CANCELLED})


class ItemStatus(StrEnum):
    """Where an item is."""

    WAITING = "waiting"
    RUNNING = "running"
    TIMED_OUT = "timed_out"
    UNRESOLVED = "unresolved"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"  # the batch was refused, or lost, before its turn


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


class ClosedWaiting(_Message):
    """They are closed and their holds released."""

    closed: int
    to_tell: tuple[str, ...] = ()
    """Generations whose `callback_url` has to be told of that, since nothing else runs for them."""
    is_all: bool = True
    """False where a page is full: ask again."""


class CloseBatch(_Message):
    """Record how the batch ended."""

    batch_id: str
    state: Literal[BatchState.COMPLETED, BatchState.FAILED, BatchState.CANCELLED]
    failure: Failure | None = None


class BatchResult(_Message):
    """What the workflow returns: how many items ended in which way."""

    completed: int
    failed: int
    cancelled: int


class Batch(_Message):
    """A batch as readers see it."""

    batch_id: str
    status: BatchState
    user_id: str
    source: Source
    size: int
    """How many items."""
    waiting: int = 0
    running: int = 0
    parked: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    max_parallel: int
    max_cost_usd_micros: int | None = None
    quoted_usd_micros: int = 0
    """What its items were quoted, whatever came of them; 0 before the whole is reserved."""
    cost_usd_micros: int = 0
    """Booked so far."""
    redo_of: str | None = None
    created_at: datetime
    completed_at: datetime | None = None
    """When it ended, however it ended."""
    error: Failure | None = None
    """Why it was refused as a whole."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing changes any more."""
        return self.status in BATCH_ENDS

    @property
    def only_parked(self) -> bool:
        """Whether all that is left waits for the provider or a person."""
        return not self.has_ended and self.parked > 0 and self.waiting == self.running == 0

    @property
    def percent(self) -> int:
        """The share of items that have ended; 100 once the batch has."""
        ended = self.completed + self.failed + self.cancelled
        return 100 if self.has_ended else 100 * ended // max(1, self.size)

    @property
    def message(self) -> str:
        """The counts for people, without those that are zero."""
        names = ("completed", "running", "parked", "waiting", "failed", "cancelled")
        counts = ((getattr(self, name), name) for name in names)
        told = ", ".join(f"{count} {name}" for count, name in counts if count)
        return f"{told} of {self.size}" if told else f"{self.size} items, {self.status.value}"


class BatchItem(_Message):
    """An item as readers see it; `stillmotion show` has the rest of its generation."""

    position: int
    generation_id: str
    operation: Operation
    status: ItemStatus
    stage: Stage | None = None
    """None where no generation was made of it."""
    title: str = ""
    """The beginning of its prompt, or its scene's."""
    duration_s: float | None = None
    file_path: str | None = None
    url: str | None = None
    asset_id: str | None = None
    quoted_usd_micros: int | None = None
    cost_usd_micros: int | None = None
    error: Failure | None = None


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
