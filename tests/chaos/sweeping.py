"""The sweeper's part after a storm: its Schedule is triggered, with every bill due now."""

import asyncpg
from temporalio.service import RPCError, RPCStatusCode

from tests.chaos.evidence import SQL
from tests.chaos.rig import Rig, until
from workflows.contracts.sweeps import SCHEDULE_ID

SWEEPS = 2
"""The first may find what the second, after a restart of a workflow, finds mended."""
PATIENCE_S = 60.0


async def sweep(rig: Rig) -> str:
    """Have the sweeper run to its end, while workers serve; what it did, in a line.

    The bills are read again after 4 and 24 hours: here these hours pass by hand.
    """
    schedule = rig.client.temporal.get_schedule_handle(SCHEDULE_ID)
    for _ in range(SWEEPS):
        before = await _ended(rig)
        await rig.stack.value("UPDATE bills SET due_at = now() WHERE due_at IS NOT NULL")
        try:
            await schedule.trigger()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return "no schedule: not swept"
            raise

        async def one_more(before: int = before) -> bool:
            return await _ended(rig) > before

        await until(one_more, "the sweep has ended", PATIENCE_S)
    rows = await rig.stack.rows(SQL["last_sweep"])
    repaired, found, failed = rows[0]
    return f"repaired {repaired}, found {found}, failed {failed}"


async def _ended(rig: Rig) -> int:
    try:
        return await rig.stack.value("SELECT count(*) FROM sweeps WHERE ended_at IS NOT NULL")
    except asyncpg.UndefinedTableError:
        return 0
