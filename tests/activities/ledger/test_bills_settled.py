"""What a generation is booked when it ends, by the bill of a real sandbox."""

from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig
from temporalio.testing import ActivityEnvironment

from activities.generations.reading import Reader
from activities.ledger import bills
from activities.ledger.alarms import HOUSE_COUNTER
from activities.ledger.bills import Bills
from activities.media.store import MediaStore
from tests.activities.conftest import QUOTED, a_client
from tests.activities.ledger.tills import FOUR_HOURS, QUARTER, Till
from workflows.contracts.activities import Booked
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage

FOR_NOW = "$0.50 was booked; the provider's bill corrects it."


async def test_the_user_pays_the_bill_up_to_the_quote_and_the_house_what_is_above(
    till: Till, store: MediaStore
) -> None:
    expected = {
        1.0: (500_000, 0, None, "$0.50 was booked."),
        0.84: (420_000, 0, None, "$0.42 was booked (quoted $0.50)."),
        1.5: (500_000, 250_000, None, "$0.50 was booked."),
        10.0: (500_000, 0, "unbelievable", "$0.50 was booked."),
        0.1: (500_000, 0, "unbelievable", "$0.50 was booked."),
    }
    found: dict[float, tuple[int, int, str | None, str]] = {}

    for factor in expected:
        generation_id = f"gen_{factor}"
        prediction_id = await till.made(generation_id)
        await till.sandbox.faults(bills={"kind": "wrong_amount", "factor": factor})
        booked = await till.record_usage(generation_id)
        row = await till.row(prediction_id)
        found[factor] = (*await till.booked(generation_id), row["flag"], booked.money)
        read = await Reader(till.pool, store).read(generation_id)
        assert (read.stage, read.cost_usd_micros) == (Stage.COMPLETED, booked.cost_usd_micros)
        assert row["charged_usd_micros"] == round(QUOTED * factor)
        assert row["due_after"] == FOUR_HOURS

    assert found == expected
    assert await till.bank.balance() == (0, 5, 0, 2_420_000)


async def test_a_bill_in_dollars_is_the_same_bill(till: Till) -> None:
    await till.made()
    await till.sandbox.faults(
        bills=[{"kind": "usd_floats"}, {"kind": "wrong_amount", "factor": 0.84}]
    )

    booked = await till.record_usage()

    assert booked.cost_usd_micros == 420_000


async def test_while_the_bill_can_not_be_read_the_quote_is_booked(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bills, "ASK_S_MAX", 0.5)
    faults: list[dict[str, object]] = [
        {"kind": "lag", "lag_s": 3600},
        {"kind": "status", "code": 503},
        {"kind": "status", "code": 401},
        {"kind": "malformed"},
        {"kind": "slow", "delay_s": 5},
    ]

    for n, fault in enumerate(faults):
        prediction_id = await till.made(f"gen_{n}")
        await till.sandbox.faults(bills=fault)
        booked = await till.record_usage(f"gen_{n}")

        row = await till.row(prediction_id)
        assert booked == Booked(cost_usd_micros=500_000, money=FOR_NOW)
        assert (row["charged_usd_micros"], row["looks"], row["due_after"]) == (None, 0, QUARTER)


async def test_a_job_at_another_account_is_booked_by_its_quote_and_left_to_that_account(
    till: Till,
) -> None:
    prediction_id = await till.made()
    async with a_client("http://127.0.0.1:9/api/v3") as other:
        stranger = replace(till, ledger=replace(till.ledger, bills=Bills(till.pool, other)))

        booked = await stranger.record_usage()
        read = await stranger.read_after(QUARTER)

    assert booked.money == FOR_NOW
    assert read.read == 0
    row = await till.row(prediction_id)
    assert (row["key_fingerprint"], row["looks"]) == (till.client.key_fingerprint, 0)


