"""Faults of single requests: each can be seen by a caller, and only where it was asked for."""

import re
import time
from pathlib import Path

import httpx
import pytest

from tests.workers.sandbox.conftest import WAN, Provider, a_client, a_picture
from workers.sandbox import SandboxSettings, running
from workers.sandbox.faultboard import FaultBoard, FaultPlan
from workers.sandbox.faults import StatusFault


async def submitted(sandbox: Provider) -> httpx.Response:
    image = await sandbox.upload(a_picture())
    return await sandbox.call("POST", WAN, {"image": image, "prompt": "a calm sea"})


async def accepted(sandbox: Provider) -> int:
    return int((await sandbox.log())["accepted"])


async def test_a_lost_reply_hides_an_accepted_job(quick: Provider) -> None:
    await quick.faults(submit={"kind": "lost_reply", "times": 1})

    with pytest.raises(httpx.RemoteProtocolError):
        await submitted(quick)

    (hidden,) = (await quick.data("POST", "predictions", {}))["items"]
    assert (await quick.ended(hidden["id"]))["status"] == "completed"
    assert (await submitted(quick)).status_code == 200


@pytest.mark.parametrize(("was_accepted", "jobs"), [(False, 0), (True, 1)])
async def test_a_server_error_comes_before_or_after_the_job_was_accepted(
    quick: Provider, *, was_accepted: bool, jobs: int
) -> None:
    await quick.faults(submit={"kind": "status", "code": 502, "accepted": was_accepted})

    reply = await submitted(quick)

    assert reply.status_code == 502
    assert await accepted(quick) == jobs


