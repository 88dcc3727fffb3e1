"""The ledger's Temporal face: reserve, settle, park, close."""

from dataclasses import dataclass, field
from typing import NamedTuple

from temporalio import activity

from activities.beating import heartbeats
from activities.boundary import boundary
from activities.database.pool import Connection, Pool
from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.admission import Admission
from activities.ledger.alarms import house_booked
from activities.ledger.bills import Bills
from activities.metrics.endings import ending_of
from activities.metrics.instruments import Instruments
from workflows.contracts import activities as contract
from workflows.contracts.activities import Booked, Close, ForGeneration, Park, Reserve
from workflows.contracts.failures import REFUSALS, FailureKind, RequestRefused
from workflows.contracts.quoting import check_max_cost
from workflows.contracts.requests import GenerationRequest, parse_request
from workflows.contracts.stages import Stage
from workflows.contracts.terms import Terms
from workflows.contracts.texts import dollars


class _Ending(NamedTuple):
    """What the ledger did at an end without a video."""

    booked: Booked
    house_usd_micros: int = 0


@dataclass
class LedgerActivities(contract.Ledger):
    """What the ledger needs: a pool, what admits a request, and the provider's bills."""

    pool: Pool
    admission: Admission
    bills: Bills
    metrics: Instruments = field(default_factory=Instruments)

    @activity.defn(name="ledger.reserve")
    @boundary
    async def reserve(self, task: Reserve) -> Terms:
        """Claim the id, check the inputs, hold video and cost; a repeat returns the same terms.

        A batch has claimed and held before: its generations find their terms here.
        """
        generation_id, run_id = task.generation_id, activity.info().workflow_run_id
        async with self.pool.acquire() as connection, connection.transaction():
            request = task.request or await self._claimed(connection, generation_id)
            claimed = await generations.claim(connection, generation_id, request, run_id=run_id)
            if claimed.generation_id != generation_id:
                raise RequestRefused(
                    FailureKind.KEY_REUSED,
                    f"idempotency_key: it names {claimed.generation_id} already; follow that one.",
                )
            await connection.execute(generations.SQL["began"], generation_id, run_id)
            held = None
            if not claimed.is_new:
                held = await self.admission.held(connection, generation_id)
            await generations.record(connection, generation_id, Stage.RESERVING)
            moved = held is not None and await self._go_on(connection, held)
        if held is not None:
            return self._told(held, is_new=moved)
        # No connection is held while files are fetched and decoded.
        async with heartbeats():
            priced = await self.admission.price(request)
        check_max_cost(request, priced.quote)
        async with self.pool.acquire() as connection, connection.transaction():
            terms = await self.admission.hold(connection, generation_id, request, priced)
            moved = await self._go_on(connection, terms)
        return self._told(terms, is_new=moved)

    async def _claimed(self, connection: Connection, generation_id: str) -> GenerationRequest:
        """The request that stands under this id already."""
        document = await connection.fetchval(generations.SQL["request"], generation_id)
        if document is None:
            raise RequestRefused(
                FailureKind.INVALID_REQUEST, "claimed: no request is recorded under this id."
            )
        return parse_request(document)

    async def _go_on(self, connection: Connection, terms: Terms) -> bool:
        quoted = {"quoted_usd_micros": terms.quote.cost_usd_micros}
        return await generations.record(connection, terms.generation_id, Stage.PROMPTING, quoted)

    def _told(self, terms: Terms, *, is_new: bool) -> Terms:
        """The terms, counted once and after the commit."""
        if is_new:
            self.metrics.reserved(terms)
        return terms

    @activity.defn(name="ledger.record_usage")
    @boundary
    async def record_usage(self, task: ForGeneration) -> Booked:
        """Book min(bill, quote), once; while there is no bill the quote, corrected by it later."""
        # No connection is held while the provider is asked.
        bill = await self.bills.look_up(task.generation_id)
        async with self.pool.acquire() as connection, connection.transaction():
            await generations.lock(connection, task.generation_id)
            settled = await self.bills.settle(connection, task.generation_id, bill)
            booked = {"cost_usd_micros": settled.booked_usd_micros}
            is_new = await generations.record(
                connection, task.generation_id, Stage.COMPLETED, booked
            )
            ending = await ending_of(connection, task.generation_id)
        if is_new:
            self.metrics.ended(ending, Stage.COMPLETED.value)
            self.metrics.settled(settled.booked_usd_micros)
        house_booked(task.generation_id, settled.house_usd_micros)
        return Booked(cost_usd_micros=settled.booked_usd_micros, money=settled.money)

    @activity.defn(name="ledger.park")
    @boundary
    async def park(self, task: Park) -> Booked:
        """Record that the generation waits; the hold stays."""
        async with self.pool.acquire() as connection, connection.transaction():
            await generations.lock(connection, task.generation_id)
            held = await money.reservation_of(connection, task.generation_id)
            told = f"{dollars(held.quoted_usd_micros if held else 0)} stays reserved."
            await generations.record(
                connection, task.generation_id, task.stage, failure=task.failure.with_money(told)
            )
        return Booked(cost_usd_micros=0, money=told)

    @activity.defn(name="ledger.close")
    @boundary
    async def close(self, task: Close) -> Booked:
        """End the generation without a video, and say what happened to the money."""
        async with self.pool.acquire() as connection, connection.transaction():
            await generations.lock(connection, task.generation_id)
            run_id = activity.info().workflow_run_id
            if await generations.is_over(connection, task.generation_id, run_id):
                # It was closed by this run before and has started over: this attempt comes late.
                return Booked(cost_usd_micros=0, money="Nothing was charged.")
            booked, house_usd_micros = await self._end(connection, task)
            await self.bills.expect(connection, task.generation_id)
            is_new = await generations.record(
                connection,
                task.generation_id,
                Stage(task.stage),
                failure=task.failure.with_money(booked.money),
            )
            ending = await ending_of(connection, task.generation_id) if is_new else None
            await connection.execute(
                "UPDATE submissions SET payload = NULL WHERE generation_id = $1", task.generation_id
            )
            asked = await connection.fetchval(generations.SQL["request"], task.generation_id)
        if ending is not None:
            self.metrics.ended(ending, task.stage.value, task.failure.kind.value)
            self.metrics.settled(booked.cost_usd_micros)
        house_booked(task.generation_id, house_usd_micros)
        has_callback = asked is not None and asked.get("callback_url") is not None
        return booked.model_copy(update={"callback": has_callback})

    async def _end(self, connection: Connection, task: Close) -> _Ending:
        held = await money.reservation_of(connection, task.generation_id)
        if held is None and task.failure.kind in REFUSALS:
            # No tombstone: a refusal before reserving doesn't use the key up.
            return _Ending(Booked(cost_usd_micros=0, money="Nothing was charged."))
        quoted = held.quoted_usd_micros if held else 0
        if held is not None and held.state == "settled" and task.settle != "provisional":
            booked = await money.settle(connection, task.generation_id, quoted)
            told = f"{dollars(booked)} was booked before."
            return _Ending(Booked(cost_usd_micros=booked, money=told))
        in_doubt = task.unless_submitted and held is not None and held.state == "reserved"
        if task.settle == "provisional" or (
            in_doubt and await connection.fetchval(money.SQL["submitted"], task.generation_id)
        ):
            booked = await money.settle(connection, task.generation_id, quoted, provisional=True)
            told = f"{dollars(booked)} was booked for now; the provider's bill corrects it."
            return _Ending(Booked(cost_usd_micros=booked, money=told))
        house = quoted if task.settle == "house" else 0
        released = await money.release(connection, task.generation_id, house_usd_micros=house)
        told = f"The {dollars(released)} that was reserved is released." if released else ""
        closed = Booked(cost_usd_micros=0, money=f"Nothing was charged. {told}".strip())
        return _Ending(closed, house if released else 0)
