"""Batches in the database: added by the starter, counted and closed for the workflow.

Lock order: the batch, then its generations in the order of their ids, then as
`activities.ledger.repository`. A generation is closed here only where it was never started.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from activities.database.pool import Connection, Pool, Row
from activities.database.statements import statements
from activities.generations import repository as generations
from activities.ledger import repository as money
from workflows.contracts.batch_results import BatchState
from workflows.contracts.batches import (
    PAGE,
    BatchResult,
    ClosedWaiting,
    CloseWaiting,
    Item,
    Look,
    Window,
)
from workflows.contracts.failures import Failure, FailureKind, RequestRefused, failure
from workflows.contracts.ids import batch_id_for, generation_id_for
from workflows.contracts.requests import GenerationRequest, Operation, Source, request_hash
from workflows.contracts.stages import PARKED, TERMINAL, Stage
from workflows.contracts.texts import dollars

SQL = statements("activities.batches", "queries.sql")

_PARKED = [stage.value for stage in PARKED]
_ENDS = [stage.value for stage in TERMINAL]


class ItemRefused(RequestRefused):
    """One item can't be done as written, so the whole is refused. The message names the item."""

    def __init__(self, position: int, refused: RequestRefused) -> None:
        super().__init__(refused.failure.kind, f"item {position}: {refused}")
        self.position = position
        """Counts from 1."""
        self.reason = refused.failure


class NewBatch(NamedTuple):
    """A batch to be added. Each request has its own idempotency key already."""

    user_id: str
    idempotency_key: str
    source: Source
    requests: Sequence[GenerationRequest]
    max_parallel: int
    max_cost_usd_micros: int | None = None
    redo_of: str | None = None

    def with_item_keys(self) -> "NewBatch":
        """The same, each item with a key: its own, or one that derives from the batch's."""
        keyed = [
            each
            if each.idempotency_key is not None
            else each.model_copy(update={"idempotency_key": f"{self.batch_id}-{position}"})
            for position, each in enumerate(self.requests, start=1)
        ]
        return self._replace(requests=keyed)

    @property
    def batch_id(self) -> str:
        """The id that the key names for ever."""
        return batch_id_for(self.user_id, self.idempotency_key)

    @property
    def request_hash(self) -> str:
        """Equal for equal wishes in the same order, whatever the cost limit or the parallelism."""
        wishes = [[each.idempotency_key, request_hash(each)] for each in self.requests]
        return hashlib.sha256(json.dumps(wishes).encode()).hexdigest()


async def add(connection: Connection, batch: NewBatch) -> BatchState:
    """Record the batch and its items, or find that the same batch is known; returns its state.

    One key names one batch for ever. A batch that was refused as a whole starts over, since a
    refusal doesn't use the key up.

    Raises:
        RequestRefused: `key_reused`: the key stands for other items.
    """
    wish = (
        batch.request_hash,
        batch.source.value,
        batch.max_parallel,
        batch.max_cost_usd_micros,
        batch.redo_of,
    )
    batch_id = batch.batch_id
    async with connection.transaction():
        inserted = await connection.fetchval(
            SQL["insert"], batch_id, batch.user_id, batch.idempotency_key, *wish
        )
        if inserted is None:
            known = await connection.fetchrow(SQL["lock"], batch_id)
            assert known is not None, "the insert met this very row: the id derives from the key"
            state = BatchState(known["state"])
            if state is not BatchState.FAILED:
                return _same(batch, known, state)
            await connection.execute(SQL["revive"], batch_id, *wish)
            await connection.execute(SQL["forget_items"], batch_id)
        await connection.execute(
            SQL["insert_items"],
            batch_id,
            [generation_id_of(each) for each in batch.requests],
            [each.model_dump(mode="json", exclude_none=True) for each in batch.requests],
        )
    return BatchState.ACCEPTED


