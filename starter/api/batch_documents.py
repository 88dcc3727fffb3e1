"""Batches as callers elsewhere may see them; see `documents`."""

from datetime import datetime
from typing import Any

from starter.api.documents import BATCHES, Document, Links, links_of, told
from workflows.contracts.batch_results import Batch, BatchItem, BatchState, ItemStatus
from workflows.contracts.failures import Failure
from workflows.contracts.requests import Operation, Source
from workflows.contracts.stages import Stage


class BatchLinks(Document):
    """Where to go on from a batch."""

    self: str


class BatchDocument(Document):
    """One batch with the counts of its items."""

    batch_id: str
    status: BatchState
    """Where the whole is; how its items ended is their own."""
    user_id: str
    source: Source
    size: int
    """How many items."""
    waiting: int
    running: int
    parked: int
    completed: int
    failed: int
    cancelled: int
    percent: int
    """The share of items that have ended; 100 once the batch has."""
    message: str
    """The counts for people."""
    max_parallel: int
    max_cost_usd_micros: int | None
    quoted_usd_micros: int
    cost_usd_micros: int
    """Booked so far, in millionths of a US dollar."""
    redo_of: str | None
    created_at: datetime
    completed_at: datetime | None
    error: Failure | None
    """Why it was refused as a whole."""
    links: BatchLinks

    @classmethod
    def of(cls, batch: Batch) -> "BatchDocument":
        """The document of a batch."""
        return cls(**_fields_of(batch))


class BatchPage(Document):
    """Batches, newest first."""

    items: tuple[BatchDocument, ...]
    next_cursor: str | None
    """The `cursor` of the next page; null on the last one."""


class BatchItemDocument(Document):
    """One item of a batch."""

    position: int
    """Counts from 1."""
    generation_id: str
    operation: Operation
    status: ItemStatus
    stage: Stage | None
    """Null where no generation was made of it."""
    title: str
    """The beginning of its prompt, or its scene's."""
    duration_s: float | None
    asset_id: str | None
    quoted_usd_micros: int | None
    cost_usd_micros: int | None
    error: Failure | None
    links: Links | None
    """Null where no generation was made of it."""

    @classmethod
    def of(cls, item: BatchItem) -> "BatchItemDocument":
        """The document of an item."""
        fields = item.model_dump(exclude={"file_path", "url", "error"})
        links = None if item.stage is None else links_of(item.generation_id, item.asset_id)
        return cls(**fields, error=told(item.error), links=links)


class BatchDetails(BatchDocument):
    """One batch with its items in their order."""

    items: tuple[BatchItemDocument, ...]

    @classmethod
    def with_items(cls, batch: Batch, items: list[BatchItem]) -> "BatchDetails":
        """The document of a batch and its items."""
        return cls(**_fields_of(batch), items=tuple(BatchItemDocument.of(item) for item in items))


def _fields_of(batch: Batch) -> dict[str, Any]:
    return {
        **batch.model_dump(exclude={"error"}),
        "percent": batch.percent,
        "message": batch.message,
        "error": told(batch.error),
        "links": BatchLinks(self=f"{BATCHES}/{batch.batch_id}"),
    }
