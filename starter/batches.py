"""Starting many generations as one: every item is checked before the first file is uploaded.

`VideoClient.batch` and `redo` are the short way in; the CLI takes the steps one by one, to quote
and to ask in between.
"""

import uuid
from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError
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

from activities.batches import repository
from activities.batches.estimates import BatchEstimate, estimate_batch
from activities.batches.reading import BatchReader, UnknownBatch
from activities.batches.repository import NewBatch, generation_id_of
from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.ledger.repository import plan_of
from activities.ledger.settings import LedgerSettings
from activities.media.store import MediaStore
from starter.batch_asking import BatchAsking, Items
from starter.batch_handles import BatchHandle
from starter.places import NotReachable
from workflows.contracts import queues
from workflows.contracts.batch_results import (
    BATCH_ENDS,
    PARALLEL_DEFAULT,
    PARALLEL_MAX,
    Batch,
    BatchState,
    ItemStatus,
)
from workflows.contracts.batches import WORKFLOW_TYPE, ForBatch
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.ids import batch_id_for
from workflows.contracts.quoting import Quote
from workflows.contracts.requests import GenerationRequest, Source, parse_request
from workflows.contracts.stages import Status
from workflows.contracts.texts import Name

_KEY: TypeAdapter[str] = TypeAdapter(Name)
_TO_REDO = frozenset({ItemStatus.FAILED, ItemStatus.CANCELLED, ItemStatus.NOT_STARTED})


class Batches:
    """Checks, starts, finds and steers batches."""

    def __init__(
        self,
        temporal: Client,
        pool: Pool,
        store: MediaStore,
        asking: BatchAsking,
        ledger: LedgerSettings,
    ) -> None:
        self._temporal = temporal
        self._pool = pool
        self._ledger = ledger
        self.asking = asking
        self.reader = BatchReader(pool, store)

    # Before spending

    async def estimate(
        self,
        requests: Sequence[GenerationRequest],
        quotes: Sequence[Quote],
        max_cost_usd_micros: int | None = None,
    ) -> BatchEstimate:
        """What the whole costs, and whether it would be granted now. Holds nothing.

        Raises:
            RequestRefused: the user is on no plan.
        """
        keyed = [each for each in requests if each.idempotency_key is not None]
        known = await repository.reserved(self._pool, [generation_id_of(each) for each in keyed])
        new = [
            quote
            for request, quote in zip(requests, quotes, strict=True)
            if request.idempotency_key is None or generation_id_of(request) not in known
        ]
        async with self._pool.acquire() as connection:
            return await estimate_batch(
                connection, requests[0].user_id, new, self._ledger, max_cost_usd_micros
            )

    # Starting

    async def make(
        self,
        items: Items,
        *,
        user_id: str,
        source: Source | str = Source.API,
        idempotency_key: str | None = None,
        max_cost_usd_micros: int | None = None,
        max_parallel: int = PARALLEL_DEFAULT,
    ) -> BatchHandle:
        """As `VideoClient.batch`."""
        key = idempotency_key if idempotency_key is not None else new_key()
        check_wish(key, max_parallel, max_cost_usd_micros)
        product = _source(source)
        requests = await self.asking.requests(items, user_id=user_id, source=product)
        return await self.start(
            NewBatch(user_id, key, product, requests, max_parallel, max_cost_usd_micros)
        )

    async def redo(
        self,
        batch_id: str,
        *,
        user_id: str | None = None,
        idempotency_key: str | None = None,
        max_cost_usd_micros: int | None = None,
        max_parallel: int | None = None,
    ) -> BatchHandle:
        """As `VideoClient.redo`."""
        batch, requests = await self.to_redo(batch_id, user_id=user_id)
        return await self.start(
            NewBatch(
                batch.user_id,
                idempotency_key if idempotency_key is not None else redo_key(batch.batch_id),
                batch.source,
                requests,
                max_parallel or batch.max_parallel,
                max_cost_usd_micros,
                redo_of=batch.batch_id,
            )
        )

    async def start(self, batch: NewBatch) -> BatchHandle:
        """Record and start a batch, once: the same key gives the same batch, and goes on with it.

        Raises:
            RequestRefused: the key names other items, the user is on no plan, a number is out of
                its bounds.
            NotReachable: Temporal could not be asked; nothing was reserved.
        """
        check_wish(batch.idempotency_key, batch.max_parallel, batch.max_cost_usd_micros)
        batch = batch.with_item_keys()
        async with self._pool.acquire() as connection:
            # Who has no plan is refused before anything is recorded.
            await plan_of(connection, batch.user_id, self._ledger)
            state = await repository.add(connection, batch)
        if state not in BATCH_ENDS:
            await self._launch(await self.reader.read(batch.batch_id))
        return BatchHandle(self, batch.batch_id, batch.user_id)

    async def to_redo(
        self, batch_id: str, *, user_id: str | None = None
    ) -> tuple[Batch, list[GenerationRequest]]:
        """What failed, was cancelled or never started, to be asked for anew; starts nothing.

        Raises:
            UnknownBatch: none, several, or another owner's.
            RequestRefused: the batch goes on, or nothing of it is to be done again.
        """
        batch_id = await self.reader.find_id(batch_id, user_id)
        batch = await self.reader.read(batch_id, user_id)
        items = await self.reader.items(batch_id, user_id)
        positions = [item.position for item in items if item.status in _TO_REDO]
        if not batch.has_ended:
            told = f"batch_id: {batch_id} is {batch.status}; allowed: one that has ended."
            raise RequestRefused(FailureKind.INVALID_REQUEST, told)
        if not positions:
            told = f"batch_id: nothing of {batch_id} failed or was cancelled."
            raise RequestRefused(FailureKind.INVALID_REQUEST, told)
        asked = await self.reader.requests(batch_id)
        return batch, [parse_request(asked[n] | {"idempotency_key": None}) for n in positions]

    # Finding and steering

    async def get(self, batch_id: str, *, user_id: str | None = None) -> BatchHandle:
        """A handle by id or unique beginning.

        Raises:
            UnknownBatch: none, several, or another owner's.
        """
        return BatchHandle(self, await self.reader.find_id(batch_id, user_id), user_id)

    async def is_known(self, user_id: str, key: str | None) -> bool:
        """Whether the key names a batch that was not refused: to repeat it costs nothing."""
        if key is None:
            return False
        try:
            batch = await self.reader.read(batch_id_for(user_id, key), user_id)
        except UnknownBatch:
            return False
        return batch.status is not BatchState.FAILED

    async def cancel(self, batch_id: str, user_id: str | None = None) -> bool:
        """As `BatchHandle.cancel`."""
        if not await self.resume(batch_id, user_id):
            return False
        try:
            await self._temporal.get_workflow_handle(batch_id).cancel()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise NotReachable(f"Temporal did not answer ({error.status.name}).") from error
        return True

    async def resume(self, batch_id: str, user_id: str | None = None) -> bool:
        """As `BatchHandle.resume`."""
        batch = await self.reader.read(batch_id, user_id)
        if not batch.has_ended:
            await self._launch(batch)
        return not batch.has_ended

    async def _launch(self, batch: Batch) -> None:
        """Have its workflow run; one that runs already is left alone."""
        async with self._pool.acquire() as connection:
            plan = await plan_of(connection, batch.user_id, self._ledger)
            user_hash = await generations.user_hash(connection, batch.user_id)
        attributes = TypedSearchAttributes(
            [
                SearchAttributePair(queues.USER, user_hash),
                SearchAttributePair(queues.SOURCE, batch.source.value),
                SearchAttributePair(queues.STATUS, Status.RUNNING.value),
            ]
        )
        try:
            await self._temporal.start_workflow(
                WORKFLOW_TYPE,
                ForBatch(batch_id=batch.batch_id),
                id=batch.batch_id,
                task_queue=queues.TaskQueue.GENERATIONS.value,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                # A refused or terminated run may start over under its id; it holds nothing twice.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                static_summary=f"{batch.size} items, {batch.max_parallel} at a time",
                search_attributes=attributes,
                priority=Priority(fairness_key=user_hash, fairness_weight=plan.fairness_weight),
            )
        except WorkflowAlreadyStartedError:
            # It completed between the look and the start.
            return
        except RPCError as error:
            await repository.start_failed(self._pool, batch.batch_id)
            raise NotReachable(f"Temporal did not take the start ({error.status.name}).") from error


