"""What the books say by themselves, what is released, and how a sweep is recorded."""

import asyncio
from datetime import UTC, datetime, timedelta

from activities.database.pool import Pool
from activities.ledger import repository as money
from activities.sweeping.findings import Findings
from tests.activities.conftest import QUOTED, SandboxControl, a_generation
from tests.activities.sweeping.conftest import Yard
from workflows.contracts.stages import Stage
from workflows.contracts.sweeps import FindingKind, SweepRecord, Swept


async def audit(yard: Yard) -> Swept:
    return await yard.look("audit")


async def held_for_hours(yard: Yard) -> None:
    await yard.pool.execute("UPDATE reservations SET reserved_at = now() - interval '2 hours'")


async def test_sound_books_have_no_findings(yard: Yard) -> None:
    await a_generation(yard.pool, "gen_one", stage=Stage.GENERATING)
    await held_for_hours(yard)

    assert await audit(yard) == Swept()


async def test_a_balance_that_is_not_the_sum_of_its_entries_is_told(yard: Yard) -> None:
    await a_generation(yard.pool, "gen_one")
    await yard.pool.execute("UPDATE balances SET videos_settled = 7")

    wrong = await audit(yard)
    told = await yard.findings(FindingKind.UNBALANCED)
    await yard.pool.execute("UPDATE balances SET videos_settled = 0")
    right = await audit(yard)

    assert wrong.found == {"unbalanced": 1}
    assert list(told.values()) == ["of ann: not the sum of its entries"]
    assert right == Swept()
    assert await yard.findings(FindingKind.UNBALANCED) == {}


async def test_a_hold_of_one_that_ended_and_was_never_sent_is_released(yard: Yard) -> None:
    await a_generation(yard.pool, "gen_one")
    await yard.put("gen_one", Stage.CANCELLED)
    await held_for_hours(yard)

    swept = await audit(yard)

    assert swept == Swept(repaired={"holds_released": 1})
    assert await yard.reservation("gen_one") == "released"
    assert await yard.pool.fetch(money.SQL["unbalanced"]) == []


async def test_a_hold_of_a_completed_one_is_left_to_a_person(yard: Yard) -> None:
    await a_generation(yard.pool, "gen_one", stage=Stage.COMPLETED)
    await held_for_hours(yard)

    swept = await audit(yard)

    assert swept == Swept(found={"stranded_hold": 1})
    assert await yard.findings(FindingKind.STRANDED_HOLD) == {
        "gen_one": "$0.50 held, though it is completed"
    }
    assert await yard.reservation("gen_one") == "reserved"


async def test_a_hold_of_one_that_may_have_been_sent_is_left_to_a_person(yard: Yard) -> None:
    await yard.submitted("gen_one")
    await yard.put("gen_one", Stage.FAILED)
    await held_for_hours(yard)

    swept = await audit(yard)

    assert swept == Swept(found={"stranded_hold": 1})
    assert await yard.reservation("gen_one") == "reserved"


async def test_a_doubt_waits_an_hour_before_a_person_is_told(yard: Yard) -> None:
    await yard.submitted("gen_one")
    await yard.put("gen_one", Stage.UNRESOLVED)
    await yard.quiet("gen_one", timedelta(minutes=59))
    early = await audit(yard)
    await yard.quiet("gen_one", timedelta(minutes=61))

    late = await audit(yard)

    assert early == Swept()
    assert late.found == {"unresolved": 1}
    assert list(await yard.findings(FindingKind.UNRESOLVED)) == ["gen_one"]


async def test_flagged_bills_are_told_with_what_was_quoted_and_billed(yard: Yard) -> None:
    await a_generation(yard.pool, "gen_one")
    for prediction_id, flag, charged in (
        ("aaaa", "unbelievable", 9_000_000),
        ("bbbb", "missing", None),
    ):
        await yard.pool.execute(
            "INSERT INTO bills (prediction_id, generation_id, base_url, key_fingerprint, flag,"
            " charged_usd_micros) VALUES ($1, 'gen_one', 'http://x', 'k', $2, $3)",
            prediction_id,
            flag,
            charged,
        )

    swept = await audit(yard)

    assert swept.found == {"unbelievable_bill": 1, "missing_bill": 1}
    assert await yard.findings(FindingKind.UNBELIEVABLE_BILL) == {
        "aaaa": "of gen_one, quoted $0.50, billed $9.00"
    }
    assert await yard.findings(FindingKind.MISSING_BILL) == {
        "bbbb": "of gen_one, quoted $0.50, no bill"
    }


