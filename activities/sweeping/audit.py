"""What the database says by itself: balances, holds, doubts that wait, bills, the house's loss."""

from collections import Counter
from datetime import timedelta

from activities.database.pool import Pool, Row
from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.sweeping.findings import ROWS_MAX, Findings
from activities.sweeping.turns import SQL
from workflows.contracts.stages import TERMINAL, Stage
from workflows.contracts.sweeps import FindingKind, Swept
from workflows.contracts.texts import dollars

UNRESOLVED_FOR = timedelta(hours=1)
"""It goes on looking by itself; after that a person is needed, or the provider is down."""

STRANDED_FOR = timedelta(hours=1)

OF_LATE = timedelta(days=30)
"""How long a flagged bill and a loss are told: for a month that is still to be paid."""

_FLAGS = {
    "unbelievable": FindingKind.UNBELIEVABLE_BILL,
    "missing": FindingKind.MISSING_BILL,
}


class Audit:
    """Reads the books and tells what does not add up."""

    def __init__(self, pool: Pool, findings: Findings) -> None:
        self._pool = pool
        self._findings = findings

    async def look(self) -> Swept:
        """One look; the holds that it releases are counted as repaired."""
        released, stranded = await self._holds()
        found: Counter[FindingKind] = Counter({FindingKind.STRANDED_HOLD: stranded})
        found[FindingKind.UNBALANCED] = await self._unbalanced()
        found[FindingKind.UNRESOLVED] = await self._unresolved()
        found.update(await self._bills())
        found[FindingKind.HOUSE_LOSS] = await self._house()
        return Swept(
            repaired={"holds_released": released} if released else {},
            found={kind.value: count for kind, count in found.items() if count},
        )

    async def _unbalanced(self) -> int:
        rows = await self._pool.fetch(money.SQL["unbalanced"])
        told = {
            f"balance {row['balance_id']}": f"of {row['user_id']}: not the sum of its entries"
            for row in rows
        }
        for row in await self._pool.fetch(money.SQL["unbalanced_spending"]):
            told[f"{row['span']} {row['starts_on']}"] = "not the sum of the entries of its holds"
        return await self._findings.replace(FindingKind.UNBALANCED, told)

    async def _unresolved(self) -> int:
        rows = await self._pool.fetch(SQL["unresolved"], UNRESOLVED_FOR, ROWS_MAX)
        told = {row["generation_id"]: f"since {row['stage_at']:%Y-%m-%d %H:%M} UTC" for row in rows}
        return await self._findings.replace(FindingKind.UNRESOLVED, told)

    async def _bills(self) -> dict[FindingKind, int]:
        rows = await self._pool.fetch(SQL["flagged_bills"], OF_LATE, ROWS_MAX)
        return {
            kind: await self._findings.replace(
                kind, {row["prediction_id"]: _told(row) for row in rows if row["flag"] == flag}
            )
            for flag, kind in _FLAGS.items()
        }

    async def _house(self) -> int:
        loss_usd_micros: int = await self._pool.fetchval(SQL["house_loss"], OF_LATE)
        told: dict[str, str] = {}
        if loss_usd_micros > 0:
            told["house"] = f"{dollars(loss_usd_micros)} in the last {OF_LATE.days} days"
        return await self._findings.replace(FindingKind.HOUSE_LOSS, told)

    async def _holds(self) -> tuple[int, int]:
        """Holds that nobody will end: how many were released, and how many are left.

        To release one is safe where its generation has failed, was cancelled or is none, and
        nothing of it was ever sent: nobody submits for it any more, and no video came of it. Where
        something was, or may have been, a person decides who pays.
        """
        rows = await self._pool.fetch(SQL["stranded_holds"], STRANDED_FOR, ROWS_MAX)
        left: dict[str, str] = {}
        released = 0
        for row in rows:
            if row["stage"] == Stage.COMPLETED or row["may_be_paid"]:
                held = dollars(row["quoted_usd_micros"])
                left[row["generation_id"]] = f"{held} held, though it is {row['stage']}"
            else:
                released += await self._release(row["generation_id"])
        return released, await self._findings.replace(FindingKind.STRANDED_HOLD, left)

    async def _release(self, generation_id: str) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            stage = await generations.lock(connection, generation_id)
            if stage is not None and stage not in TERMINAL:
                # It was asked for again meanwhile.
                return False
            return await money.release(connection, generation_id) > 0


def _told(bill: Row) -> str:
    quoted = f"of {bill['generation_id']}, quoted {dollars(bill['quoted_usd_micros'])}"
    charged = bill["charged_usd_micros"]
    return f"{quoted}, {'no bill' if charged is None else f'billed {dollars(charged)}'}"
