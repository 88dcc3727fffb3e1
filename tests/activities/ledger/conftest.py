"""Money in a real database, by user, plan and generation."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from activities.callbacks.settings import CallbackSettings
from activities.database.pool import Pool
from activities.ledger import repository as money
from activities.ledger.activities import LedgerActivities
from activities.ledger.admission import Admission
from activities.ledger.bills import Bills
from activities.ledger.catalogues import load_catalogue
from activities.ledger.settings import LedgerSettings
from activities.media.inputs import Inputs
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from activities.provider.identity import ProviderIdentity
from activities.provider.wavespeed import WaveSpeed
from tests.activities.conftest import EXAMPLES, SandboxControl, a_client
from tests.activities.ledger.tills import Till

Balance = tuple[int, int, int, int]
"""Videos reserved and settled, micro-USD reserved and settled."""


@dataclass(frozen=True)
class Bank:
    """The ledger, each call in a transaction of its own as an activity makes it."""

    pool: Pool
    settings: LedgerSettings

    async def hold(
        self, generation_id: str, cost_usd_micros: int = 500_000, user_id: str = "ann"
    ) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await money.hold(connection, generation_id, user_id, cost_usd_micros, self.settings)

    async def settle(
        self, generation_id: str, cost_usd_micros: int = 500_000, *, provisional: bool = False
    ) -> int:
        async with self.pool.acquire() as connection, connection.transaction():
            return await money.settle(
                connection, generation_id, cost_usd_micros, provisional=provisional
            )

    async def release(self, generation_id: str, house_usd_micros: int = 0) -> int:
        async with self.pool.acquire() as connection, connection.transaction():
            return await money.release(connection, generation_id, house_usd_micros=house_usd_micros)

    async def plan(self, name: str, videos: int | None, usd_micros: int | None) -> None:
        await self.pool.execute(
            "INSERT INTO plans (plan, title, videos_limit, cost_limit_usd_micros)"
            " VALUES ($1, initcap($1), $2, $3)",
            name,
            videos,
            usd_micros,
        )

    async def subscribe(self, plan: str, user_id: str = "ann") -> None:
        await self.pool.execute(
            "INSERT INTO subscriptions (user_id, plan) VALUES ($1, $2)", user_id, plan
        )

    async def on_plan(self, videos: int | None, usd_micros: int | None) -> None:
        """Put ann on a plan of these limits."""
        await self.plan("mine", videos, usd_micros)
        await self.subscribe("mine")

    async def balance(self, user_id: str = "ann") -> Balance:
        row = await self.pool.fetchrow(
            "SELECT coalesce(sum(videos_reserved), 0)::bigint,"
            " coalesce(sum(videos_settled), 0)::bigint,"
            " coalesce(sum(reserved_usd_micros), 0)::bigint,"
            " coalesce(sum(settled_usd_micros), 0)::bigint"
            " FROM balances WHERE user_id = $1",
            user_id,
        )
        assert row is not None
        return tuple(row)

    async def entries(self, generation_id: str) -> list[tuple[str, str, int]]:
        rows = await self.pool.fetch(
            "SELECT account, kind, settled_usd_micros FROM ledger WHERE generation_id = $1"
            " ORDER BY entry_id",
            generation_id,
        )
        return [tuple(row) for row in rows]

    async def spending(self) -> dict[str, tuple[int, int]]:
        rows = await self.pool.fetch(
            "SELECT span, reserved_usd_micros, settled_usd_micros FROM spending"
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    async def unbalanced(self) -> int:
        return len(await self.pool.fetch(money.SQL["unbalanced"]))


@pytest.fixture
def bank(database: Pool, ledger_settings: LedgerSettings) -> Bank:
    return Bank(database, ledger_settings)


@pytest.fixture
def inputs(database: Pool, store: MediaStore, media_settings: MediaSettings) -> Inputs:
    return Inputs(database, store, media_settings)


@pytest.fixture
async def media_id(inputs: Inputs) -> str:
    """A picture of ann's."""
    return (await inputs.add("ann", EXAMPLES / "coffee.jpg", "image")).media_id


@pytest.fixture
def ledger(database: Pool, inputs: Inputs) -> LedgerActivities:
    return LedgerActivities(
        pool=database,
        admission=Admission(
            catalogue=load_catalogue(),
            inputs=inputs,
            settings=LedgerSettings(default_plan="free"),
            provider=ProviderIdentity("http://127.0.0.1:9/api/v3", "0123456789ab"),
            heartbeat_timeout_s=60,
            callbacks=CallbackSettings(),
        ),
        bills=Bills(database, a_client("http://127.0.0.1:9/api/v3")),
    )


@pytest.fixture
async def till(
    bank: Bank,
    wavespeed: WaveSpeed,
    sandbox: SandboxControl,
    ledger: LedgerActivities,
    tmp_path: Path,
) -> AsyncIterator[Till]:
    """A till at a sandbox; whatever a test does with it, the books are balanced after it."""
    billed = replace(ledger, bills=Bills(bank.pool, wavespeed))
    till = Till(bank, wavespeed, sandbox, billed, tmp_path)
    yield till
    assert await till.is_balanced()
