"""What a submission asks for with a public URL, and the doubts that a webhook's hint settles."""

import json
from pathlib import Path

import pytest

from activities.database.pool import Pool
from activities.provider.errors import SubmissionAmbiguous
from activities.provider.reconciliation import Reconciliation
from activities.provider.submissions import Submissions
from activities.provider.wavespeed import WaveSpeed
from activities.provider.webhooks import is_token
from tests.activities.conftest import SandboxControl
from tests.activities.submissions.conftest import HOUR, Desk
from workflows.contracts.activities import Verdict
from workflows.contracts.stages import Stage

# Nothing listens there: the sandbox gives up by itself.
PUBLIC = "http://127.0.0.1:9"
LOST: dict[str, object] = {"kind": "lost_reply", "times": 1}
LAGS: dict[str, object] = {"kind": "lag", "lag_s": HOUR.total_seconds()}


@pytest.fixture
def public_desk(database: Pool, wavespeed: WaveSpeed, tmp_path: Path) -> Desk:
    submissions = Submissions(database, wavespeed, public_url=PUBLIC)
    reconciliation = Reconciliation(submissions, wavespeed, settle_delay_s=5)
    return Desk(database, wavespeed, submissions, reconciliation, tmp_path)


async def lose(desk: Desk, sandbox: SandboxControl, generation_id: str = "gen_one") -> str:
    """Submit, and lose the reply; the prediction that was made, which no listing shows."""
    await sandbox.faults(submit=LOST, list=LAGS)
    with pytest.raises(SubmissionAmbiguous):
        await desk.submit(generation_id)
    return (await sandbox.submits())[1][-1]


async def test_with_a_public_url_the_one_post_asks_for_a_webhook_at_its_own_address(
    public_desk: Desk, sandbox: SandboxControl
) -> None:
    await public_desk.staged()

    await public_desk.submit()

    (made,) = (await sandbox.log())["predictions"]
    base, generation_id, token = made["webhook"].rsplit("/", 2)
    hash_key = await public_desk.pool.fetchval(
        "SELECT value FROM deployment WHERE name = 'hash_key'"
    )
    assert base == f"{PUBLIC}/v1/provider/webhooks"
    assert generation_id == "gen_one"
    assert is_token(token, hash_key, "gen_one")


async def test_without_a_public_url_no_webhook_is_asked_for(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()

    await desk.submit()

    (made,) = (await sandbox.log())["predictions"]
    assert made["webhook"] is None


async def test_the_token_is_stored_nowhere(public_desk: Desk, sandbox: SandboxControl) -> None:
    await public_desk.staged()
    await lose(public_desk, sandbox)

    token = (await sandbox.log())["predictions"][0]["webhook"].rsplit("/", 1)[1]
    rows = await public_desk.pool.fetch(
        "SELECT to_jsonb(s) FROM submissions s UNION ALL SELECT to_jsonb(a)"
        " FROM submission_attempts a UNION ALL SELECT to_jsonb(e) FROM events e"
    )
    assert rows
    assert token not in json.dumps([row[0] for row in rows])


async def test_a_hinted_prediction_of_our_staged_url_is_adopted_without_any_listing(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    made = await lose(desk, sandbox)
    unhinted = await desk.reconcile()
    await sandbox.faults(list={"kind": "status", "code": 503})

    found = await desk.reconciliation.reconcile("gen_one", hinted=made)

    assert unhinted.verdict is Verdict.UNPROVEN
    assert (found.verdict, found.prediction_id) == (Verdict.ADOPTED, made)
    assert await desk.submit() == made
    assert (await sandbox.submits())[0] == 1
    assert await desk.stage() is Stage.GENERATING


async def test_a_hint_counts_also_after_a_person_had_it_submitted_again(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    made = await lose(desk, sandbox)
    await desk.reconciliation.resubmit("gen_one")

    found = await desk.reconciliation.reconcile("gen_one", hinted=made)

    assert (found.verdict, found.prediction_id) == (Verdict.ADOPTED, made)


async def test_a_hint_at_another_generations_prediction_changes_nothing(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await desk.staged("gen_other")
    await lose(desk, sandbox)
    others = await lose(desk, sandbox, "gen_other")

    told = await desk.reconciliation.reconcile("gen_one", hinted=others)

    assert told.verdict is Verdict.UNPROVEN
    assert (await desk.row()).prediction_id is None
    assert (await desk.row("gen_other")).prediction_id is None


async def test_a_hint_that_can_not_be_read_leaves_it_to_the_listing(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    made = await lose(desk, sandbox)
    await sandbox.faults(list=[], poll={"kind": "status", "code": 503})

    unreadable = await desk.reconciliation.reconcile("gen_one", hinted=made)

    assert (unreadable.verdict, unreadable.prediction_id) == (Verdict.ADOPTED, made)
    assert "staged URL" in unreadable.evidence


async def test_a_hint_at_what_is_not_there_is_no_evidence(
    desk: Desk, sandbox: SandboxControl
) -> None:
    await desk.staged()
    await lose(desk, sandbox)

    told = await desk.reconciliation.reconcile("gen_one", hinted="no-such-prediction")

    assert told.verdict is Verdict.UNPROVEN
