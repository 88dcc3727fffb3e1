"""The provider's contract, endpoint by endpoint."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from tests.workers.sandbox.conftest import (
    SAMPLES,
    TALKING,
    WAN,
    Provider,
    a_client,
    a_picture,
    until,
)
from workers.sandbox import SandboxSettings, running
from workers.sandbox.sandbox import SandboxBusy
from workers.sandbox.store import Store

KLING = "kwaivgi/kling-v2.5-turbo-std/image-to-video"


async def test_a_submission_is_answered_with_an_envelope_and_a_created_prediction(
    quick: Provider,
) -> None:
    image = await quick.upload(a_picture())

    reply = await quick.call("POST", WAN, {"image": image, "prompt": "a calm sea"})

    envelope = reply.json()
    data = envelope["data"]
    assert (envelope["code"], envelope["message"]) == (200, "success")
    assert re.fullmatch(r"[0-9a-f]{32}", data["id"])
    assert data["status"] == "created"
    assert data["outputs"] == []
    assert data["urls"]["get"] == f"{quick.url}/predictions/{data['id']}/result"
    assert data["input"] == {"image": image, "prompt": "a calm sea"}
    assert datetime.fromisoformat(data["created_at"]).tzinfo is not None


async def test_a_completed_prediction_has_one_output_that_needs_no_key(quick: Provider) -> None:
    done = await quick.run()

    video = await quick.download(done["outputs"][0])

    assert done["status"] == "completed"
    assert done["has_nsfw_contents"] == [False]
    assert done["executionTime"] > 0
    assert video.status_code == 200
    assert video.content[4:8] == b"ftyp"
    assert int(video.headers["content-length"]) == len(video.content)


async def test_both_addresses_of_a_prediction_answer_the_same(quick: Provider) -> None:
    done = await quick.run()

    other = await quick.data("GET", f"predictions/{done['id']}")

    assert other == done


async def test_an_output_is_served_in_ranges(quick: Provider) -> None:
    url = (await quick.run())["outputs"][0]
    whole = (await quick.download(url)).content

    part = await quick.download(url, Range="bytes=10-19")

    assert part.status_code == 206
    assert part.content == whole[10:20]


async def test_an_output_url_with_another_signature_is_refused(quick: Provider) -> None:
    url = str((await quick.run())["outputs"][0])

    reply = await quick.download(url[:-1] + ("0" if url[-1] != "0" else "1"))

    assert reply.status_code == 403


async def test_an_unknown_model_is_not_found(sandbox: Provider) -> None:
    reply = await sandbox.call("POST", "wavespeed/kandinsky5-pro/image-to-video", {"prompt": "x"})

    assert reply.status_code == 404
    assert reply.json()["code"] == 404


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        ({}, "image"),
        ({"image": "https://x.test/a.jpg"}, "prompt"),
        ({"image": "https://x.test/a.jpg", "prompt": "x", "seed": None}, "seed"),
        ({"image": "https://x.test/a.jpg", "prompt": "x", "style": "noir"}, "style"),
        ({"image": "https://x.test/a.jpg", "prompt": "x", "resolution": "4k"}, "resolution"),
        ({"image": "https://x.test/a.jpg", "prompt": "x", "duration": "5"}, "duration"),
        ({"image": "/home/me/a.jpg", "prompt": "x"}, "image"),
    ],
)
async def test_inputs_that_dont_fit_the_model_are_refused_by_name(
    sandbox: Provider, inputs: dict[str, object], names: str
) -> None:
    reply = await sandbox.call("POST", WAN, inputs)

    assert reply.status_code == 400
    assert repr(names) in reply.json()["message"]
    assert (await sandbox.log())["accepted"] == 0


@pytest.mark.parametrize("key", ["", "refused"])
async def test_a_missing_or_refused_key_is_unauthorized(sandbox: Provider, key: str) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        reply = await http.get(f"{sandbox.url}/balance", headers=headers)

    assert reply.status_code == 401
    assert reply.json()["code"] == 401


async def test_only_the_set_key_is_let_in_where_one_is_set(tmp_path: Path) -> None:
    settings = SandboxSettings(data_dir=tmp_path, api_key=SecretStr("right"))

    async with running(settings) as addresses, a_client("right") as right, a_client("x") as wrong:
        let_in = await right.get(f"{addresses.provider}/balance")
        kept_out = await wrong.get(f"{addresses.provider}/balance")

    assert (let_in.status_code, kept_out.status_code) == (200, 401)


async def test_listed_predictions_come_newest_first_in_pages_with_their_inputs(
    quick: Provider,
) -> None:
    ids = [await quick.submit(prompt=f"number {number}") for number in range(3)]

    first = await quick.data("POST", "predictions", {"page": 1, "page_size": 2})
    second = await quick.data("POST", "predictions", {"page": 2, "page_size": 2})

    assert [row["id"] for row in first["items"] + second["items"]] == ids[::-1]
    assert first["total"] == second["total"] == 3
    assert first["items"][0]["input"]["prompt"] == "number 2"


async def test_listed_predictions_can_be_filtered(quick: Provider) -> None:
    wan = await quick.run()
    kling = await quick.run(KLING, prompt="x")

    async def found(**filters: object) -> list[str]:
        page = await quick.data("POST", "predictions", filters)
        return [row["id"] for row in page["items"]]

    assert await found(model=KLING) == [kling["id"]]
    assert await found(status="failed") == []
    assert await found(status="completed") == [kling["id"], wan["id"]]
    assert await found(created_after=kling["created_at"]) == [kling["id"]]
    assert await found(created_before=wan["created_at"]) == [wan["id"]]


async def test_predictions_older_than_seven_days_are_gone(
    quick: Provider, settings: SandboxSettings
) -> None:
    done = await quick.run()
    store = Store(settings.data_dir / "sandbox.sqlite3")
    old = store.prediction(done["id"])
    assert old is not None
    eight_days_ago = datetime.now(UTC) - timedelta(days=8)
    store.save_prediction(old.changed(created_at=eight_days_ago))
    store.close()

    listed = await quick.data("POST", "predictions", {"created_after": "2020-01-01T00:00:00Z"})
    read = await quick.call("GET", f"predictions/{done['id']}/result")

    assert listed["items"] == []
    assert read.status_code == 404


async def test_a_deleted_prediction_is_not_listed_and_its_output_is_gone(quick: Provider) -> None:
    done = await quick.run()

    reply = await quick.data("DELETE", f"predictions/{done['id']}")

    assert reply == {"id": done["id"], "status": "deleted"}
    assert (await quick.data("POST", "predictions", {}))["items"] == []
    assert (await quick.data("GET", f"predictions/{done['id']}"))["status"] == "deleted"
    assert (await quick.download(done["outputs"][0])).status_code == 404


async def test_a_running_job_that_is_deleted_stops_and_is_half_refunded(sandbox: Provider) -> None:
    await sandbox.faults(job={"kind": "work", "work_s": 600})
    prediction_id = await sandbox.submit()

    async def is_priced() -> bool:
        return (await sandbox.log())["predictions"][0]["price_usd_micros"] is not None

    await until(is_priced)

    await sandbox.call("DELETE", f"predictions/{prediction_id}")

    bills = await sandbox.bills(prediction_id)
    assert (await sandbox.ended(prediction_id))["status"] == "deleted"
    assert [(bill["billing_type"], bill["price"]) for bill in bills] == [
        ("deduct", 500_000),
        ("refund", 250_000),
    ]


async def test_many_predictions_are_deleted_at_once(quick: Provider) -> None:
    ids = [(await quick.run())["id"] for _ in range(2)]

    reply = await quick.data("POST", "predictions/delete", {"ids": [*ids, "0" * 32]})

    assert reply == {"deleted_count": 2}
    assert (await quick.data("POST", "predictions", {}))["total"] == 0


async def test_an_unknown_prediction_is_not_found(sandbox: Provider) -> None:
    read = await sandbox.call("GET", f"predictions/{'0' * 32}/result")
    deleted = await sandbox.call("DELETE", f"predictions/{'0' * 32}")

    assert (read.status_code, deleted.status_code) == (404, 404)


async def test_models_are_listed_with_schema_and_base_price(sandbox: Provider) -> None:
    listed = (await sandbox.call("GET", "models")).json()["data"]
    models = {each["model_id"]: each for each in listed}

    run = models[WAN]["api_schema"]["api_schemas"][0]
    assert models[WAN]["base_price"] == 0.25
    assert run["api_path"] == f"/api/v3/{WAN}"
    assert run["request_schema"]["additionalProperties"] is False
    assert run["request_schema"]["required"] == ["image", "prompt"]
    assert run["request_schema"]["properties"]["resolution"]["enum"] == ["480p", "720p", "1080p"]


async def test_a_price_measures_the_audio_and_without_it_is_the_base_price(
    sandbox: Provider,
) -> None:
    speech = await sandbox.upload((SAMPLES / "speech.wav").read_bytes(), "speech.wav")
    question: dict[str, object] = {"resolution": "720p", "audio": speech}

    measured = await sandbox.data("POST", "model/price", {"model_id": TALKING, "inputs": question})
    floor = await sandbox.data("POST", "model/price", {"model_id": TALKING, "inputs": {}})
    older = await sandbox.data("POST", "model/pricing", {"model_id": TALKING, "inputs": {}})

    assert measured["price"] == 0.30
    assert (floor["price"], floor["currency"]) == (0.15, "USD")
    assert older == {"unit_price": 0.15, "currency": "USD"}


async def test_the_balance_falls_by_what_was_billed(quick: Provider) -> None:
    before = (await quick.data("GET", "balance"))["balance"]

    await quick.run(resolution="480p", duration=10)

    after = (await quick.data("GET", "balance"))["balance"]
    assert round(before - after, 6) == 0.5


async def test_a_bill_appears_only_once_the_run_has_ended(sandbox: Provider) -> None:
    await sandbox.faults(job={"kind": "hang"})
    prediction_id = await sandbox.submit(resolution="480p", duration=3)
    running_bills = await sandbox.bills(prediction_id)

    await sandbox.faults(job=[])
    await sandbox.ended(prediction_id)

    (bill,) = await sandbox.bills(prediction_id)
    assert running_bills == []
    assert (bill["billing_type"], bill["price"]) == ("deduct", 250_000)
    assert bill["order"]["state"] == "done"
    assert bill["prediction"] == {
        "uuid": prediction_id,
        "model_uuid": WAN,
        "status": "completed",
    }


async def test_bills_are_paged_and_filtered(quick: Provider) -> None:
    for _ in range(3):
        await quick.run(resolution="480p")
    now_ms = str(int(datetime.now(UTC).timestamp() * 1000) + 1)

    page = await quick.data("POST", "billings/search", {"page": 2, "page_size": 2})
    none_yet = await quick.data("POST", "billings/search", {"start_time": now_ms})
    refunds = await quick.data("POST", "billings/search", {"billing_type": "refund"})

    assert (page["total"], len(page["items"])) == (3, 1)
    assert none_yet["items"] == refunds["items"] == []


@pytest.mark.parametrize("body", [{"page": 0}, {"page_size": 101}, {"created_after": "soon"}])
async def test_a_page_that_doesnt_exist_is_refused(
    sandbox: Provider, body: dict[str, object]
) -> None:
    assert (await sandbox.call("POST", "predictions", body)).status_code == 400


async def test_jobs_beyond_the_limit_wait_as_created(tmp_path: Path) -> None:
    settings = SandboxSettings(data_dir=tmp_path, work_s=0, renders_max=1)
    async with running(settings) as addresses, a_client() as http:
        provider = Provider(addresses.provider, addresses.llm, http, tmp_path)
        first = await provider.submit(resolution="480p", duration=10)
        second = await provider.submit(resolution="480p", duration=3)

        async def has_begun() -> bool:
            return (await provider.data("GET", f"predictions/{first}"))["status"] != "created"

        await until(has_begun)
        waiting = (await provider.data("GET", f"predictions/{second}"))["status"]

        assert waiting == "created"
        assert (await provider.ended(second))["status"] == "completed"


async def test_a_second_sandbox_on_the_same_directory_is_refused(
    sandbox: Provider, settings: SandboxSettings
) -> None:
    assert sandbox.data_dir == settings.data_dir

    with pytest.raises(SandboxBusy, match="another sandbox"):
        async with running(settings):
            pass


async def test_the_log_counts_submissions_and_requests_by_shape(quick: Provider) -> None:
    done = await quick.run()
    await quick.call("POST", WAN, {})

    log = await quick.log()

    assert (log["submits"], log["accepted"]) == (2, 1)
    assert log["requests"]["POST /api/v3/{model_id}"] == 2
    assert log["requests"]["GET /api/v3/predictions/{prediction_id}/result"] >= 1
    assert log["predictions"][0]["id"] == done["id"]
    assert log["predictions"][0]["price_usd_micros"] == 500_000


async def test_the_sandbox_says_that_it_is_healthy(sandbox: Provider) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        reply = await http.get(f"{sandbox.origin}/sandbox/health")

    assert reply.json() == {"ok": True}
