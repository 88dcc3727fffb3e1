"""The ledger's Temporal face: reserve, settle, park, close."""

from dataclasses import dataclass

from temporalio import activity

from activities.beating import heartbeats
from activities.boundary import boundary
from activities.database.pool import Connection, Pool
from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.pricing import Priced, price
from activities.ledger.settings import LedgerSettings
from activities.media.inputs import Inputs
from activities.provider.identity import ProviderIdentity
from workflows.contracts import activities as contract
from workflows.contracts.activities import Booked, Close, ForGeneration, Park, Reserve
from workflows.contracts.catalogue import Catalogue, TextParameter
from workflows.contracts.failures import REFUSALS, FailureKind, RequestRefused
from workflows.contracts.quoting import Parameters, check_max_cost, provider_inputs
from workflows.contracts.requests import Operation, Source
from workflows.contracts.stages import Stage
from workflows.contracts.terms import Terms
from workflows.contracts.texts import dollars


@dataclass
class LedgerActivities(contract.Ledger):
    """What the ledger needs: a pool, the catalogue, the inputs, the provider that will be paid."""

    pool: Pool
    catalogue: Catalogue
    inputs: Inputs
    settings: LedgerSettings
    provider: ProviderIdentity
    heartbeat_timeout_s: int

    @activity.defn(name="ledger.reserve")
    @boundary
    async def reserve(self, task: Reserve) -> Terms:
        """Claim the id, check the inputs, hold video and cost; a repeat returns the same terms."""
        generation_id, request = task.generation_id, task.request
        async with self.pool.acquire() as connection, connection.transaction():
            claimed = await generations.claim(connection, generation_id, request)
            if claimed.generation_id != generation_id:
                raise RequestRefused(
                    FailureKind.KEY_REUSED,
                    f"idempotency_key: it names {claimed.generation_id} already; follow that one.",
                )
            if not claimed.is_new and (held := await self._held(connection, generation_id)):
                return held
            await generations.record(connection, generation_id, Stage.RESERVING)
        # No connection is held while files are fetched and decoded.
        async with heartbeats():
            priced = await price(self.catalogue, self.inputs, request)
        check_max_cost(request, priced.quote)
        async with self.pool.acquire() as connection, connection.transaction():
            return await self._hold(connection, task, priced)

    async def _held(self, connection: Connection, generation_id: str) -> Terms | None:
        """The terms of an earlier run or attempt; None where nothing is held yet."""
        held = await money.reservation_of(connection, generation_id)
        if held is None:
            return None
        if held.state != "reserved":
            raise RequestRefused(
                FailureKind.ALREADY_CLOSED, f"The generation has ended before: it is {held.state}."
            )
        return (await generations.work_of(connection, generation_id)).terms

    async def _hold(self, connection: Connection, task: Reserve, priced: Priced) -> Terms:
        generation_id, request = task.generation_id, task.request
        # Another attempt may be here too: whoever comes second finds what the first has held.
        await generations.lock(connection, generation_id)
        if (held := await self._held(connection, generation_id)) is not None:
            return held
        await money.hold(
            connection,
            generation_id,
            request.user_id,
            priced.quote.cost_usd_micros,
            self.settings,
        )
        terms = Terms(
            generation_id=generation_id,
            operation=Operation(request.operation),
            source=Source(request.source),
            user_hash=await generations.user_hash(connection, request.user_id),
            provider=self.provider.name,
            base_url=self.provider.base_url,
            key_fingerprint=self.provider.key_fingerprint,
            provider_path=priced.entry.provider_path,
            parameters={
                name: value
                for name, value in priced.parameters.items()
                if not isinstance(priced.entry.parameters[name], TextParameter)
            },
            quote=priced.quote,
            reserved_at=await connection.fetchval("SELECT now()"),
            heartbeat_timeout_s=self.heartbeat_timeout_s,
        )
        await connection.execute(
            generations.SQL["set_terms"],
            generation_id,
            terms.model_dump(mode="json"),
            priced.quote.model,
            {role: found.media_id for role, found in priced.inputs.items()},
            provider_inputs(priced.entry, _but_prompt(priced.parameters), {}),
        )
        await generations.record(
            connection,
            generation_id,
            Stage.PROMPTING,
            {"quoted_usd_micros": priced.quote.cost_usd_micros},
        )
        return terms

    @activity.defn(name="ledger.record_usage")
    @boundary
    async def record_usage(self, task: ForGeneration) -> Booked:
        """Book the quote, once; the correction by the provider's bill is a later entry."""
        async with self.pool.acquire() as connection, connection.transaction():
            await generations.lock(connection, task.generation_id)
            work = await generations.work_of(connection, task.generation_id)
            booked = await money.settle(
                connection, task.generation_id, work.terms.quote.cost_usd_micros
            )
            await generations.record(
                connection, task.generation_id, Stage.COMPLETED, {"cost_usd_micros": booked}
            )
        return Booked(cost_usd_micros=booked, money=f"{dollars(booked)} was booked.")

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
            booked = await self._end(connection, task)
            await generations.record(
                connection,
                task.generation_id,
                Stage(task.stage),
                failure=task.failure.with_money(booked.money),
            )
            await connection.execute(
                "UPDATE submissions SET payload = NULL WHERE generation_id = $1", task.generation_id
            )
        return booked

    async def _end(self, connection: Connection, task: Close) -> Booked:
        held = await money.reservation_of(connection, task.generation_id)
        if held is None and task.failure.kind in REFUSALS:
            # No tombstone: a refusal before reserving doesn't use the key up.
            return Booked(cost_usd_micros=0, money="Nothing was charged.")
        quoted = held.quoted_usd_micros if held else 0
        if held is not None and held.state == "settled" and task.settle != "provisional":
            booked = await money.settle(connection, task.generation_id, quoted)
            return Booked(cost_usd_micros=booked, money=f"{dollars(booked)} was booked before.")
        if task.settle == "provisional":
            booked = await money.settle(connection, task.generation_id, quoted, provisional=True)
            told = f"{dollars(booked)} was booked for now; the provider's bill corrects it."
            return Booked(cost_usd_micros=booked, money=told)
        house = quoted if task.settle == "house" else 0
        released = await money.release(connection, task.generation_id, house_usd_micros=house)
        told = f"The {dollars(released)} that was reserved is released." if released else ""
        return Booked(cost_usd_micros=0, money=f"Nothing was charged. {told}".strip())


def _but_prompt(parameters: Parameters) -> Parameters:
    """The prompt is made later, and once."""
    return {name: value for name, value in parameters.items() if name != "prompt"}
