"""Whose workflow is gone: what may be paid goes on, what is not submitted is released."""

import json
from datetime import timedelta

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.settings import LedgerSettings
from activities.sweeping import gone
from tests.activities.conftest import QUOTED, SandboxControl, a_generation, a_request
from tests.activities.sweeping.conftest import Yard
from tests.workflows.theatre import with_namespace
from workflows.contracts.failures import FailureKind
from workflows.contracts.ids import callbacks_id_for
from workflows.contracts.stages import Stage


@pytest.fixture
def yard(temporal_yard: Yard) -> Yard:
    return temporal_yard


async def test_a_paid_one_is_restarted_under_its_id_to_adopt_what_it_paid(yard: Yard) -> None:
    await yard.submitted("gen_one")
    await yard.terminated("gen_one")

    swept = await yard.restart_gone()

    handle = yard.temporal.get_workflow_handle("gen_one")
    described = await handle.describe()
    started = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
    assert swept.repaired == {"restarted": 1}
    assert described.status is WorkflowExecutionStatus.RUNNING
    assert described.workflow_type == "ImageToVideo"
    assert json.loads(started.input.payloads[0].data) == {"claimed": True}
    assert started.priority.fairness_key == "0123456789abcdef"
    assert await described.static_summary() == (
        "5 s 720p by alibaba/wan-2.5/image-to-video, started again by the sweeper"
    )
    assert await yard.reservation("gen_one") == "reserved"


async def test_one_that_was_restarted_is_left_to_its_workflow(yard: Yard) -> None:
    await yard.submitted("gen_one")
    await yard.restart_gone()

    swept = await yard.restart_gone()

    assert swept.repaired == {}


@pytest.mark.parametrize("state", ["sending", "unknown"])
async def test_one_whose_outcome_is_in_doubt_is_restarted_not_released(
    yard: Yard, state: str
) -> None:
    await yard.submitted("gen_one")
    await yard.forget_reply("gen_one", state)

    swept = await yard.restart_gone()

    assert swept.repaired == {"restarted": 1}
    assert await yard.runs("gen_one")
    assert await yard.reservation("gen_one") == "reserved"


async def test_an_ended_generation_is_left_alone(yard: Yard) -> None:
    await yard.submitted("gen_one")
    await yard.put("gen_one", Stage.CANCELLED)

    swept = await yard.restart_gone()

    assert swept.repaired == {}
    assert not await yard.runs("gen_one")


async def test_one_whose_workflow_runs_is_left_alone_however_long_it_waits(yard: Yard) -> None:
    await yard.staged("gen_one")
    await yard.run("gen_one")

    swept = await yard.restart_gone()

    assert swept.repaired == {}
    assert await yard.stage("gen_one") is Stage.SUBMITTING


async def test_one_that_moved_within_the_grace_is_left_alone(yard: Yard) -> None:
    await yard.staged("gen_one")
    await yard.quiet("gen_one", timedelta(minutes=9))

    swept = await yard.restart_gone()

    assert swept.repaired == {}
    assert await yard.stage("gen_one") is Stage.SUBMITTING


async def test_one_that_was_staged_and_never_sent_is_released_and_told(yard: Yard) -> None:
    await yard.staged("gen_one")
    await yard.terminated("gen_one")

    swept = await yard.restart_gone()

    told = await yard.failure("gen_one")
    assert swept.repaired == {"released": 1}
    assert await yard.stage("gen_one") is Stage.FAILED
    assert await yard.reservation("gen_one") == "released"
    assert told.kind is FailureKind.TERMINATED
    assert told.money == "Nothing was charged. The $0.50 that was reserved is released."
    assert not await yard.runs("gen_one")


async def test_a_sender_that_was_held_up_finds_nothing_to_send(
    yard: Yard, sandbox: SandboxControl
) -> None:
    await yard.staged("gen_one")
    await yard.restart_gone()

    with pytest.raises(Exception) as refused:  # noqa: PT011 - whatever it is, nothing may be sent
        await yard.sweeps.submissions.submit("gen_one")

    assert not isinstance(refused.value, TimeoutError)
    assert await sandbox.submits() == (0, [])


async def test_one_whose_submission_was_refused_is_released(yard: Yard) -> None:
    await yard.submitted("gen_one")
    await yard.forget_reply("gen_one", "rejected")

    swept = await yard.restart_gone()

    assert swept.repaired == {"released": 1}
    assert await yard.reservation("gen_one") == "released"


async def test_one_that_was_reserved_and_not_staged_is_released(yard: Yard) -> None:
    await a_generation(yard.pool, "gen_one", stage=Stage.PROMPTING)
    await yard.quiet("gen_one")

    swept = await yard.restart_gone()

    assert swept.repaired == {"released": 1}
    assert await yard.reservation("gen_one") == "released"
    assert await yard.pool.fetch(money.SQL["unbalanced"]) == []


async def test_a_row_without_a_workflow_fails_as_not_started_and_its_key_starts_it_again(
    yard: Yard,
) -> None:
    await yard.accepted("gen_one", idempotency_key="mine")

    swept = await yard.restart_gone()

    assert swept.repaired == {"not_started": 1}
    assert (await yard.failure("gen_one")).kind is FailureKind.NOT_STARTED
    assert await yard.reservation("gen_one") is None
    async with yard.pool.acquire() as connection:
        again = await generations.claim(connection, "gen_one", a_request(idempotency_key="mine"))
    assert (again.generation_id, again.is_new) == ("gen_one", True)