async def test_what_the_house_paid_of_late_is_one_finding_with_its_sum(yard: Yard) -> None:
    for generation_id in ("gen_one", "gen_two"):
        await a_generation(yard.pool, generation_id, user_id=generation_id)
        async with yard.pool.acquire() as connection, connection.transaction():
            await money.release(connection, generation_id, house_usd_micros=QUOTED)
        await yard.put(generation_id, Stage.FAILED)

    swept = await audit(yard)

    assert swept.found == {"house_loss": 1}
    assert await yard.findings(FindingKind.HOUSE_LOSS) == {"house": "$1.00 in the last 30 days"}


async def test_bills_that_are_due_are_read_and_what_they_correct_is_counted(
    yard: Yard, sandbox: SandboxControl
) -> None:
    await sandbox.faults(bills=[{"kind": "wrong_amount", "factor": 0.8}])
    prediction_id = await yard.submitted("gen_one")
    while not (await yard.client.prediction(prediction_id)).is_final:
        await asyncio.sleep(0.02)
    async with yard.pool.acquire() as connection, connection.transaction():
        await money.settle(connection, "gen_one", QUOTED)
        await yard.sweeps.bills.expect(connection, "gen_one")
    await yard.put("gen_one", Stage.COMPLETED)
    await yard.pool.execute("UPDATE bills SET due_at = now()")

    swept = await yard.look("read_bills")

    assert swept.failed is None
    assert swept.repaired == {"bills_corrected": 1}
    assert (
        await yard.pool.fetchval("SELECT looks FROM bills WHERE prediction_id = $1", prediction_id)
        == 1
    )


async def test_bills_of_a_provider_that_is_down_are_told_as_a_look_that_failed(
    yard: Yard, sandbox: SandboxControl
) -> None:
    await yard.submitted("gen_one")
    async with yard.pool.acquire() as connection, connection.transaction():
        await money.settle(connection, "gen_one", QUOTED)
        await yard.sweeps.bills.expect(connection, "gen_one")
    await yard.pool.execute("UPDATE bills SET due_at = now()")
    await sandbox.faults(bills=[{"kind": "status", "code": 503}])

    swept = await yard.look("read_bills")

    assert swept.repaired == {}
    assert swept.failed


async def test_a_sweep_is_recorded_once_and_the_last_one_is_read(yard: Yard) -> None:
    record = SweepRecord(
        run_id="run",
        started_at=datetime.now(UTC) - timedelta(seconds=3),
        repaired={"restarted": 1},
        failed={"bills": "The provider is busy."},
    )
    findings = Findings(yard.pool)

    kept = [await findings.record(record) for _ in range(2)]

    last = await findings.last_sweep()
    assert kept == [True, False]
    assert last is not None
    assert (last.run_id, last.repaired, last.failed) == ("run", record.repaired, record.failed)
    assert timedelta() <= last.age < timedelta(minutes=1)


async def test_sweeps_of_long_ago_are_forgotten(yard: Yard) -> None:
    findings = Findings(yard.pool)
    await findings.record(SweepRecord(run_id="old", started_at=datetime.now(UTC)))
    await yard.pool.execute("UPDATE sweeps SET ended_at = now() - interval '31 days'")

    await findings.record(SweepRecord(run_id="new", started_at=datetime.now(UTC)))

    assert await yard.pool.fetchval("SELECT array_agg(run_id) FROM sweeps") == ["new"]


async def test_a_finding_keeps_the_time_when_it_was_found_first(yard: Yard) -> None:
    findings = Findings(yard.pool)
    await findings.replace(FindingKind.LOST_FILE, {"ast_a": "gone", "ast_b": "gone"})
    await yard.pool.execute(
        "UPDATE findings SET found_at = now() - interval '2 days' WHERE subject = 'ast_b'"
    )

    await findings.replace(FindingKind.LOST_FILE, {"ast_a": "gone", "ast_b": "still gone"})

    (found,) = await findings.by_kind()
    assert (found.many, found.subject, found.detail) == (2, "ast_b", "still gone")
    assert datetime.now(UTC) - found.found_at > timedelta(days=1)


async def test_the_starters_role_reads_findings_and_sweeps(
    yard: Yard, starter_database: Pool
) -> None:
    findings = Findings(starter_database)

    assert await findings.by_kind() == []
    assert await findings.last_sweep() is None
