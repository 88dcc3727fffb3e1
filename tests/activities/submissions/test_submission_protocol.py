"""The one paid POST: what is written before it, and what each of its outcomes leaves behind."""

import asyncio
import itertools
import socket
from pathlib import Path

import asyncpg
import pytest

from activities.database.pool import Connection, Pool
from activities.generations import repository as generations
from activities.provider.errors import (
    CreditExhausted,
    InputRefused,
    KeyRefused,
    NotSent,
    Overloaded,
    ProviderError,
    SubmissionAmbiguous,
)
from activities.provider.pacing import Pacing
from activities.provider.submissions import (
    SEND_WINDOW_S,
    SQL,
    InFlight,
    StagedUrlTaken,
    Submissions,
)
from activities.provider.wavespeed import WaveSpeed
from tests.activities.conftest import WAN, SandboxControl, a_client, a_generation
from tests.activities.submissions.conftest import Desk, a_desk
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.stages import Stage


async def test_a_submission_is_accepted_once_and_adopted_by_whoever_repeats_it(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()

    ids = [await desk.submit(), await desk.submit()]

    row = await desk.row()
    assert ids == [row.prediction_id] * 2
    assert await sandbox.submits() == (1, ids[:1])
    assert (row.state, row.attempts, row.payload) == ("accepted", 1, None)
    assert await desk.attempts() == [(1, "sending"), (1, "accepted")]
    assert await desk.stage() is Stage.GENERATING


async def test_what_is_posted_is_what_was_written_down(desk: Desk, sandbox: SandboxControl) -> None:
    await desk.staged()
    prepared = await desk.row()

    await desk.submit()

    (made,) = (await sandbox.log())["predictions"]
    assert prepared.payload is not None
    assert made["model"] == WAN
    assert prepared.payload.items() <= made["input"].items()
    assert made["input"]["image"].partition("?")[0] == prepared.staged_url


async def test_preparing_again_changes_nothing(desk: Desk) -> None:
    await desk.staged()
    before = await desk.row()

    await desk.submissions.prepare("gen_one", "other/model", "http://127.0.0.1/x", {"a": 1})

    assert (await desk.row())[:6] == before[:6]


async def test_a_generation_that_ended_during_its_upload_leaves_no_submission(desk: Desk) -> None:
    await a_generation(desk.pool, "gen_two")
    async with desk.pool.acquire() as connection, connection.transaction():
        await generations.record(connection, "gen_two", Stage.CANCELLED)

    await desk.submissions.prepare("gen_two", WAN, "http://127.0.0.1/x", {"prompt": "a calm sea"})

    assert await desk.submissions.read("gen_two") is None


class Interrupted(Pacing):
    """The pace of a sender in whose midst another run closes the generation."""

    async def require_turn(self, connection: Connection) -> None:
        await super().require_turn(connection)
        async with self._pool.acquire() as other, other.transaction():
            await generations.record(other, "gen_one", Stage.CANCELLED)


async def test_what_another_run_closed_after_the_sender_read_it_is_not_sent(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    desk.submissions.pacing = Interrupted(desk.pool, desk.client.base_url)

    with pytest.raises(RequestRefused) as refused:
        await desk.submit()

    assert refused.value.failure.kind is FailureKind.ALREADY_CLOSED
    assert await sandbox.submits() == (0, [])
    assert (await desk.row()).state == "prepared"
    assert await desk.attempts() == []


async def test_a_staged_url_stands_for_one_generation_only(desk: Desk) -> None:
    await desk.staged()
    taken = (await desk.row()).staged_url
    await a_generation(desk.pool, "gen_two")

    with pytest.raises(StagedUrlTaken):
        await desk.submissions.prepare("gen_two", WAN, f"{taken}?signed=anew", {})

    assert await desk.submissions.read("gen_two") is None
    assert await desk.stage("gen_two") is Stage.STAGING


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "lost_reply"},
        {"kind": "no_id"},
        {"kind": "status", "code": 500, "accepted": True},
        {"kind": "status", "code": 503},
        {"kind": "cut"},
        {"kind": "malformed"},
    ],
    ids=str,
)
async def test_a_post_without_a_clear_reply_is_in_doubt_and_never_sent_again(
    desk: Desk, sandbox: SandboxControl, fault: dict[str, object]
) -> None:
    await desk.staged()
    await sandbox.faults(submit={**fault, "times": 1})

    for _ in range(3):
        with pytest.raises(SubmissionAmbiguous):
            await desk.submit()

    assert (await sandbox.submits())[0] == 1
    assert (await desk.row()).state == "unknown"
    assert await desk.attempts() == [(1, "sending"), (1, "unknown")]


@pytest.mark.parametrize(
    ("fault", "leaf"),
    [
        ({"kind": "status", "code": 429, "retry_after": 7}, Overloaded),
        ({"kind": "status", "code": 401}, KeyRefused),
        ({"kind": "status", "code": 400}, InputRefused),
        ({"kind": "credit_exhausted"}, CreditExhausted),
    ],
    ids=str,
)
async def test_a_refused_post_made_nothing_and_may_be_sent_again(
    desk: Desk, sandbox: SandboxControl, fault: dict[str, object], leaf: type[ProviderError]
) -> None:
    await desk.staged()
    await sandbox.faults(submit={**fault, "times": 1})

    with pytest.raises(leaf):
        await desk.submit()
    refused = await desk.row()
    accepted = await desk.submit()

    assert (refused.state, refused.prediction_id) == ("rejected", None)
    assert await sandbox.submits() == (2, [accepted])
    assert await desk.attempts() == [
        (1, "sending"),
        (1, "rejected"),
        (2, "sending"),
        (2, "accepted"),
    ]


