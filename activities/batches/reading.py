"""Reading batches: their counts and items, from PostgreSQL alone.

Every read is owner-scoped unless an operator asks (None).
"""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from activities.batches.repository import SQL
from activities.database.pool import Pool, Row
from activities.library.repository import path_of
from activities.media.store import MediaStore
from workflows.contracts.batch_results import (
    BATCH_ENDS,
    Batch,
    BatchItem,
    BatchState,
    ItemStatus,
)
from workflows.contracts.failures import Failure
from workflows.contracts.requests import Operation, Source
from workflows.contracts.stages import PARKED, Stage, status_of

_PARKED = [stage.value for stage in PARKED]
_TITLE_CHARACTERS_MAX = 120


class UnknownBatch(LookupError):
    """No such batch, or not this owner's: the two look alike on purpose."""


class BatchReader:
    """Batches as people and scripts see them; it needs no worker."""

    def __init__(self, pool: Pool, store: MediaStore) -> None:
        self._pool = pool
        self._store = store

    async def find_id(self, prefix: str, user_id: str | None = None) -> str:
        """The one id that begins with `prefix`.

        Raises:
            UnknownBatch: none does, or several do.
        """
        rows = await self._pool.fetch(SQL["ids_by_prefix"], prefix, user_id)
        if len(rows) != 1:
            told = "several batches begin" if rows else "no batch begins"
            raise UnknownBatch(f"{told} with {prefix[:80]!r}")
        return rows[0]["batch_id"]

    async def read(self, batch_id: str, user_id: str | None = None) -> Batch:
        """One batch with the counts of its items.

        Raises:
            UnknownBatch: no such id, or another owner's.
        """
        rows = await self._pool.fetch(SQL["list"], batch_id, user_id, 1, _PARKED, None, None)
        if not rows:
            raise UnknownBatch(f"no batch {batch_id[:80]!r}")
        return _batch(rows[0])

    async def find(
        self,
        user_id: str | None = None,
        limit: int = 100,
        *,
        sources: Sequence[Source] | None = None,
        after: str | None = None,
    ) -> list[Batch]:
        """Batches, newest first; `after` is the last one's id of the page before."""
        rows = await self._pool.fetch(SQL["list"], None, user_id, limit, _PARKED, sources, after)
        return [_batch(row) for row in rows]

    async def items(self, batch_id: str, user_id: str | None = None) -> list[BatchItem]:
        """The items in their order, with what became of each.

        Raises:
            UnknownBatch: no such id, or another owner's.
        """
        batch = await self.read(batch_id, user_id)
        rows = await self._pool.fetch(SQL["items"], batch_id, user_id)
        return [_item(row, batch, self._store) for row in rows]

    async def requests(self, batch_id: str) -> dict[int, dict[str, Any]]:
        """What was asked for, by position, as it was stored."""
        rows = await self._pool.fetch(SQL["requests"], batch_id)
        return {row["position"]: row["request"] for row in rows}


def _batch(row: Row) -> Batch:
    state = BatchState(row["state"])
    ended = {name: row[name] for name in ("completed", "failed", "cancelled")}
    waiting, parked = row["waiting"], row["parked"]
    return Batch(
        batch_id=row["batch_id"],
        status=state,
        user_id=row["user_id"],
        source=Source(row["source"]),
        size=row["size"],
        waiting=0 if state in BATCH_ENDS else waiting,
        running=row["size"] - waiting - parked - sum(ended.values()),
        parked=parked,
        **ended,
        max_parallel=row["max_parallel"],
        max_cost_usd_micros=row["max_cost_usd_micros"],
        quoted_usd_micros=row["quoted_usd_micros"],
        cost_usd_micros=row["cost_usd_micros"],
        redo_of=row["redo_of"],
        created_at=row["created_at"].astimezone(UTC),
        completed_at=row["completed_at"].astimezone(UTC) if row["completed_at"] else None,
        error=Failure.model_validate(row["failure"]) if row["failure"] else None,
    )


def _item(row: Row, batch: Batch, store: MediaStore) -> BatchItem:
    stage = Stage(row["stage"]) if row["stage"] else None
    request: dict[str, Any] = row["request"]
    kept = row["key"] if row["deleted_at"] is None else None
    ended = row["reservation"] in {"settled", "released"}
    return BatchItem(
        position=row["position"],
        generation_id=row["generation_id"],
        operation=Operation(request["operation"]),
        status=_status(stage, batch),
        stage=stage,
        title=_title(row["prompt"], request),
        duration_s=row["facts"]["duration_s"] if row["facts"] else None,
        file_path=path_of(store, kept),
        url=store.url(kept) if kept else None,
        asset_id=row["asset_id"] if kept else None,
        quoted_usd_micros=row["terms"]["quote"]["cost_usd_micros"] if row["terms"] else None,
        cost_usd_micros=row["settled_usd_micros"] if ended else None,
        error=Failure.model_validate(row["failure"]) if row["failure"] else None,
    )


def _status(stage: Stage | None, batch: Batch) -> ItemStatus:
    if stage is None or stage is Stage.ACCEPTED:
        return ItemStatus.NOT_STARTED if batch.has_ended else ItemStatus.WAITING
    return ItemStatus(status_of(stage).value)


def _title(prompt: str | None, request: dict[str, Any]) -> str:
    scene: dict[str, Any] = request.get("scene") or {}
    told = scene.get("title") or prompt or request.get("prompt") or scene.get("description") or ""
    line = " ".join(str(told).split())
    if len(line) <= _TITLE_CHARACTERS_MAX:
        return line
    return line[: _TITLE_CHARACTERS_MAX - 1] + "…"
