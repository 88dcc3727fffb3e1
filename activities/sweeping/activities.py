"""The sweeper's Temporal face: five looks, and the record of a sweep."""

from dataclasses import dataclass

from temporalio import activity

from activities.beating import heartbeats
from activities.boundary import boundary
from activities.database.pool import Pool
from activities.ledger.bills import Bills
from activities.provider.submissions import Submissions
from activities.sweeping.audit import Audit
from activities.sweeping.findings import Findings
from activities.sweeping.gone import Gone
from activities.sweeping.strays import Strays
from activities.sweeping.tidying import Tidying
from workflows.contracts import sweeps as contract
from workflows.contracts.sweeps import SweepRecord, Swept

BILLS_AT_ONCE = 100
BILL_ROUNDS_MAX = 10
"""A thousand predictions a sweep: those of a busy day wait for the next ones."""


@dataclass
class SweepActivities(contract.Sweeping):
    """What the looks need."""

    pool: Pool
    submissions: Submissions
    bills: Bills
    strays: Strays
    tidying: Tidying
    grace_s: float
    """How long a generation may stand still before anybody asks whether it has a workflow."""

    @activity.defn(name="sweeping.restart_gone")
    @boundary
    async def restart_gone(self) -> Swept:
        """Whose workflow is gone: restart what may be paid, release the rest."""
        temporal = activity.client()
        async with heartbeats():
            gone = Gone(self.pool, self.submissions, temporal, grace_s=self.grace_s)
            return await gone.look()

    @activity.defn(name="sweeping.read_bills")
    @boundary
    async def read_bills(self) -> Swept:
        """Bills that are due: read them, correct what was booked."""
        corrected, failed = 0, None
        async with heartbeats():
            for _ in range(BILL_ROUNDS_MAX):
                seen = await self.bills.read_due(BILLS_AT_ONCE)
                corrected, failed = corrected + seen.corrected, seen.failed
                if failed is not None or seen.read < BILLS_AT_ONCE:
                    break
        return Swept(repaired={"bills_corrected": corrected} if corrected else {}, failed=failed)

    @activity.defn(name="sweeping.find_strays")
    @boundary
    async def find_strays(self) -> Swept:
        """Predictions at the provider that nobody follows."""
        async with heartbeats():
            return await self.strays.look()

    @activity.defn(name="sweeping.tidy_media")
    @boundary
    async def tidy_media(self) -> Swept:
        """Files without assets, assets without files, inputs that nobody used."""
        async with heartbeats():
            return await self.tidying.look()

    @activity.defn(name="sweeping.audit")
    @boundary
    async def audit(self) -> Swept:
        """What the database says by itself: balances, holds, parked doubts, flagged bills."""
        async with heartbeats():
            return await Audit(self.pool, Findings(self.pool)).look()

    @activity.defn(name="sweeping.record")
    @boundary
    async def record(self, sweep: SweepRecord) -> None:
        """Keep when it ran and what came of it, and count what was mended.

        How much waits for a person is in the rows, which `stillmotion doctor` and every worker's
        report read.
        """
        is_new = await Findings(self.pool).record(sweep)
        meter = activity.metric_meter()
        repairs = meter.create_counter("stillmotion_repairs", "What the sweeper mended, by kind")
        for kind, count in sweep.repaired.items():
            repairs.add(count if is_new else 0, {"kind": kind})
