"""Batches in a real database; their pictures are rows, since nothing here opens a file."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from temporalio.testing import ActivityEnvironment

from activities.batches import repository
from activities.batches.activities import BatchActivities
from activities.batches.admission import BatchAdmission
from activities.batches.reading import BatchReader
from activities.batches.repository import NewBatch
from activities.callbacks.settings import CallbackSettings
from activities.database.pool import Pool
from activities.ledger.activities import LedgerActivities
from activities.ledger.admission import Admission
from activities.ledger.bills import Bills
from activities.ledger.catalogues import load_catalogue
from activities.ledger.settings import LedgerSettings
from activities.media.inputs import Inputs
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from activities.provider.identity import ProviderIdentity
from tests.activities.conftest import MEDIA_ID, a_client, a_request, an_image
from tests.activities.ledger.conftest import Bank
from workflows.contracts.activities import Reserve
from workflows.contracts.batch_results import Batch, BatchItem, BatchState
from workflows.contracts.batches import (
    BatchTerms,
    ClosedWaiting,
    CloseWaiting,
    ForBatch,
    Look,
    Window,
)
from workflows.contracts.requests import GenerationRequest, Source
from workflows.contracts.stages import Stage
from workflows.contracts.terms import Terms

KEY = "an-episode"
COST = 250_000
"""A 5 s video of 480p."""


@dataclass
class Desk:
    """Adds batches, and does with them what the workflow asks for."""

    pool: Pool
    reader: BatchReader
    batches: BatchActivities
    ledger: LedgerActivities
    bank: Bank

    def use(self, settings: LedgerSettings) -> None:
        """Go by other limits of the deployment."""
        self.ledger.admission = replace(self.ledger.admission, settings=settings)
        self.batches.admission = BatchAdmission(self.pool, self.ledger.admission)

    async def add(
        self,
        requests: Sequence[GenerationRequest],
        key: str = KEY,
        *,
        max_cost_usd_micros: int | None = None,
        max_parallel: int = 2,
    ) -> str:
        """Record a batch of ann's; its id."""
        batch = NewBatch(
            "ann", key, Source.STORY_WRITER, requests, max_parallel, max_cost_usd_micros
        ).with_item_keys()
        async with self.pool.acquire() as connection:
            await repository.add(connection, batch)
        return batch.batch_id

    async def reserve(self, batch_id: str) -> BatchTerms:
        task = ForBatch(batch_id=batch_id)
        return await ActivityEnvironment().run(self.batches.reserve, task)

    async def running(self, count: int) -> str:
        """A batch of `count` items that is reserved; its id."""
        batch_id = await self.add(some_requests(count))
        await self.reserve(batch_id)
        return batch_id

    async def begin(self, generation_id: str) -> Terms:
        """What the item's own workflow does first."""
        task = Reserve(generation_id=generation_id)
        return await ActivityEnvironment().run(self.ledger.reserve, task)

    async def look(self, batch_id: str, started_to: int = 0, lost: tuple[int, ...] = ()) -> Window:
        task = Look(batch_id=batch_id, started_to=started_to, lost=lost)
        return await ActivityEnvironment().run(self.batches.look, task)

    async def close_waiting(
        self, batch_id: str, started_to: int = 0, told_to: int = 0
    ) -> ClosedWaiting:
        task = CloseWaiting(batch_id=batch_id, started_to=started_to, told_to=told_to)
        return await ActivityEnvironment().run(self.batches.close_waiting, task)

    async def read(self, batch_id: str) -> Batch:
        return await self.reader.read(batch_id, "ann")

    async def items(self, batch_id: str) -> list[BatchItem]:
        return await self.reader.items(batch_id, "ann")

    async def ids(self, batch_id: str) -> list[str]:
        return [item.generation_id for item in await self.items(batch_id)]

    async def move(self, generation_id: str, stage: Stage) -> None:
        """Put a generation anywhere."""
        await self.pool.execute(
            "UPDATE generations SET stage = $2 WHERE generation_id = $1", generation_id, stage.value
        )

    async def close(self, batch_id: str, state: BatchState) -> None:
        await repository.close(self.pool, batch_id, state)

    async def is_untouched(self) -> bool:
        """Whether nothing was claimed and nothing held."""
        rows = "SELECT (SELECT count(*) FROM generations) + (SELECT count(*) FROM reservations)"
        return await self.pool.fetchval(rows) == 0 and await self.bank.balance() == (0, 0, 0, 0)


async def until_it_waits(pool: Pool) -> None:
    """Until somebody waits for a lock of another's."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while not await pool.fetchval(waits):
        await asyncio.sleep(0.01)


def some_requests(count: int, **asked: object) -> list[GenerationRequest]:
    return [
        a_request(prompt=f"scene {number}", resolution="480p", **asked)
        for number in range(1, count + 1)
    ]


@pytest.fixture
async def desk(database: Pool, store: MediaStore, media_settings: MediaSettings) -> Desk:
    settings = LedgerSettings(default_plan="enterprise")
    inputs = Inputs(database, store, media_settings)
    await database.execute(
        "INSERT INTO media (media_id, user_id, key, facts) VALUES ($1, 'ann', 'inputs/a', $2)",
        MEDIA_ID,
        an_image().model_dump(mode="json"),
    )
    admission = Admission(
        catalogue=load_catalogue(),
        inputs=inputs,
        settings=settings,
        provider=ProviderIdentity("http://127.0.0.1:9/api/v3", "0123456789ab"),
        heartbeat_timeout_s=60,
        callbacks=CallbackSettings(),
    )
    return Desk(
        pool=database,
        reader=BatchReader(database, store),
        batches=BatchActivities(database, BatchAdmission(database, admission)),
        ledger=LedgerActivities(
            pool=database,
            admission=admission,
            bills=Bills(database, a_client("http://127.0.0.1:9/api/v3")),
        ),
        bank=Bank(database, settings),
    )
