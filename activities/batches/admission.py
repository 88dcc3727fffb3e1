"""Reserving a batch: every item is priced, then all of them are claimed and held, or none.

Quota is taken for the whole in one transaction. Its generations find their terms held when they
start, so no child accounts for itself.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from activities.batches.estimates import Whole, check_max_cost_of, over_plan, videos_told
from activities.batches.repository import SQL, ItemRefused
from activities.database.pool import Connection, Pool, Row
from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.admission import Admission
from activities.ledger.pricing import Priced
from activities.ledger.usage import usage_of
from workflows.contracts.batch_results import BatchState
from workflows.contracts.batches import BatchTerms
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.quoting import check_max_cost
from workflows.contracts.requests import GenerationRequest, Source, parse_request

PRICED_AT_ONCE = 4
"""Only items whose media come by URL take time; these are fetched side by side."""

_OF_THE_WHOLE = frozenset({FailureKind.QUOTA_EXCEEDED, FailureKind.SPEND_LIMIT_REACHED})


class BatchChanged(Exception):
    """It was asked for anew, or ended, while its items were priced. Another try reads what is."""


@dataclass(frozen=True)
class _Asked:
    """An item that is to be made."""

    position: int
    generation_id: str
    request: GenerationRequest


@dataclass(frozen=True)
class BatchAdmission:
    """Reserves batches by the code that reserves single generations."""

    pool: Pool
    admission: Admission

    async def reserve(self, batch_id: str) -> BatchTerms:
        """Price and hold the whole; a repeat finds it held.

        Raises:
            RequestRefused: an item, the quota, a cost limit; nothing is claimed or held.
            MediaError: an input could not be read for now.
            BatchChanged: it became another meanwhile; nothing is held, so try again.
        """
        batch = await self.pool.fetchrow(SQL["lock"], batch_id)
        if batch is None:
            raise RequestRefused(
                FailureKind.INVALID_REQUEST, f"batch_id: {batch_id!r} is not recorded."
            )
        state = _open(batch)
        if state is BatchState.RUNNING:
            async with self.pool.acquire() as connection:
                return await self._terms(connection, batch)
        asked = [
            _Asked(row["position"], row["generation_id"], parse_request(row["request"]))
            for row in await self.pool.fetch(SQL["requests"], batch_id)
        ]
        known = await self.pool.fetch(SQL["reserved_before"], batch_id)
        positions = {row["position"] for row in known}
        new = [item for item in asked if item.position not in positions]
        await self._check_videos(batch["user_id"], len(new))
        # No connection is held while files are fetched and decoded.
        priced = await self._priced(new)
        try:
            async with self.pool.acquire() as connection, connection.transaction():
                return await self._hold(connection, batch, asked, priced)
        except RequestRefused as refused:
            if refused.failure.kind not in _OF_THE_WHOLE:
                raise
            raise await self._over_limit(batch["user_id"], priced, refused) from refused

    async def _check_videos(self, user_id: str, count: int) -> None:
        """Refuse what the plan has no videos for, before files of anybody's choice are fetched."""
        async with self.pool.acquire() as connection:
            usage = await usage_of(connection, user_id, self.admission.settings)
        if usage.videos_remaining is not None and count > usage.videos_remaining:
            raise over_plan(usage, videos_told(count))

    async def _priced(self, new: Sequence[_Asked]) -> dict[int, Priced]:
        """By position; what was reserved before is not priced again.

        The first item that is refused is the one that is told.
        """
        priced: dict[int, Priced] = {}
        for start in range(0, len(new), PRICED_AT_ONCE):
            chunk = new[start : start + PRICED_AT_ONCE]
            outcomes = await asyncio.gather(*map(self._price, chunk), return_exceptions=True)
            for item, outcome in zip(chunk, outcomes, strict=True):
                if isinstance(outcome, BaseException):
                    raise outcome
                priced[item.position] = outcome
        return priced

    async def _price(self, item: _Asked) -> Priced:
        try:
            priced = await self.admission.price(item.request)
            check_max_cost(item.request, priced.quote)
        except RequestRefused as refused:
            raise ItemRefused(item.position, refused) from refused
        return priced

    async def _hold(
        self,
        connection: Connection,
        batch: Row,
        asked: Sequence[_Asked],
        priced: Mapping[int, Priced],
    ) -> BatchTerms:
        """All or nothing, in the caller's transaction."""
        locked = await connection.fetchrow(SQL["lock"], batch["batch_id"])
        assert locked is not None, "batches are never deleted"
        if _open(locked) is BatchState.RUNNING:
            # Another attempt was here meanwhile.
            return await self._terms(connection, locked)
        if any(locked[name] != batch[name] for name in ("request_hash", "state", "created_at")):
            # These prices may be those of items that are asked for no more.
            raise BatchChanged(f"{batch['batch_id']} was asked for anew while it was priced.")
        made = await self._claim(connection, asked)
        whole = Whole.of([priced[item.position].quote for item in made])
        check_max_cost_of(whole, batch["max_cost_usd_micros"])
        for item in made:
            await self.admission.hold(
                connection, item.generation_id, item.request, priced[item.position]
            )
        positions = [item.position for item in made]
        await connection.execute(SQL["set_made"], batch["batch_id"], positions)
        await connection.execute(SQL["set_running"], batch["batch_id"])
        return await self._terms(connection, locked)

    async def _claim(self, connection: Connection, asked: Sequence[_Asked]) -> list[_Asked]:
        """Claim, and so lock, every id before the first hold; returns those that are new.

        What an item's own key has named before is part of the batch, and costs nothing again.
        """
        made: list[_Asked] = []
        for item in sorted(asked, key=lambda item: item.generation_id):
            try:
                claimed = await generations.claim(connection, item.generation_id, item.request)
            except RequestRefused as refused:
                raise ItemRefused(item.position, refused) from refused
            if claimed.is_new:
                made.append(item)
        return made

    async def _terms(self, connection: Connection, batch: Row) -> BatchTerms:
        totals = await connection.fetchrow(SQL["totals"], batch["batch_id"])
        assert totals is not None, "counts are always a row"
        plan = await money.plan_of(connection, batch["user_id"], self.admission.settings)
        return BatchTerms(
            batch_id=batch["batch_id"],
            max_parallel=batch["max_parallel"],
            source=Source(batch["source"]),
            user_hash=await generations.user_hash(connection, batch["user_id"]),
            fairness_weight=plan.fairness_weight,
            **totals,
        )

    async def _over_limit(
        self, user_id: str, priced: Mapping[int, Priced], refused: RequestRefused
    ) -> RequestRefused:
        """The refusal of the whole, in numbers that hold after the transaction is rolled back."""
        whole = Whole.of([each.quote for each in priced.values()])
        if refused.failure.kind is FailureKind.SPEND_LIMIT_REACHED:
            return RequestRefused(refused.failure.kind, f"items: {whole.told}: {refused}")
        async with self.pool.acquire() as connection:
            usage = await usage_of(connection, user_id, self.admission.settings)
        return over_plan(usage, whole.told)


def _open(batch: Row) -> BatchState:
    """Where a batch is that may still be carried out; a refused one was asked for again."""
    state = BatchState(batch["state"])
    if state in {BatchState.COMPLETED, BatchState.CANCELLED}:
        raise RequestRefused(
            FailureKind.ALREADY_CLOSED, f"The batch has ended before: it is {state}."
        )
    return state