async def test_a_provider_that_is_not_there_made_nothing(database: Pool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with a_client(f"http://127.0.0.1:{port}/api/v3") as nobody:
        absent = a_desk(database, nobody, tmp_path)
        await a_generation(database)
        await absent.submissions.prepare("gen_one", WAN, "http://127.0.0.1/one", {"prompt": "x"})

        with pytest.raises(NotSent):
            await absent.submit()

    assert (await absent.row()).state == "rejected"


async def test_a_process_that_was_held_up_past_its_window_sends_nothing(
    desk: Desk, sandbox: SandboxControl, tmp_path: Path
) -> None:
    # Looked at first when the window opens, then as the last act before the bytes go out.
    clock = itertools.chain([100.0], itertools.repeat(100.0 + SEND_WINDOW_S + 0.001))
    frozen = a_desk(desk.pool, desk.client, tmp_path, lambda: next(clock))
    await desk.staged()

    with pytest.raises(NotSent):
        await frozen.submit()

    assert await sandbox.submits() == (0, [])
    assert (await desk.row()).state == "rejected"


async def test_the_window_in_the_row_is_the_window_of_the_sender(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await sandbox.faults(submit={"kind": "cut"})

    with pytest.raises(SubmissionAmbiguous):
        await desk.submit()

    row = await desk.row()
    assert row.sending_at is not None
    assert row.send_by is not None
    assert (row.send_by - row.sending_at).total_seconds() == SEND_WINDOW_S


async def test_while_another_sender_holds_the_lock_nothing_is_sent(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()

    async with desk.submissions.locked("gen_one"):
        with pytest.raises(InFlight):
            await desk.submit()

    assert await sandbox.submits() == (0, [])
    assert (await desk.row()).state == "prepared"


async def test_the_lock_is_free_again_after_every_outcome(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await sandbox.faults(submit={"kind": "status", "code": 429, "times": 1})

    with pytest.raises(Overloaded):
        await desk.submit()

    held = await desk.pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    assert held == 0


async def test_senders_at_once_make_one_prediction(desk: Desk, sandbox: SandboxControl) -> None:
    await desk.staged()

    outcomes = await asyncio.gather(*(desk.submit() for _ in range(5)), return_exceptions=True)

    count, made = await sandbox.submits()
    assert (count, len(made)) == (1, 1)
    assert all(outcome == made[0] or isinstance(outcome, InFlight) for outcome in outcomes)


async def test_a_cancelled_post_is_in_doubt(desk: Desk, sandbox: SandboxControl) -> None:
    await desk.staged()
    await sandbox.faults(submit={"kind": "slow", "delay_s": 30, "times": 1})

    sending = asyncio.create_task(desk.submit())
    while not (await sandbox.submits())[1]:
        await asyncio.sleep(0.01)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending

    assert (await desk.row()).state == "unknown"


async def test_an_id_that_can_not_be_written_down_still_reaches_the_caller(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await desk.pool.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$;"
        "CREATE TRIGGER fail BEFORE UPDATE ON submissions FOR EACH ROW"
        " WHEN (NEW.state = 'accepted') EXECUTE FUNCTION fail()"
    )

    prediction_id = await desk.submit()
    unrecorded = await desk.row()
    await desk.pool.execute("DROP TRIGGER fail ON submissions")
    await desk.submissions.accept("gen_one", prediction_id, "known from history")

    assert await sandbox.submits() == (1, [prediction_id])
    assert (unrecorded.state, unrecorded.prediction_id) == ("sending", None)
    assert (await desk.row()).prediction_id == prediction_id
    assert await desk.stage() is Stage.GENERATING


async def test_accepting_again_changes_nothing(desk: Desk) -> None:
    await desk.staged()
    prediction_id = await desk.submit()
    before = await desk.row()

    await desk.submissions.accept("gen_one", prediction_id, "again")

    assert (await desk.row()).accepted_at == before.accepted_at
    assert await desk.attempts() == [(1, "sending"), (1, "accepted")]


async def test_one_prediction_is_never_two_generations(desk: Desk) -> None:
    await desk.staged()
    prediction_id = await desk.submit()
    await desk.staged("gen_two")

    with pytest.raises(asyncpg.UniqueViolationError):
        await desk.submissions.accept("gen_two", prediction_id, "a mistake")

    assert (await desk.row("gen_two")).prediction_id is None


async def test_an_accepted_submission_is_never_doubted(desk: Desk) -> None:
    await desk.staged()
    await desk.submit()

    changed = await desk.pool.fetchval(SQL["doubted"], "gen_one", "rejected")

    assert changed is None
    assert (await desk.row()).state == "accepted"


async def test_the_record_of_attempts_is_never_changed(desk: Desk) -> None:
    await desk.staged()
    await desk.submit()

    for statement in (
        "UPDATE submission_attempts SET evidence = ''",
        "DELETE FROM submission_attempts",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
            await desk.pool.execute(statement)


async def test_another_key_is_another_identity(desk: Desk, wavespeed: WaveSpeed) -> None:
    async with a_client(wavespeed.base_url, "another-key") as other:
        theirs = Submissions(desk.pool, other).identity

    assert theirs.base_url == desk.submissions.identity.base_url
    assert theirs.key_fingerprint != desk.submissions.identity.key_fingerprint
