"""What became of a submission whose reply was lost: adopted, proven absent, or left in doubt."""

from datetime import timedelta

import pytest

from activities.provider.errors import SubmissionAmbiguous, Unavailable
from activities.provider.reconciliation import PROOFS_NEEDED
from activities.provider.submissions import SEND_WINDOW_S, InFlight
from tests.activities.conftest import SandboxControl, age
from tests.activities.submissions.conftest import HOUR, Desk
from workflows.contracts.activities import Verdict
from workflows.contracts.stages import Stage

LOST: dict[str, object] = {"kind": "lost_reply", "times": 1}
FAILED_BEFORE: dict[str, object] = {"kind": "status", "code": 503, "times": 1}


async def lose(desk: Desk, sandbox: SandboxControl, fault: dict[str, object]) -> None:
    """Submit under a fault of this one POST, and let the settle delay have passed."""
    await sandbox.faults(submit=fault)
    with pytest.raises(SubmissionAmbiguous):
        await desk.submit()
    await desk.settled()


@pytest.mark.parametrize("fault", [LOST, {**FAILED_BEFORE, "accepted": True}], ids=str)
async def test_a_submission_whose_reply_was_lost_is_adopted_not_resent(
    desk: Desk, sandbox: SandboxControl, fault: dict[str, object]
) -> None:
    await desk.staged()
    await lose(desk, sandbox, fault)

    found = await desk.reconcile()
    adopted = await desk.submit()

    assert found.verdict is Verdict.ADOPTED
    assert await sandbox.submits() == (1, [found.prediction_id])
    assert adopted == found.prediction_id
    assert await desk.stage() is Stage.GENERATING


