"""A generation whose inputs are staged at a real sandbox, ready for the one paid POST."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.database.pool import Pool
from activities.media.store import MediaStore
from activities.provider.activities import ProviderActivities
from activities.provider.reconciliation import Reconciliation
from activities.provider.staging import Staging
from activities.provider.submissions import Submission, Submissions
from activities.provider.wavespeed import WaveSpeed
from tests.activities.conftest import WAN, a_generation, a_picture, age
from workflows.contracts.activities import Reconciled
from workflows.contracts.stages import Stage

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Desk:
    """Submissions as the activities make them, with what a test asks of them."""

    pool: Pool
    client: WaveSpeed
    submissions: Submissions
    reconciliation: Reconciliation
    folder: Path

    async def staged(self, generation_id: str = "gen_one") -> str:
        """A generation whose picture lies at the provider; its id."""
        await a_generation(self.pool, generation_id)
        path = self.folder / f"{generation_id}.jpg"
        path.write_bytes(a_picture(400, 400))
        url = await self.client.upload(path, filename=path.name, content_type="image/jpeg")
        body = {"image": url, "prompt": "a calm sea", "duration": 5, "resolution": "480p"}
        await self.submissions.prepare(generation_id, WAN, url, body)
        return generation_id

    async def submit(self, generation_id: str = "gen_one") -> str:
        return await self.submissions.submit(generation_id)

    async def reconcile(self, generation_id: str = "gen_one") -> Reconciled:
        return await self.reconciliation.reconcile(generation_id)

    async def row(self, generation_id: str = "gen_one") -> Submission:
        row = await self.submissions.read(generation_id)
        assert row is not None
        return row

    async def settled(self, generation_id: str = "gen_one") -> None:
        """Let the send window and the settle delay have passed."""
        await age(self.pool, generation_id, timedelta(minutes=2))

    async def attempts(self, generation_id: str = "gen_one") -> list[tuple[int, str]]:
        rows = await self.pool.fetch(
            "SELECT attempt, state FROM submission_attempts WHERE generation_id = $1"
            " ORDER BY attempt, at",
            generation_id,
        )
        return [tuple(row) for row in rows]

    async def stage(self, generation_id: str = "gen_one") -> Stage:
        query = "SELECT stage FROM generations WHERE generation_id = $1"
        return Stage(await self.pool.fetchval(query, generation_id))

    async def an_earlier_one(self) -> str:
        """Another generation's prediction, which shows that this provider lists inputs."""
        await self.staged("gen_earlier")
        prediction_id = await self.submit("gen_earlier")
        await age(self.pool, "gen_earlier", timedelta(minutes=2))
        return prediction_id


def a_desk(
    pool: Pool, client: WaveSpeed, folder: Path, clock: Callable[[], float] | None = None
) -> Desk:
    chosen: dict[str, Any] = {} if clock is None else {"clock": clock}
    submissions = Submissions(pool, client, **chosen)
    reconciliation = Reconciliation(submissions, client, settle_delay_s=5)
    return Desk(pool, client, submissions, reconciliation, folder)


@pytest.fixture
def desk(database: Pool, wavespeed: WaveSpeed, tmp_path: Path) -> Desk:
    return a_desk(database, wavespeed, tmp_path)


@pytest.fixture
def activities(desk: Desk, store: MediaStore) -> ProviderActivities:
    return ProviderActivities(
        pool=desk.pool,
        client=desk.client,
        staging=Staging(desk.pool, store, desk.client, desk.submissions),
        submissions=desk.submissions,
        reconciliation=desk.reconciliation,
        pace=lambda _age_s: 0.02,
    )
