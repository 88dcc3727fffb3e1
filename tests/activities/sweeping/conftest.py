"""What a crash leaves behind, in a real database, at a real provider, on a real Temporal server."""

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import ActivityEnvironment

from activities.database.pool import Pool
from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.bills import Bills
from activities.media.store import MediaStore
from activities.provider.submissions import Submissions
from activities.provider.wavespeed import WaveSpeed
from activities.sweeping.activities import SweepActivities
from activities.sweeping.findings import Findings
from activities.sweeping.gone import Gone
from activities.sweeping.strays import Strays
from activities.sweeping.tidying import Tidying
from tests.activities.conftest import WAN, a_picture, a_request, some_terms, stage_of
from tests.activities.conftest import a_generation as a_row
from tests.workflows.theatre import with_namespace
from workflows.contracts.failures import Failure
from workflows.contracts.ids import callbacks_id_for, generation_digest
from workflows.contracts.stages import Stage
from workflows.contracts.sweeps import FindingKind, Swept

GRACE_S = 600.0
DAY = timedelta(days=1)
NOBODYS_QUEUE = "nobody"
"""What is started there runs, and does nothing."""


@dataclass
class Yard:
    """The looks, and ways to leave something behind."""

    pool: Pool
    store: MediaStore
    client: WaveSpeed
    sweeps: SweepActivities
    folder: Path
    server: Client | None = None
    """Only where a test is about workflows."""

    @property
    def temporal(self) -> Client:
        assert self.server is not None, "ask for the fixture `temporal_yard`"
        return self.server

    async def restart_gone(self) -> Swept:
        environment = ActivityEnvironment(client=self.temporal)
        return await environment.run(self.sweeps.restart_gone)

    async def look(self, name: str) -> Swept:
        """One of the looks that need no Temporal."""
        return await ActivityEnvironment().run(getattr(self.sweeps, name))

    @property
    def gone(self) -> Gone:
        return Gone(self.pool, self.sweeps.submissions, self.temporal, grace_s=GRACE_S)

    async def findings(self, kind: FindingKind) -> dict[str, str]:
        rows = await self.pool.fetch(
            "SELECT subject, detail FROM findings WHERE kind = $1", kind.value
        )
        return {row["subject"]: row["detail"] for row in rows}

    async def quiet(self, generation_id: str, by: timedelta = timedelta(hours=1)) -> str:
        """Let a generation have stood still for that long."""
        await self.pool.execute(
            "UPDATE generations SET stage_at = now() - $2::interval WHERE generation_id = $1",
            generation_id,
            by,
        )
        return generation_id

    async def accepted(self, generation_id: str = "gen_one", **asked: object) -> str:
        """A row whose workflow was never started."""
        async with self.pool.acquire() as connection, connection.transaction():
            await generations.claim(connection, generation_id, a_request(**asked))
        return await self.quiet(generation_id)

    async def staged(self, generation_id: str = "gen_one") -> str:
        """A generation whose picture lies at the provider; nobody has moved it for an hour."""
        agreed = some_terms(
            generation_id,
            base_url=self.client.base_url,
            key_fingerprint=self.client.key_fingerprint,
        )
        await a_row(self.pool, generation_id, terms=agreed)
        path = self.folder / f"{generation_id}.jpg"
        path.write_bytes(a_picture(400, 400))
        url = await self.client.upload(path, filename=path.name, content_type="image/jpeg")
        body = {"image": url, "prompt": "a calm sea", "duration": 5, "resolution": "480p"}
        await self.sweeps.submissions.prepare(generation_id, WAN, url, body)
        return await self.quiet(generation_id)

    async def submitted(self, generation_id: str = "gen_one") -> str:
        """One whose prediction is at the provider; returns the prediction's id."""
        await self.staged(generation_id)
        prediction_id = await self.sweeps.submissions.submit(generation_id)
        await self.quiet(generation_id)
        return prediction_id

    async def forget_reply(self, generation_id: str, state: str = "unknown") -> None:
        """Let the outcome of a submission be in doubt."""
        await self.pool.execute(
            "UPDATE submissions SET state = $2, prediction_id = NULL WHERE generation_id = $1",
            generation_id,
            state,
        )

    async def put(self, generation_id: str, stage: Stage) -> None:
        """Put a generation anywhere, as if its own steps had."""
        await self.pool.execute(
            "UPDATE generations SET stage = $2 WHERE generation_id = $1", generation_id, stage.value
        )

    async def run(
        self, workflow_id: str, workflow: str = "ImageToVideo"
    ) -> WorkflowHandle[Any, Any]:
        """A workflow that runs, and does nothing."""
        return await self.temporal.start_workflow(
            workflow, id=workflow_id, task_queue=NOBODYS_QUEUE
        )

    async def terminated(self, workflow_id: str, workflow: str = "ImageToVideo") -> None:
        await (await self.run(workflow_id, workflow)).terminate("by a test")

    async def runs(self, workflow_id: str) -> bool:
        return not await self.gone._is_gone(workflow_id)  # pyright: ignore[reportPrivateUsage]

    async def stage(self, generation_id: str) -> Stage:
        return await stage_of(self.pool, generation_id)

    async def failure(self, generation_id: str) -> Failure:
        document = await self.pool.fetchval(
            "SELECT failure FROM generations WHERE generation_id = $1", generation_id
        )
        return Failure.model_validate(document)

    async def reservation(self, generation_id: str) -> str | None:
        async with self.pool.acquire() as connection, connection.transaction():
            held = await money.reservation_of(connection, generation_id)
        return held.state if held else None

    async def a_file(
        self,
        generation_id: str,
        *,
        folder: str = "outputs",
        name: str = "b",
        owner: str = "0123456789abcdef",
        age: timedelta = DAY * 2,
    ) -> str:
        """A file of a generation in the store, of that age; its key."""
        suffix = ".mp4" if folder == "outputs" else ".jpg"
        key = f"{folder}/{owner}/{generation_digest(generation_id)}/{name * 64}{suffix}"
        return await self.stored(key, age)

    async def stored(self, key: str, age: timedelta) -> str:
        await self.store.put_bytes(b"bytes", key, mime_type="application/octet-stream")
        path = self.store.local_path(key)
        assert path is not None
        then = path.stat().st_mtime - age.total_seconds()
        os.utime(path, (then, then))
        return key

    async def has(self, key: str) -> bool:
        return await self.store.head(key) is not None


