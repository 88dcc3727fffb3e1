"""Quotes, balance and bills, in whichever unit they come."""

import pytest
from pydantic import JsonValue

from activities.provider import errors
from activities.provider.wavespeed import WaveSpeed
from tests.activities.provider.conftest import ID, MODEL, SINCE, UNTIL, OddServer, envelope


def a_bill(price: JsonValue, **given: JsonValue) -> dict[str, JsonValue]:
    order: JsonValue = {"state": "done"}
    return {"uuid": "b1", "price": price, "prediction": {"uuid": ID}, "order": order, **given}


@pytest.mark.parametrize(
    ("price", "micros"),
    [
        pytest.param(24300, 24_300, id="micro-USD"),
        pytest.param(1000, 1000, id="the least micro-USD"),
        pytest.param(0.02, 20_000, id="USD"),
        pytest.param(36, 36_000_000, id="whole USD"),
        pytest.param(0.1 + 0.2, 300_000, id="a float's noise"),
        pytest.param("0.21", 210_000, id="text"),
        pytest.param(0, 0, id="nothing"),
    ],
)
async def test_a_bill_is_read_in_either_unit(
    odd: OddServer, provider: WaveSpeed, price: JsonValue, micros: int
) -> None:
    odd.will(envelope({"items": [a_bill(price)], "total": 1}))

    [row] = await provider.billings([ID], start=SINCE, end=UNTIL)

    assert (row.amount_usd_micros, row.is_refund, row.state) == (micros, False, "done")
    assert row.prediction_id == ID


async def test_a_refund_is_negative_whether_by_its_sign_or_by_its_type(
    odd: OddServer, provider: WaveSpeed
) -> None:
    rows: list[JsonValue] = [
        a_bill(-0.5),
        a_bill(0.5, billing_type="refund"),
        a_bill(-24300, billing_type="refund"),
    ]
    odd.will(envelope({"items": rows, "total": 3}))

    found = await provider.billings([ID], start=SINCE, end=UNTIL)

    assert [row.amount_usd_micros for row in found] == [-500_000, -500_000, -24_300]
    assert all(row.is_refund for row in found)


@pytest.mark.parametrize("price", [None, True, "free", [], 24300.5, "1e999", "1e30", "-1e15"])
async def test_a_bill_without_a_readable_amount_is_malformed(
    odd: OddServer, provider: WaveSpeed, price: JsonValue
) -> None:
    odd.will(envelope({"items": [a_bill(price)], "total": 1}))

    with pytest.raises(errors.MalformedReply):
        await provider.billings([ID], start=SINCE, end=UNTIL)


async def test_bills_are_asked_by_a_hundred_and_followed_over_pages_and_others_are_left_out(
    odd: OddServer, provider: WaveSpeed
) -> None:
    ids = [f"pred{number:04}" for number in range(101)]
    top_up: JsonValue = {"uuid": "b0", "price": 100, "billing_type": "recharge"}
    other: JsonValue = a_bill(1)
    mine: list[JsonValue] = [a_bill(2, prediction={"uuid": ids[0]})]
    odd.will(
        envelope({"items": [top_up, other], "total": 3}),
        envelope({"items": mine, "total": 3}),
        envelope({"items": []}),
    )

    found = await provider.billings([*ids, ids[0]], start=SINCE, end=UNTIL)

    assert [(row.prediction_id, row.amount_usd_micros) for row in found] == [(ids[0], 2_000_000)]
    bodies = [request.json for request in odd.received]
    assert [body["prediction_uuids"] for body in bodies] == [ids[:100], ids[:100], ids[100:]]
    assert [body["page"] for body in bodies] == [1, 2, 1]
    assert bodies[0]["start_time"] == "1795161600500"


@pytest.mark.parametrize(
    ("data", "micros"),
    [
        ({"price": 0.3, "discounted_price": 0.27, "currency": "USD"}, 270_000),
        ({"price": 0.25}, 250_000),
        ({"price": 1200, "discounted_price": None}, 1_200_000_000),
    ],
)
async def test_a_quote_is_in_usd_and_the_discount_counts(
    odd: OddServer, provider: WaveSpeed, data: JsonValue, micros: int
) -> None:
    odd.will(envelope(data))

    assert await provider.price(MODEL, {"duration": 5, "seed": None}) == micros
    assert odd.received[0].json == {"model_id": MODEL, "inputs": {"duration": 5}}


@pytest.mark.parametrize("data", [{"price": -1}, {"price": 1, "currency": "EUR"}, {}, None])
async def test_a_quote_that_is_none_is_malformed(
    odd: OddServer, provider: WaveSpeed, data: JsonValue
) -> None:
    odd.will(envelope(data))

    with pytest.raises(errors.MalformedReply):
        await provider.price(MODEL, {})


async def test_the_balance_is_in_micro_usd_however_large(
    odd: OddServer, provider: WaveSpeed
) -> None:
    odd.will(envelope({"balance": 12345.67}))

    assert await provider.balance() == 12_345_670_000


async def test_the_webhook_secret_does_not_print(odd: OddServer, provider: WaveSpeed) -> None:
    odd.will(envelope({"secret": "whsec_abc"}), envelope({"secret": "abc"}))

    secret = await provider.webhook_secret()

    assert secret.get_secret_value() == "whsec_abc"
    assert "abc" not in repr(secret)
    with pytest.raises(errors.MalformedReply):
        await provider.webhook_secret()
