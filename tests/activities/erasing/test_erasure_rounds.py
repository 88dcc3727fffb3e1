"""What comes up while a user is erased: nothing that began meanwhile loses a file or is forgotten.

The provider is asked in the middle of an erasure, so its part is played by what happens then.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from activities.database.pool import Pool
from activities.erasing.erasure import ROUNDS_MAX, Account, Erasure, NotSettling
from activities.erasing.histories import Histories, HistoriesLeft
from activities.erasing.rows import ErasedInPart, StillRunning
from activities.generations import repository as generations
from activities.media.keys import output_key
from activities.media.store import MediaStore
from tests.activities.conftest import WAN, a_generation
from tests.workflows.theatre import with_namespace
from workflows.contracts.ids import callbacks_id_for, generation_digest
from workflows.contracts.stages import Stage

BASE_URL = "https://provider.example/api/v3"
STAGED = "https://provider.example/files/digest-nonce.jpg"
NOBODYS_QUEUE = "nobody"


class Meanwhile:
    """Does something each time a prediction is to be deleted."""

    def __init__(self, act: Callable[[], Awaitable[object]]) -> None:
        self._act = act
        self.asked: list[str] = []

    async def delete(self, prediction_id: str) -> None:
        self.asked.append(prediction_id)
        await self._act()


async def nothing() -> None:
    """Nothing happens meanwhile."""


@pytest.fixture(scope="session")
async def erasing_namespace(temporal_server: str) -> Client:
    """A namespace without workers."""
    return await with_namespace(temporal_server, "erasing")


class Case:
    """Ann's generations and files, and what erases her."""

    def __init__(self, pool: Pool, store: MediaStore, temporal: Client) -> None:
        self.pool = pool
        self.store = store
        self.temporal = temporal

    def erasure(
        self, act: Callable[[], Awaitable[object]] = nothing, **patience: float
    ) -> tuple[Erasure, Meanwhile]:
        provider = Meanwhile(act)
        histories = Histories(self.temporal, **patience)
        return Erasure(self.pool, self.store, histories, Account(BASE_URL, provider)), provider

    async def made(self, generation_id: str = "gen_one", stage: Stage = Stage.COMPLETED) -> None:
        await a_generation(self.pool, generation_id, stage=stage)

    async def submitted(self, state: str, prediction_id: str | None) -> None:
        """The submission of `gen_one`."""
        await self.pool.execute(
            "INSERT INTO submissions (generation_id, state, provider_path, base_url, staged_url,"
            " prediction_id, accepted_at, sending_at, send_by)"
            " VALUES ('gen_one', $1, $2, $3, $4, $5, now(), now(), now())",
            *(state, WAN, BASE_URL, STAGED, prediction_id),
        )

    async def video(self, generation_id: str) -> str:
        """A file of Ann's that no row names; its key."""
        async with self.pool.acquire() as connection:
            owner = await generations.user_hash(connection, "ann")
        key = output_key(owner, generation_digest(generation_id), "0" * 64, ".mp4")
        await self.store.put_bytes(b"a video", key, mime_type="video/mp4")
        return key

    async def run(self, workflow_id: str) -> WorkflowHandle[Any, Any]:
        """A workflow that runs, and does nothing."""
        return await self.temporal.start_workflow(
            "ImageToVideo", id=workflow_id, task_queue=NOBODYS_QUEUE
        )

    async def left(self) -> list[str]:
        """The generations that are Ann's still."""
        rows = await self.pool.fetch(
            "SELECT generation_id FROM generations WHERE user_id = 'ann' ORDER BY 1"
        )
        return [row["generation_id"] for row in rows]


@pytest.fixture
def case(database: Pool, store: MediaStore, erasing_namespace: Client) -> Case:
    return Case(database, store, erasing_namespace)


async def test_what_begins_meanwhile_keeps_its_files_and_the_part_that_is_erased_is_told(
    case: Case,
) -> None:
    await case.made()
    await case.submitted("accepted", "pred_one")
    old = await case.video("gen_one")

    async def begin() -> None:
        await case.made("gen_two", Stage.DOWNLOADING)

    erasure, _ = case.erasure(begin)
    with pytest.raises(ErasedInPart) as told:
        await erasure.erase("ann")

    assert told.value.generations == ("gen_two",)
    assert await case.store.head(old) is not None
    assert await case.left() == ["gen_one", "gen_two"]