async def test_a_prediction_is_found_even_before_the_settle_delay(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await sandbox.faults(submit=LOST)
    with pytest.raises(SubmissionAmbiguous):
        await desk.submit()

    assert (await desk.reconcile()).verdict is Verdict.ADOPTED


async def test_what_was_never_made_is_proven_absent_and_sent_again(
    desk: Desk, sandbox: SandboxControl
) -> None:
    earlier = await desk.an_earlier_one()
    await desk.staged()
    await lose(desk, sandbox, FAILED_BEFORE)

    verdicts = [(await desk.reconcile()).verdict for _ in range(PROOFS_NEEDED)]
    prediction_id = await desk.submit()

    assert verdicts == [Verdict.UNPROVEN] * (PROOFS_NEEDED - 1) + [Verdict.ABSENT]
    assert (await sandbox.submits())[1] == [earlier, prediction_id]
    assert await desk.attempts() == [
        (1, "sending"),
        (1, "unknown"),
        (1, "absent"),
        (2, "sending"),
        (2, "accepted"),
    ]


async def test_nothing_is_absent_before_the_settle_delay_has_passed(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.an_earlier_one()
    await desk.staged()
    await sandbox.faults(submit=FAILED_BEFORE)
    with pytest.raises(SubmissionAmbiguous):
        await desk.submit()

    told = [await desk.reconcile() for _ in range(PROOFS_NEEDED + 2)]

    assert {each.verdict for each in told} == {Verdict.UNPROVEN}
    assert "may still appear" in told[-1].evidence
    settle_delay_s = 5
    assert all(0 < (each.look_again_s or 0) <= SEND_WINDOW_S + settle_delay_s for each in told)
    assert (await desk.row()).proofs == 0


async def test_a_new_attempt_needs_new_proof(desk: Desk, sandbox: SandboxControl) -> None:
    await desk.an_earlier_one()
    await desk.staged()
    await lose(desk, sandbox, FAILED_BEFORE)
    for _ in range(PROOFS_NEEDED):
        await desk.reconcile()
    await lose(desk, sandbox, FAILED_BEFORE)

    assert (await desk.row()).proofs == 0
    assert (await desk.reconcile()).verdict is Verdict.UNPROVEN


async def test_a_listing_without_inputs_is_read_one_by_one(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.an_earlier_one()
    await desk.staged()
    await sandbox.faults(list={"kind": "without_input"})
    await lose(desk, sandbox, LOST)

    found = await desk.reconcile()

    assert found.verdict is Verdict.ADOPTED
    assert found.prediction_id == (await sandbox.submits())[1][1]


async def test_a_listing_without_inputs_never_proves_absence(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.an_earlier_one()
    await desk.staged()
    await sandbox.faults(list={"kind": "without_input"})
    await lose(desk, sandbox, FAILED_BEFORE)

    told = [await desk.reconcile() for _ in range(PROOFS_NEEDED + 2)]

    assert {each.verdict for each in told} == {Verdict.UNPROVEN}


async def test_a_listing_that_lags_and_shows_no_inputs_never_proves_absence(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.an_earlier_one()
    await desk.staged()
    await sandbox.faults(list=[{"kind": "lag", "lag_s": 600}, {"kind": "without_input"}])
    await lose(desk, sandbox, LOST)

    told = [await desk.reconcile() for _ in range(PROOFS_NEEDED + 2)]

    assert {each.verdict for each in told} == {Verdict.UNPROVEN}
    assert (await desk.row()).state == "unknown"


async def test_a_listing_that_misses_a_prediction_that_we_know_proves_nothing(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.an_earlier_one()
    await desk.staged()
    await lose(desk, sandbox, FAILED_BEFORE)
    await sandbox.faults(list={"kind": "lag", "lag_s": 600})

    told = [await desk.reconcile() for _ in range(PROOFS_NEEDED + 2)]

    assert {each.verdict for each in told} == {Verdict.UNPROVEN}
    assert "lags" in told[0].evidence


async def test_a_prediction_of_long_ago_that_was_adopted_late_need_not_be_listed(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.an_earlier_one()
    # Sent a day ago, so not in the span that is listed now; adopted only a moment ago.
    await age(desk.pool, "gen_earlier", timedelta(days=1))
    await desk.pool.execute(
        "UPDATE submissions SET prediction_id = 'of_long_ago', accepted_at = now() - interval '5 s'"
        " WHERE generation_id = 'gen_earlier'"
    )
    await desk.staged()
    await lose(desk, sandbox, FAILED_BEFORE)

    verdicts = [(await desk.reconcile()).verdict for _ in range(PROOFS_NEEDED)]

    assert verdicts[-1] is Verdict.ABSENT


async def test_an_empty_account_proves_nothing(desk: Desk, sandbox: SandboxControl) -> None:
    await desk.staged()
    await lose(desk, sandbox, FAILED_BEFORE)

    told = [await desk.reconcile() for _ in range(PROOFS_NEEDED + 2)]

    assert {each.verdict for each in told} == {Verdict.UNPROVEN}
    assert "lists nothing" in told[0].evidence


async def test_a_candidate_that_was_deleted_meanwhile_is_passed_over(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await lose(desk, sandbox, LOST)
    # Newer, so that it is read first; not known to be of another generation.
    await desk.staged("gen_later")
    await desk.submit("gen_later")
    await desk.pool.execute(
        "UPDATE submissions SET prediction_id = 'elsewhere' WHERE generation_id = 'gen_later'"
    )
    deleted = {"kind": "status", "code": 404, "match": "gen_later"}
    await sandbox.faults(list={"kind": "without_input"}, poll=deleted)

    found = await desk.reconcile()

    assert found.verdict is Verdict.ADOPTED


async def test_a_sender_at_work_is_waited_for(desk: Desk, sandbox: SandboxControl) -> None:
    await desk.staged()
    await lose(desk, sandbox, LOST)

    async with desk.submissions.locked("gen_one"):
        found = await desk.reconcile()

    assert found.verdict is Verdict.IN_FLIGHT
    assert (await desk.row()).state == "unknown"


async def test_a_provider_that_does_not_answer_leaves_it_in_doubt(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await lose(desk, sandbox, LOST)
    await sandbox.faults(list={"kind": "status", "code": 503})

    with pytest.raises(Unavailable):
        await desk.reconcile()

    assert (await desk.row()).state == "unknown"


async def test_a_process_that_died_while_sending_is_reconciled_too(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await lose(desk, sandbox, LOST)
    await desk.pool.execute("UPDATE submissions SET state = 'sending'")

    with pytest.raises(SubmissionAmbiguous):
        await desk.submit()

    assert (await desk.reconcile()).verdict is Verdict.ADOPTED
    assert (await sandbox.submits())[0] == 1


async def test_what_was_never_sent_is_absent(desk: Desk) -> None:
    await desk.staged()

    assert (await desk.reconcile()).verdict is Verdict.ABSENT


async def test_an_id_that_was_received_is_adopted(desk: Desk) -> None:
    await desk.staged()
    prediction_id = await desk.submit()

    found = await desk.reconcile()

    assert (found.verdict, found.prediction_id) == (Verdict.ADOPTED, prediction_id)


async def test_a_person_may_name_the_prediction(desk: Desk, sandbox: SandboxControl) -> None:
    await desk.staged()
    await lose(desk, sandbox, LOST)
    (made,) = (await sandbox.submits())[1]

    found = await desk.reconciliation.adopt("gen_one", made)

    assert found.verdict is Verdict.ADOPTED
    assert (await desk.row()).prediction_id == made


async def test_a_person_can_not_name_another_generations_prediction(
    desk: Desk, sandbox: SandboxControl
) -> None:
    theirs = await desk.an_earlier_one()
    await desk.staged()
    await lose(desk, sandbox, FAILED_BEFORE)

    told = await desk.reconciliation.adopt("gen_one", theirs)

    assert told.verdict is Verdict.UNPROVEN
    assert "not of this generation" in told.evidence
    assert (await desk.row()).prediction_id is None


async def test_a_person_can_not_name_a_prediction_of_other_inputs(
    desk: Desk, sandbox: SandboxControl
) -> None:
    stray = await desk.an_earlier_one()
    await desk.pool.execute("UPDATE submissions SET prediction_id = 'of_another_kind'")
    await desk.staged()
    await lose(desk, sandbox, FAILED_BEFORE)

    told = await desk.reconciliation.adopt("gen_one", stray)

    assert told.verdict is Verdict.UNPROVEN
    assert "other inputs" in told.evidence


async def test_a_person_can_not_name_a_prediction_that_is_not_there(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await lose(desk, sandbox, FAILED_BEFORE)

    told = await desk.reconciliation.adopt("gen_one", "nobody_knows_it")

    assert told.verdict is Verdict.UNPROVEN
    assert "knows no prediction" in told.evidence


async def test_a_generation_that_has_a_prediction_takes_no_second_one(desk: Desk) -> None:
    await desk.staged()
    prepared = await desk.row()
    assert prepared.payload is not None
    stray = await desk.client.submit(prepared.provider_path, prepared.payload)
    first = await desk.submit()

    told = await desk.reconciliation.adopt("gen_one", stray)

    assert told.verdict is Verdict.UNPROVEN
    assert first in told.evidence
    assert (await desk.row()).prediction_id == first


async def test_a_person_may_have_it_sent_again(desk: Desk, sandbox: SandboxControl) -> None:
    await desk.staged()
    await lose(desk, sandbox, FAILED_BEFORE)

    told = await desk.reconciliation.resubmit("gen_one")
    prediction_id = await desk.submit()

    assert told.verdict is Verdict.ABSENT
    assert await sandbox.submits() == (2, [prediction_id])


async def test_nothing_is_sent_again_while_a_sender_is_at_work(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await lose(desk, sandbox, FAILED_BEFORE)

    async with desk.submissions.locked("gen_one"):
        with pytest.raises(InFlight):
            await desk.reconciliation.resubmit("gen_one")

    assert (await desk.row()).state == "unknown"


async def test_a_row_that_is_long_in_doubt_is_still_found(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await lose(desk, sandbox, LOST)
    await age(desk.pool, "gen_one", HOUR)

    assert (await desk.reconcile()).verdict is Verdict.ADOPTED