@pytest.fixture(scope="session")
async def sweeping_namespace(temporal_server: str) -> Client:
    """A namespace without workers."""
    return await with_namespace(temporal_server, "sweeping")


@pytest.fixture
def yard(database: Pool, wavespeed: WaveSpeed, store: MediaStore, tmp_path: Path) -> Yard:
    findings, bills = Findings(database), Bills(database, wavespeed)
    sweeps = SweepActivities(
        pool=database,
        submissions=Submissions(database, wavespeed),
        bills=bills,
        # What a test has made a moment ago is not too young.
        strays=Strays(database, wavespeed, bills, findings, young=-timedelta(minutes=1)),
        tidying=Tidying(database, store, findings),
        grace_s=GRACE_S,
    )
    return Yard(database, store, wavespeed, sweeps, tmp_path)


@pytest.fixture
async def temporal_yard(yard: Yard, sweeping_namespace: Client) -> AsyncIterator[Yard]:
    """With a Temporal server; what a test leaves running there ends with it."""
    yard.server = sweeping_namespace
    yield yard
    rows = await yard.pool.fetch(
        "SELECT generation_id FROM generations UNION ALL SELECT batch_id FROM batches"
    )
    ids = [row["generation_id"] for row in rows]
    for workflow_id in [*ids, *map(callbacks_id_for, ids)]:
        with suppress(RPCError):
            await sweeping_namespace.get_workflow_handle(workflow_id).terminate()
