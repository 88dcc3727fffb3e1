"""Generations whose predictions were made, and billed, by a real sandbox."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio.testing import ActivityEnvironment

from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.activities import LedgerActivities
from activities.ledger.bills import Bills, BillsRead
from activities.provider.models import Status
from activities.provider.submissions import Submissions
from activities.provider.wavespeed import WaveSpeed
from tests.activities.conftest import (
    QUOTED,
    WAN,
    SandboxControl,
    a_generation,
    a_picture,
    a_quote,
    some_terms,
)
from workflows.contracts.activities import Booked, Close, ForGeneration
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.stages import Stage

if TYPE_CHECKING:
    from tests.activities.ledger.conftest import Bank

QUARTER, FOUR_HOURS, DAY = timedelta(minutes=15), timedelta(hours=4), timedelta(hours=24)


@dataclass(frozen=True)
class Till:
    """What the ledger does with a bill, and what a test asks of it."""

    bank: "Bank"
    client: WaveSpeed
    sandbox: SandboxControl
    ledger: LedgerActivities
    folder: Path

    @property
    def pool(self) -> Pool:
        return self.bank.pool

    @property
    def bills(self) -> Bills:
        return self.ledger.bills

    async def made(self, generation_id: str = "gen_one", *, quoted: int = QUOTED) -> str:
        """A generation up to the end of its job, which costs $0.50; the prediction's id."""
        prediction_id = await self.started(generation_id, quoted=quoted)
        await self.ended(prediction_id)
        async with self.pool.acquire() as connection, connection.transaction():
            for stage in (Stage.DOWNLOADING, Stage.SAVING, Stage.SETTLING):
                await generations.record(connection, generation_id, stage)
        return prediction_id

    async def started(self, generation_id: str = "gen_one", *, quoted: int = QUOTED) -> str:
        await self.staged(generation_id, quoted=quoted)
        return await Submissions(self.pool, self.client).submit(generation_id)

    async def staged(self, generation_id: str = "gen_one", *, quoted: int = QUOTED) -> None:
        terms = some_terms(
            generation_id,
            base_url=self.client.base_url,
            key_fingerprint=self.client.key_fingerprint,
            quote=a_quote(cost_usd_micros=quoted),
        )
        await a_generation(self.pool, generation_id, terms=terms)
        path = self.folder / f"{generation_id}.jpg"
        path.write_bytes(a_picture())
        url = await self.client.upload(path, filename=path.name, content_type="image/jpeg")
        body = {"image": url, "prompt": "a calm sea", "duration": 5, "resolution": "720p"}
        await Submissions(self.pool, self.client).prepare(generation_id, WAN, url, body)

    async def ended(self, prediction_id: str) -> None:
        """Wait for the job's end: it is billed then."""
        while (await self.client.prediction(prediction_id)).status is Status.RUNNING:
            await asyncio.sleep(0.02)

    async def priced(self, prediction_id: str) -> None:
        """Wait until the sandbox knows the price of a job: without one it is not billed."""
        while True:
            rows = (await self.sandbox.log())["predictions"]
            if any(row["id"] == prediction_id and row["price_usd_micros"] for row in rows):
                return
            await asyncio.sleep(0.02)

    async def record_usage(
        self, generation_id: str = "gen_one", environment: ActivityEnvironment | None = None
    ) -> Booked:
        task = ForGeneration(generation_id=generation_id)
        return await (environment or ActivityEnvironment()).run(self.ledger.record_usage, task)

    async def close(
        self,
        settle: str = "release",
        kind: FailureKind = FailureKind.PROVIDER_FAILED,
        *,
        generation_id: str = "gen_one",
        **given: object,
    ) -> Booked:
        stage = Stage.CANCELLED if kind is FailureKind.CANCELLED else Stage.FAILED
        told = failure(kind, "It ended.")
        task = {"generation_id": generation_id, "stage": stage, "failure": told, "settle": settle}
        return await ActivityEnvironment().run(
            self.ledger.close, Close.model_validate({**task, **given})
        )

    async def read_after(self, age: timedelta) -> BillsRead:
        """What a look at this time after the end of all generations finds."""
        await self.pool.execute("UPDATE bills SET ended_at = now() - $1::interval", age)
        await self.pool.execute("UPDATE bills SET due_at = now() WHERE due_at IS NOT NULL")
        return await self.bills.read_due()

    async def booked(self, generation_id: str = "gen_one") -> tuple[int, int]:
        """What user and house are booked in all."""
        entries = await self.bank.entries(generation_id)
        user, house = (
            sum(amount for account, _, amount in entries if account == whose)
            for whose in ("user", "house")
        )
        return user, house

    async def corrections(self, generation_id: str = "gen_one") -> list[tuple[str, int]]:
        entries = await self.bank.entries(generation_id)
        return [(account, amount) for account, kind, amount in entries if kind == "correct"]

    async def row(self, prediction_id: str) -> dict[str, Any]:
        row = await self.pool.fetchrow(
            "SELECT *, due_at - ended_at AS due_after FROM bills WHERE prediction_id = $1",
            prediction_id,
        )
        assert row is not None
        return dict(row)

    async def is_balanced(self) -> bool:
        """Whether balances and spending are the sums of the entries."""
        entered = await self.pool.fetchrow(
            "SELECT sum(reserved_usd_micros)::bigint, sum(settled_usd_micros)::bigint FROM ledger"
        )
        assert entered is not None
        spent = set((await self.bank.spending()).values())
        unbalanced = await self.pool.fetch(money.SQL["unbalanced"])
        return spent <= {tuple(entered)} and not unbalanced
