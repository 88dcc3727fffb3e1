"""Batches as readers see them: where they are, how many items are where, what became of each.

Without the activities' signatures, so that a command line needs no Temporal to show them.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from workflows.contracts.failures import Failure
from workflows.contracts.requests import Operation, Source
from workflows.contracts.stages import Stage

ITEMS_MAX = 500
"""A podcast's or a long story's scenes; at about ten events an item, history stays far from the
51,200 events at which Temporal would end the workflow."""

PARALLEL_MAX = 100
PARALLEL_DEFAULT = 5


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


class Batch(BaseModel):
    """One batch."""

    model_config = ConfigDict(frozen=True)

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


class BatchItem(BaseModel):
    """One item; `stillmotion show` has the rest of its generation."""

    model_config = ConfigDict(frozen=True)

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