@pytest.mark.parametrize("retry_after", [None, 7, "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_too_many_requests_name_a_time_only_if_told_to(
    quick: Provider, retry_after: int | str | None
) -> None:
    await quick.faults(submit={"kind": "status", "code": 429, "retry_after": retry_after})

    reply = await submitted(quick)

    expected = None if retry_after is None else str(retry_after)
    assert (reply.status_code, reply.headers.get("retry-after")) == (429, expected)
    assert await accepted(quick) == 0


async def test_a_slow_reply_comes_after_the_job_was_accepted(quick: Provider) -> None:
    image = await quick.upload(a_picture())
    await quick.faults(submit={"kind": "slow", "delay_s": 30})

    with pytest.raises(httpx.ReadTimeout):
        await quick.http.post(
            f"{quick.url}/{WAN}", json={"image": image, "prompt": "x"}, timeout=0.3
        )

    assert await accepted(quick) == 1


@pytest.mark.parametrize(
    ("fault", "jobs"),
    [
        ({"kind": "malformed"}, 0),
        ({"kind": "malformed", "accepted": True, "body": "<html>"}, 1),
        ({"kind": "no_id"}, 1),
    ],
)
async def test_a_success_without_an_id_is_of_no_use(
    quick: Provider, fault: dict[str, object], jobs: int
) -> None:
    await quick.faults(submit=fault)

    reply = await submitted(quick)

    assert reply.status_code == 200
    assert not re.search(r'"id":"[0-9a-f]', reply.text)
    assert await accepted(quick) == jobs


async def test_an_envelope_can_say_no_under_http_200(quick: Provider) -> None:
    await quick.faults(submit={"kind": "envelope", "code": 503})

    reply = await submitted(quick)

    assert (reply.status_code, reply.json()["code"]) == (200, 503)
    assert await accepted(quick) == 0


async def test_an_exhausted_credit_is_402(quick: Provider) -> None:
    await quick.faults(submit={"kind": "credit_exhausted"})

    assert (await submitted(quick)).status_code == 402
    assert await accepted(quick) == 0


async def test_a_refused_key_is_401_everywhere(sandbox: Provider) -> None:
    await sandbox.faults(any={"kind": "refused"})

    replies = [await sandbox.call("GET", "balance"), await sandbox.call("POST", "predictions")]

    assert [each.status_code for each in replies] == [401, 401]


async def test_polls_fail_for_a_while_and_the_job_is_not_harmed(quick: Provider) -> None:
    prediction_id = await quick.submit()
    path = f"predictions/{prediction_id}/result"
    await quick.faults(
        poll=[
            {"kind": "status", "code": 503, "times": 1},
            {"kind": "status", "code": 429, "times": 1},
            {"kind": "cut", "times": 1},
            {"kind": "malformed", "times": 1},
        ]
    )

    first, second = await quick.call("GET", path), await quick.call("GET", path)
    with pytest.raises(httpx.RemoteProtocolError):
        await quick.call("GET", path)
    third = await quick.call("GET", path)

    assert [first.status_code, second.status_code, third.status_code] == [503, 429, 200]
    with pytest.raises(ValueError, match="Unterminated"):
        third.json()
    assert (await quick.ended(prediction_id))["status"] == "completed"


async def test_an_unknown_status_is_shown_so_many_times(quick: Provider) -> None:
    await quick.faults(
        job={"kind": "hang"}, poll={"kind": "unknown_status", "status": "warming_up", "times": 2}
    )
    prediction_id = await quick.submit()

    shown = [(await quick.data("GET", f"predictions/{prediction_id}"))["status"] for _ in "123"]

    assert shown[:2] == ["warming_up", "warming_up"]
    assert shown[2] in {"created", "processing"}


async def test_listed_rows_can_lack_their_input_while_a_read_has_it(quick: Provider) -> None:
    await quick.faults(list={"kind": "without_input"})
    prediction_id = await quick.submit()

    (row,) = (await quick.data("POST", "predictions", {}))["items"]

    assert row["id"] == prediction_id
    assert "input" not in row
    assert "input" in await quick.data("GET", f"predictions/{prediction_id}")


async def test_a_list_can_lag_behind(quick: Provider) -> None:
    prediction_id = await quick.submit()
    await quick.faults(list={"kind": "lag", "lag_s": 3600, "times": 1})

    behind = await quick.data("POST", "predictions", {})
    up_to_date = await quick.data("POST", "predictions", {})

    assert behind["items"] == []
    assert [row["id"] for row in up_to_date["items"]] == [prediction_id]


async def test_uploads_fail_in_either_step(sandbox: Provider) -> None:
    body = {"filename": "a.jpg", "size": 3, "content_type": "image/jpeg"}
    ticket = await sandbox.data("POST", "media/uploads", body)
    await sandbox.faults(upload={"kind": "status", "code": 500, "times": 3})

    announced = await sandbox.call("POST", "media/uploads", body)
    filled = await sandbox.http.put(ticket["upload"]["url"], content=b"abc")
    whole = await sandbox.http.post(
        f"{sandbox.url}/media/upload/binary", files={"file": ("a.jpg", b"abc")}
    )

    assert [each.status_code for each in (announced, filled, whole)] == [500, 500, 500]
    await sandbox.upload(a_picture())


async def test_bills_come_in_usd_late_or_wrong_when_told_to(quick: Provider) -> None:
    prediction_id = (await quick.run(resolution="480p"))["id"]

    async def prices() -> list[object]:
        return [bill["price"] for bill in await quick.bills(prediction_id)]

    assert await prices() == [250_000]
    await quick.faults(bills={"kind": "usd_floats"})
    assert await prices() == [0.25]
    await quick.faults(bills={"kind": "wrong_amount", "factor": 10})
    assert await prices() == [2_500_000]
    await quick.faults(bills={"kind": "lag", "lag_s": 3600})
    assert await prices() == []


async def test_a_delete_and_a_download_can_fail_too(quick: Provider) -> None:
    done = await quick.run()
    await quick.faults(
        delete={"kind": "status", "code": 500, "times": 1},
        download={"kind": "status", "code": 404, "times": 1},
    )

    deleted = await quick.call("DELETE", f"predictions/{done['id']}")
    downloads = [await quick.download(done["outputs"][0]) for _ in "12"]

    assert deleted.status_code == 500
    assert [each.status_code for each in downloads] == [404, 200]


async def test_a_fault_can_be_meant_for_one_submission(quick: Provider) -> None:
    await quick.faults(submit={"kind": "status", "code": 500, "match": "a wild sea"})
    image = await quick.upload(a_picture())

    calm = await quick.call("POST", WAN, {"image": image, "prompt": "a calm sea"})
    wild = await quick.call("POST", WAN, {"image": image, "prompt": "a wild sea"})

    assert (calm.status_code, wild.status_code) == (200, 500)


async def test_a_fault_can_be_meant_for_the_polls_of_one_job(quick: Provider) -> None:
    await quick.faults(poll={"kind": "status", "code": 500, "match": "a wild sea"})
    calm, wild = await quick.submit(), await quick.submit(prompt="a wild sea")

    replies = [await quick.call("GET", f"predictions/{each}") for each in (calm, wild)]

    assert [each.status_code for each in replies] == [200, 500]


async def test_faults_are_shown_replaced_by_area_and_cleared(sandbox: Provider) -> None:
    url = f"{sandbox.origin}/sandbox/faults"
    await sandbox.faults(any={"kind": "status", "code": 500}, poll={"kind": "cut"})
    await sandbox.call("GET", "balance")
    await sandbox.faults(poll=[{"kind": "slow"}, {"kind": "malformed"}])

    shown = (await sandbox.http.get(url)).json()["faults"]
    one_less = (await sandbox.http.delete(url, params={"area": "poll"})).json()["faults"]
    none = (await sandbox.http.delete(url)).json()["faults"]

    assert (shown["any"][0]["code"], shown["any"][0]["used"]) == (500, 1)
    assert [each["kind"] for each in shown["poll"]] == ["slow", "malformed"]
    assert list(one_less) == ["any"]
    assert none == {}
    assert (await sandbox.call("GET", "balance")).status_code == 200


@pytest.mark.parametrize(
    "plan",
    [
        {"submit": {"kind": "explode"}},
        {"poll": {"kind": "lost_reply"}},
        {"nowhere": {"kind": "cut"}},
        {"poll": {"kind": "cut", "times": 0}},
    ],
)
async def test_a_plan_that_makes_no_sense_is_refused(
    sandbox: Provider, plan: dict[str, object]
) -> None:
    reply = await sandbox.http.post(f"{sandbox.origin}/sandbox/faults", json=plan)

    assert reply.status_code == 400


async def test_faults_and_their_counts_survive_a_restart(tmp_path: Path) -> None:
    settings = SandboxSettings(data_dir=tmp_path)
    async with running(settings) as addresses, a_client() as http:
        before = Provider(addresses.provider, addresses.llm, http, tmp_path)
        await before.faults(any={"kind": "status", "code": 500, "times": 2})
        await before.call("GET", "balance")

    async with running(settings) as addresses, a_client() as http:
        after = Provider(addresses.provider, addresses.llm, http, tmp_path)
        replies = [await after.call("GET", "balance") for _ in "12"]

    assert [each.status_code for each in replies] == [500, 200]


def test_a_probability_hits_that_share_and_the_same_ones_for_the_same_seed() -> None:
    def hits(seed: int) -> list[bool]:
        board = FaultBoard(None, lambda _: None)
        fault = {"kind": "status", "probability": 0.3, "seed": seed}
        board.put(FaultPlan.model_validate({"poll": fault}))
        return [board.take("poll", StatusFault) is not None for _ in range(400)]

    assert hits(1) == hits(1) != hits(2)
    assert sum(hits(1)) / 400 == pytest.approx(0.3, abs=0.1)


async def test_a_stopping_sandbox_doesnt_wait_for_a_slow_reply(tmp_path: Path) -> None:
    settings = SandboxSettings(data_dir=tmp_path)
    started = time.monotonic()

    async with running(settings) as addresses, a_client() as http:
        provider = Provider(addresses.provider, addresses.llm, http, tmp_path)
        await provider.faults(any={"kind": "slow", "delay_s": 600})
        with pytest.raises(httpx.ReadTimeout):
            await http.get(f"{addresses.provider}/balance", timeout=0.1)

    # Far below the ten minutes of the reply; no measure of speed.
    assert time.monotonic() - started < 60