async def test_one_that_was_lost_before_its_hold_may_be_started_again(yard: Yard) -> None:
    await yard.accepted("gen_one")
    await yard.put("gen_one", Stage.RESERVING)

    swept = await yard.restart_gone()

    assert swept.repaired == {"terminated": 1}
    assert (await yard.failure("gen_one")).money == "Nothing was charged."
    assert await yard.reservation("gen_one") is None


async def test_one_that_somebody_is_sending_is_left_alone(yard: Yard) -> None:
    await yard.staged("gen_one")

    async with yard.sweeps.submissions.locked("gen_one"):
        swept = await yard.restart_gone()

    assert (swept.repaired, swept.failed) == ({}, None)
    assert await yard.stage("gen_one") is Stage.SUBMITTING


async def test_one_that_moves_between_the_look_and_the_deed_is_left_alone(yard: Yard) -> None:
    await yard.staged("gen_one")
    (seen,) = await yard.gone._gone("generations", "generation_id")  # pyright: ignore[reportPrivateUsage]
    await yard.sweeps.submissions.submit("gen_one")

    done = await yard.gone._mend(seen)  # pyright: ignore[reportPrivateUsage]

    assert done is None
    assert await yard.stage("gen_one") is Stage.GENERATING
    assert await yard.reservation("gen_one") == "reserved"


async def test_one_that_is_started_between_the_look_and_the_deed_is_left_alone(
    yard: Yard,
) -> None:
    await yard.staged("gen_one")
    (seen,) = await yard.gone._gone("generations", "generation_id")  # pyright: ignore[reportPrivateUsage]
    await yard.run("gen_one")

    done = await yard.gone._mend(seen)  # pyright: ignore[reportPrivateUsage]

    assert done is None
    assert await yard.reservation("gen_one") == "reserved"


@pytest.mark.parametrize("is_held", [True, False])
async def test_the_receiver_of_one_that_ends_without_a_workflow_is_told(
    yard: Yard, *, is_held: bool
) -> None:
    await yard.accepted("gen_one", callback_url="https://example.com/told")
    if is_held:
        await _hold(yard, "gen_one")

    await yard.restart_gone()

    handle = yard.temporal.get_workflow_handle(callbacks_id_for("gen_one"))
    described = await handle.describe()
    assert await yard.stage("gen_one") is Stage.FAILED
    assert (described.workflow_type, described.task_queue) == ("Callbacks", "stillmotion")


async def test_a_teller_that_runs_already_goes_on(yard: Yard) -> None:
    await yard.accepted("gen_one", callback_url="https://example.com/told")
    teller = await yard.run(callbacks_id_for("gen_one"), "Callbacks")

    swept = await yard.restart_gone()

    described = await yard.temporal.get_workflow_handle(teller.id).describe()
    assert swept.repaired == {"not_started": 1}
    assert described.run_id == teller.first_execution_run_id


async def test_one_that_can_not_be_mended_hides_no_other_and_is_told(yard: Yard) -> None:
    await yard.submitted("gen_one")
    await yard.pool.execute("UPDATE generations SET terms = '{}' WHERE generation_id = 'gen_one'")
    await yard.accepted("gen_two", idempotency_key="two")

    swept = await yard.restart_gone()

    assert swept.repaired == {"not_started": 1}
    assert swept.failed == "1 could not be mended; the worker's log says why."


async def test_more_than_one_slice_get_their_turn_one_after_the_other(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gone, "SLICE", 2)
    for number in range(5):
        await yard.accepted(f"gen_{number}", idempotency_key=f"key {number}")
        await yard.run(f"gen_{number}")
    await yard.temporal.get_workflow_handle("gen_4").terminate()

    done = [(await yard.restart_gone()).repaired for _ in range(3)]

    assert done == [{}, {}, {"not_started": 1}]


async def test_without_temporal_nobody_is_taken_for_gone(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    await yard.staged("gen_one")

    monkeypatch.setattr(gone, "RPC_TIMEOUT", timedelta(seconds=1))
    yard.server = await Client.connect("127.0.0.1:1", lazy=True)

    with pytest.raises((RPCError, RuntimeError)):
        await yard.restart_gone()

    assert await yard.stage("gen_one") is Stage.SUBMITTING


async def test_another_temporal_than_the_databases_own_takes_nobody_for_gone(
    yard: Yard, temporal_server: str
) -> None:
    await yard.restart_gone()
    await yard.staged("gen_one")
    yard.server, own = await with_namespace(temporal_server, "elsewhere"), yard.temporal

    swept = await yard.restart_gone()
    stage = await yard.stage("gen_one")
    await yard.pool.execute("DELETE FROM deployment WHERE name = 'temporal_namespace'")
    accepted = await yard.restart_gone()

    yard.server = own
    assert swept.repaired == {}
    assert swept.failed is not None
    assert "run in Temporal namespace sweeping (" in swept.failed
    assert swept.failed.endswith("stillmotion sweep --accept-namespace")
    assert stage is Stage.SUBMITTING
    assert (accepted.repaired, accepted.failed) == ({"released": 1}, None)


async def _hold(yard: Yard, generation_id: str) -> None:
    async with yard.pool.acquire() as connection, connection.transaction():
        settings = LedgerSettings(default_plan="enterprise")
        await money.hold(connection, generation_id, "ann", QUOTED, settings)