async def test_a_rotated_key_reads_the_bills_of_the_one_before(till: Till) -> None:
    settled_before, settled_after = await till.made(), await till.made("gen_two")
    await till.sandbox.faults(bills={"kind": "lag", "lag_s": 3600, "times": 1})
    await till.record_usage()
    await till.sandbox.faults(bills={"kind": "wrong_amount", "factor": 0.84})
    async with a_client(till.client.base_url, "another-key") as rotated:
        renewed = replace(till, ledger=replace(till.ledger, bills=Bills(till.pool, rotated)))

        booked = await renewed.record_usage("gen_two")
        read = await renewed.read_after(QUARTER)

    assert booked.cost_usd_micros == 420_000
    assert (read.read, read.corrected) == (2, 1)
    assert [(await till.row(each))["looks"] for each in (settled_before, settled_after)] == [1, 2]
    assert await till.booked() == (420_000, 0)


async def test_recording_again_asks_nothing_and_books_nothing_more(till: Till) -> None:
    await till.made()
    await till.sandbox.faults(bills={"kind": "wrong_amount", "factor": 1.5, "times": 1})
    first = await till.record_usage()
    before = (await till.sandbox.log())["requests"]

    again = await till.record_usage()

    assert again == first
    assert (await till.sandbox.log())["requests"] == before
    assert await till.corrections() == [("house", 250_000)]
    assert await till.bank.spending() == {"day": (0, 750_000), "month": (0, 750_000)}


async def test_each_end_of_a_job_has_its_bill_read_later(till: Till) -> None:
    ends: list[tuple[str, FailureKind, tuple[int, int], timedelta]] = [
        ("release", FailureKind.PROVIDER_FAILED, (0, 0), FOUR_HOURS),
        ("release", FailureKind.CANCELLED, (0, 0), FOUR_HOURS),
        ("provisional", FailureKind.CANCELLED, (QUOTED, 0), QUARTER),
        ("house", FailureKind.PROVIDER_LOST, (0, QUOTED), QUARTER),
        ("house", FailureKind.INTERNAL, (0, QUOTED), QUARTER),
    ]

    for n, (settle, kind, booked, due_after) in enumerate(ends):
        prediction_id = await till.started(f"gen_{n}")
        for _ in range(2):
            await till.close(settle, kind, generation_id=f"gen_{n}")

        row = await till.row(prediction_id)
        assert await till.booked(f"gen_{n}") == booked
        assert (row["due_after"], row["is_stray"], row["looks"]) == (due_after, False, 0)


async def test_without_a_prediction_there_is_no_bill_to_expect(till: Till) -> None:
    for state in ("prepared", "sending", "unknown", "rejected"):
        await till.staged(f"gen_{state}")
        await till.pool.execute(
            "UPDATE submissions SET state = $1, sending_at = now(), send_by = now()"
            " WHERE generation_id = $2",
            state,
            f"gen_{state}",
        )

        await till.close("release", FailureKind.GIVEN_UP, generation_id=f"gen_{state}")

    assert await till.pool.fetchval("SELECT count(*) FROM bills") == 0


async def test_a_second_run_that_closes_what_was_completed_expects_no_second_bill(
    till: Till,
) -> None:
    prediction_id = await till.made()
    await till.record_usage()
    before = await till.row(prediction_id)

    booked = await till.close("release", FailureKind.INTERNAL)

    assert booked.money == "$0.50 was booked before."
    assert await till.row(prediction_id) == before


async def test_what_the_house_pays_is_an_alarm_and_a_metric(till: Till) -> None:
    await till.made()
    await till.started("gen_two")
    await till.sandbox.faults(bills={"kind": "wrong_amount", "factor": 1.5})
    counted = MetricBuffer(100)
    environment = ActivityEnvironment()
    environment.metric_meter = Runtime(telemetry=TelemetryConfig(metrics=counted)).metric_meter

    with capture_logs() as logged:
        for _ in range(2):
            await till.record_usage(environment=environment)
        for _ in range(2):
            await till.close("house", FailureKind.PROVIDER_LOST, generation_id="gen_two")

    alarms = [entry for entry in logged if entry["event"] == "the house pays"]
    updates = [(each.metric.name, each.value) for each in counted.retrieve_updates()]
    assert [each for each in updates if each[0] == HOUSE_COUNTER] == [(HOUSE_COUNTER, 250_000)]
    assert [(each["generation_id"], each["usd_micros"]) for each in alarms] == [
        ("gen_one", 250_000),
        ("gen_two", 500_000),
    ]
    assert {each["log_level"] for each in alarms} == {"warning"}
    assert not any("calm sea" in str(entry) for entry in logged)