def _same(batch: NewBatch, known: Row, state: BatchState) -> BatchState:
    if known["request_hash"] == batch.request_hash:
        return state
    raise RequestRefused(
        FailureKind.KEY_REUSED,
        f"idempotency_key: {batch.idempotency_key!r} already names {batch.batch_id},"
        " which was asked for otherwise.",
    )


def generation_id_of(request: GenerationRequest) -> str:
    """The generation that an item's key names."""
    assert request.idempotency_key is not None, "every item has a key"
    return generation_id_for(request.user_id, request.idempotency_key)


async def start_failed(pool: Pool, batch_id: str) -> None:
    """Say in every list that nobody took the start; a repeat under the same key starts over."""
    told = failure(FailureKind.INTERNAL, "Temporal did not take the start.")
    await pool.execute(SQL["start_failed"], batch_id, told.model_dump(mode="json"))


async def reserved(pool: Pool, generation_ids: Sequence[str]) -> set[str]:
    """Those that were reserved before: they cost nothing again."""
    rows = await pool.fetch(SQL["reserved"], list(generation_ids))
    return {row["generation_id"] for row in rows}


async def window(pool: Pool, look: Look) -> Window:
    """How the items stand; those accepted up to `started_to` count as started."""
    row = await pool.fetchrow(
        SQL["window"], look.batch_id, look.started_to, _PARKED, _ENDS, list(look.lost)
    )
    assert row is not None, "counts are always a row"
    return Window(**row)


async def waiting(pool: Pool, batch_id: str, after: int) -> tuple[Item, ...]:
    """The next items to start."""
    return _items(await pool.fetch(SQL["waiting"], batch_id, after, PAGE))


async def started(pool: Pool, batch_id: str, after: int) -> tuple[Item, ...]:
    """The next items that a cancel is passed on to."""
    return _items(await pool.fetch(SQL["started"], batch_id, after, PAGE, _ENDS))


def _items(rows: Sequence[Row]) -> tuple[Item, ...]:
    return tuple(
        Item(
            position=row["position"],
            generation_id=row["generation_id"],
            operation=Operation(row["operation"]),
        )
        for row in rows
    )


async def close_waiting(pool: Pool, task: CloseWaiting) -> ClosedWaiting:
    """Cancel what nobody started, each in a transaction of its own; tells a page of receivers.

    One that has begun meanwhile is left alone: its own workflow ends it. One that begins afterwards
    finds its hold ended and does nothing. Who is to be told is read from the rows, so that an
    attempt after a lost one tells of what that one has closed.
    """
    closed = 0
    for row in await pool.fetch(SQL["never_started"], task.batch_id, task.started_to):
        closed += await _close_one(pool, row["generation_id"])
    untold = await pool.fetch(SQL["untold"], task.batch_id, task.told_to, PAGE)
    return ClosedWaiting(
        closed=closed,
        to_tell=tuple(row["generation_id"] for row in untold),
        told_to=untold[-1]["position"] if untold else task.told_to,
        is_all=len(untold) < PAGE,
    )


async def _close_one(pool: Pool, generation_id: str) -> bool:
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(generations.SQL["lock"], generation_id)
        if row is None or Stage(row["stage"]) is not Stage.ACCEPTED:
            return False
        released = await money.release(connection, generation_id)
        told = failure(
            FailureKind.CANCELLED, "Its batch was cancelled before it was started."
        ).with_money(f"Nothing was charged. The {dollars(released)} that was reserved is released.")
        return await generations.record(connection, generation_id, Stage.CANCELLED, failure=told)


async def close(
    pool: Pool,
    batch_id: str,
    state: BatchState,
    told: Failure | None = None,
    lost: Sequence[int] = (),
) -> BatchResult:
    """Record how the batch ended, once; returns how its items did.

    The `lost` positions count as failed, unless somebody started them again and they have ended.
    """
    document = told.model_dump(mode="json") if told is not None else None
    await pool.execute(SQL["close"], batch_id, state.value, document)
    row = await pool.fetchrow(SQL["ends"], batch_id, list(lost), _ENDS)
    assert row is not None, "counts are always a row"
    return BatchResult(**row)