def check_wish(
    idempotency_key: str, max_parallel: int, max_cost_usd_micros: int | None = None
) -> None:
    """Refuse what is wrong with the batch itself, before any item is looked at.

    Raises:
        RequestRefused: a key that can't be stored, a number out of its bounds.
    """
    if max_cost_usd_micros is not None and max_cost_usd_micros < 0:
        told = f"max_cost_usd_micros: {max_cost_usd_micros}; allowed: 0 or more."
        raise RequestRefused(FailureKind.INVALID_REQUEST, told)
    if not 0 < max_parallel <= PARALLEL_MAX:
        told = f"max_parallel: {max_parallel}; allowed: 1 to {PARALLEL_MAX}."
        raise RequestRefused(FailureKind.INVALID_REQUEST, told)
    try:
        _KEY.validate_python(idempotency_key)
    except ValidationError as error:
        told = f"idempotency_key: {error.errors(include_url=False)[0]['msg']}."
        raise RequestRefused(FailureKind.INVALID_REQUEST, told) from error


def _source(name: str) -> Source:
    try:
        return Source(name)
    except ValueError:
        told = f"source: {name[:80]!r}; allowed: {', '.join(each.value for each in Source)}."
        raise RequestRefused(FailureKind.INVALID_REQUEST, told) from None


def new_key() -> str:
    """A key for a batch that got none: it can't be repeated."""
    return uuid.uuid4().hex


def redo_key(batch_id: str) -> str:
    """The key of a batch's redo: asked for twice, it is done once."""
    return f"redo-{batch_id}"
