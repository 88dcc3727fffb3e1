"""The sweeper's part after a storm: its Schedule is triggered, with every bill due at once."""

from tests.chaos.evidence import SQL
from tests.chaos.rig import Rig, until
from workflows.contracts.sweeps import SCHEDULE_ID

SWEEPS_MIN, SWEEPS_MAX = 2, 6
"""What the first one repairs, such as a workflow that is restarted, the second may find mended."""
PATIENCE_S = 90.0


async def sweep(rig: Rig) -> str:
    """Have the sweeper run until no bill is due, while workers serve; what it found, in a line.

    Bills are read again after 4 and 24 hours: here these hours pass by hand.
    """
    await rig.stack.value("UPDATE bills SET due_at = now() WHERE due_at IS NOT NULL")
    done = 0
    while done < SWEEPS_MIN or (await rig.stack.rows(SQL["bills_due"]) and done < SWEEPS_MAX):
        await _sweep_once(rig)
        done += 1
    repaired, found, failed = (await rig.stack.rows(SQL["last_sweep"]))[0]
    return f"{done} times; at last repaired {repaired}, found {found}, failed {failed}"


async def _sweep_once(rig: Rig) -> None:
    before = await _ended(rig)
    await rig.client.temporal.get_schedule_handle(SCHEDULE_ID).trigger()

    async def one_more() -> bool:
        return await _ended(rig) > before

    await until(one_more, "the sweep has ended", PATIENCE_S)


async def _ended(rig: Rig) -> int:
    return await rig.stack.value("SELECT count(*) FROM sweeps")