async def test_what_began_and_ended_meanwhile_is_erased_too_but_no_file_that_may_be_under_way(
    case: Case,
) -> None:
    await case.made()
    await case.submitted("accepted", "pred_one")
    old, late = await case.video("gen_one"), ""

    async def begin_and_end() -> None:
        nonlocal late
        if not late:
            await case.made("gen_two")
            late = await case.video("gen_two")

    erasure, provider = case.erasure(begin_and_end)
    erased = await erasure.erase("ann")

    assert provider.asked == ["pred_one"] * 2
    assert (erased.counts["generations"], await case.left()) == (2, [])
    assert await case.store.head(old) is None
    assert await case.store.head(late) is not None
    assert any("erase again a day later" in each for each in erased.remains)


async def test_where_something_comes_up_each_time_the_rows_stay(case: Case) -> None:
    await case.made()
    await case.submitted("accepted", "pred_one")

    async def begin_and_end() -> None:
        await case.made(f"gen_more_{len(provider.asked)}")

    erasure, provider = case.erasure(begin_and_end)
    with pytest.raises(NotSettling):
        await erasure.erase("ann")

    assert len(await case.left()) == ROUNDS_MAX + 1


async def test_a_workflow_that_is_open_is_never_deleted_though_its_row_has_ended(
    case: Case,
) -> None:
    await case.made("gen_open")
    running = await case.run("gen_open")
    old = await case.video("gen_open")

    erasure, _ = case.erasure(ended_within_s=0.0)
    with pytest.raises(StillRunning) as told:
        await erasure.erase("ann")

    assert not isinstance(told.value, ErasedInPart)
    assert told.value.generations == ("gen_open",)
    assert (await running.describe()).close_time is None
    assert await case.store.head(old) is not None
    await running.terminate("by a test")


async def test_a_teller_that_goes_on_is_ended_and_histories_that_stay_are_told(case: Case) -> None:
    await case.made("gen_told")
    await (await case.run("gen_told")).terminate("by a test")
    teller = await case.run(callbacks_id_for("gen_told"))

    erasure, _ = case.erasure(ended_within_s=0.0, gone_within_s=0.0)
    # What has just ended is deleted some seconds later.
    with pytest.raises(HistoriesLeft, match="of 2 histories"):
        await erasure.erase("ann")

    assert await case.left() == ["gen_told"]
    # Closed or gone: the server takes no signal for it.
    with pytest.raises(RPCError, match=r"completed|not found"):
        await teller.signal("anything")


async def test_a_submission_in_doubt_stays_to_be_found_by_its_bill(case: Case) -> None:
    await case.made(stage=Stage.SUBMITTING)
    await case.submitted("unknown", None)
    async with case.pool.acquire() as connection, connection.transaction():
        assert await generations.record(connection, "gen_one", Stage.CANCELLED)

    erasure, _ = case.erasure()
    erased = await erasure.erase("ann")

    assert await case.pool.fetchval("SELECT staged_url FROM submissions") == STAGED
    assert any("outcome of 1 submissions is not known" in each for each in erased.remains)


async def test_a_stray_is_deleted_at_the_provider_too(case: Case) -> None:
    await case.made()
    await case.submitted("accepted", "pred_one")
    await case.pool.execute(
        "INSERT INTO bills (prediction_id, generation_id, base_url, key_fingerprint, is_stray)"
        " VALUES ('pred_one', 'gen_one', $1, 'abc', false), ('stray', 'gen_one', $1, 'abc', true)",
        BASE_URL,
    )

    erasure, provider = case.erasure()
    erased = await erasure.erase("ann")

    assert provider.asked == ["pred_one", "stray"]
    assert erased.counts["predictions"] == 2
    assert await case.pool.fetchval("SELECT staged_url FROM submissions") == "erased:gen_one"
