"""Each case of a webhook's reception over real HTTP, in the order in which they are looked at."""

import asyncio
import dataclasses
import logging
from urllib.parse import urlsplit

import pytest

from starter.api.webhooks import BODY_SIZE_BYTES_MAX
from tests.starter.api.conftest import Api, a_body, a_caller, api_of

PROBLEM = "application/problem+json"
OTHER = "fedcba9876543210fedcba9876543210"


async def test_a_signed_webhook_wakes_its_workflow_and_says_only_which_prediction(
    api: Api,
) -> None:
    generation_id = await api.submitted(await api.accepted(), prediction_id=None)
    body = a_body(OTHER, outputs=["https://example.com/a.mp4?signed=yes"], input={"prompt": "x"})

    reply = await api.tell(generation_id, body)

    assert (reply.status_code, reply.json()) == (200, {"outcome": "signalled"})
    assert await api.hints(generation_id) == [{"prediction_id": OTHER}]


async def _answer_to(address: str, field: str, body: bytes = b"") -> bytes:
    """The reply to a message that is not sent to its end."""
    at = urlsplit(address)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        head = f"POST {at.path} HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n"
        writer.write(head.encode() + body)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


async def test_a_body_that_announces_too_much_is_refused_before_it_is_read(api: Api) -> None:
    announced = f"Content-Length: {BODY_SIZE_BYTES_MAX + 1}"

    reply = await _answer_to(api.address("gen_any"), announced)

    assert b" 413 " in reply.partition(b"\r\n")[0]
    assert PROBLEM.encode() in reply


async def test_a_body_of_unknown_length_is_refused_at_the_first_byte_over(api: Api) -> None:
    content = b"x" * BODY_SIZE_BYTES_MAX
    body = f"{len(content):x}\r\n".encode() + content + b"\r\n1\r\nx\r\n"

    reply = await _answer_to(api.address("gen_any"), "Transfer-Encoding: chunked", body)

    assert b" 413 " in reply.partition(b"\r\n")[0]


async def test_a_body_of_just_the_limit_is_read(api: Api) -> None:
    generation_id = await api.accepted()

    reply = await api.tell(generation_id, a_body().ljust(BODY_SIZE_BYTES_MAX))

    assert reply.status_code == 200


async def test_nothing_is_read_of_a_message_whose_token_is_wrong(api: Api) -> None:
    wrong = f"{api.address(await api.accepted())}0"

    reply = await _answer_to(wrong, f"Content-Length: {BODY_SIZE_BYTES_MAX}")

    assert b" 404 " in reply.partition(b"\r\n")[0]
    assert b"connection: close" in reply.lower()


async def test_a_token_that_is_not_this_generations_looks_like_an_unknown_generation(
    api: Api,
) -> None:
    ours, other = await api.accepted(), await api.accepted()
    body = a_body()
    base, _, right = api.address(ours).rsplit("/", 2)
    others = api.address(other).rsplit("/", 1)[1]
    addresses = [
        f"{base}/{ours}/{others}",
        f"{base}/{ours}/{right[:-1]}",
        f"{base}/{ours}/{right.upper()}x",
        f"{base}/gen_unknown/{right}",
        f"{base}/{ours}/%00%ff",
        api.address("gen_unknown"),
    ]

    replies = [
        await api.http.post(address, content=body, headers=api.signed(body))
        for address in addresses
    ]

    assert {reply.status_code for reply in replies} == {404}
    assert len({reply.text for reply in replies}) == 1
    assert await api.hints(ours) == await api.hints(other) == []


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": None},
        {"webhook-timestamp": None},
        {"webhook-signature": None},
        {"webhook-timestamp": "now"},
        {"webhook-signature": "v1,abc"},
        {"webhook-signature": "v3," + "0" * 64},
        {"webhook-id": "another"},
        {"webhook-timestamp": "1758798328"},
    ],
    ids=str,
)
async def test_a_message_that_the_provider_did_not_sign_is_refused_and_wakes_nobody(
    api: Api, change: dict[str, str | None]
) -> None:
    generation_id = await api.accepted()
    body = a_body()
    given: dict[str, str | None] = {**api.signed(body), **change}
    headers = {name: value for name, value in given.items() if value is not None}

    reply = await api.http.post(api.address(generation_id), content=body, headers=headers)

    assert reply.status_code == 401
    assert reply.headers["content-type"] == PROBLEM
    assert reply.json()["detail"].startswith("webhook-")
    assert await api.hints(generation_id) == []


async def test_another_secret_and_another_body_are_not_the_providers(api: Api) -> None:
    generation_id = await api.accepted()
    body = a_body()

    forged = await api.tell(generation_id, body, secret="whsec_forged")
    changed = await api.http.post(
        api.address(generation_id), content=body + b" ", headers=api.signed(body)
    )

    assert (forged.status_code, changed.status_code) == (401, 401)
    assert await api.hints(generation_id) == []


@pytest.mark.parametrize("age_s", [310, -310])
async def test_a_message_of_another_time_is_refused(api: Api, age_s: int) -> None:
    generation_id = await api.accepted()

    reply = await api.tell(generation_id, age_s=age_s)

    assert (reply.status_code, await api.hints(generation_id)) == (401, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"completed",
        b'{"id":"abcd1234"}',
        b'{"id":"../../x","status":"completed"}',
        b'{"id":5,"status":"completed"}',
        b"\xff\xfe\x00",
        b"[" * 500_000,
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_what_is_no_prediction_is_refused(api: Api, body: bytes) -> None:
    generation_id = await api.accepted()

    reply = await api.tell(generation_id, body)

    assert (reply.status_code, await api.hints(generation_id)) == (422, [])


async def test_the_same_message_twice_has_one_effect(api: Api) -> None:
    generation_id = await api.accepted()

    replies = [await api.tell(generation_id, webhook_id="the-same") for _ in range(3)]

    assert [reply.json()["outcome"] for reply in replies] == ["signalled", "duplicate", "duplicate"]
    assert len(await api.hints(generation_id)) == 1


async def test_a_generation_that_has_another_prediction_is_not_woken(api: Api) -> None:
    generation_id = await api.submitted(await api.accepted(), prediction_id="the-real-one")

    reply = await api.tell(generation_id, a_body(OTHER))

    assert (reply.status_code, await api.hints(generation_id)) == (409, [])


async def test_a_prediction_of_another_generation_wakes_nobody(api: Api) -> None:
    await api.submitted(await api.accepted(), prediction_id="someone-elses")
    generation_id = await api.submitted(await api.accepted(), prediction_id=None)

    reply = await api.tell(generation_id, a_body("someone-elses"))

    assert (reply.status_code, await api.hints(generation_id)) == (409, [])


async def test_a_generation_that_has_ended_is_left_alone(api: Api) -> None:
    generation_id = await api.accepted()
    await api.stack.database.execute(
        "UPDATE generations SET stage = 'completed' WHERE generation_id = $1", generation_id
    )

    reply = await api.tell(generation_id)

    assert (reply.status_code, reply.json()) == (200, {"outcome": "ended"})
    assert await api.hints(generation_id) == []


async def test_a_generation_whose_workflow_is_gone_is_the_sweepers(api: Api) -> None:
    generation_id = await api.accepted()
    await api.client.temporal.get_workflow_handle(generation_id).terminate()

    reply = await api.tell(generation_id)

    assert (reply.status_code, reply.json()) == (200, {"outcome": "gone"})


@pytest.mark.parametrize("odd", ["order/7?a=b#c", "Bestellung ä 7", "../..", "%2F", "a//b"])
async def test_a_callers_own_id_finds_its_way_back_out_of_the_address(api: Api, odd: str) -> None:
    known = await api.accepted()
    await api.stack.database.execute(
        "INSERT INTO generations (generation_id, user_id, idempotency_key, request_hash, request,"
        " operation, source, stage) SELECT $1, user_id, $1, request_hash, request, operation,"
        " source, stage FROM generations WHERE generation_id = $2",
        odd,
        known,
    )

    reply = await api.tell(odd)

    assert (reply.status_code, reply.json()) == (200, {"outcome": "gone"})


async def test_without_a_provider_key_nothing_is_verified_and_both_routes_say_so(api: Api) -> None:
    generation_id = await api.accepted()
    keyless = dataclasses.replace(api.parts, webhook_secret=None)

    async with api_of(keyless) as origin:
        without = dataclasses.replace(api, origin=origin)
        told = await without.tell(generation_id)
        ready = await api.http.get(f"{origin}/readyz")

    assert (told.status_code, ready.status_code) == (503, 200)
    assert "WAVESPEED_API_KEY" in told.json()["detail"]
    assert "WAVESPEED_API_KEY" in ready.json()["webhooks"]
    assert await api.hints(generation_id) == []


async def test_a_caller_who_hangs_up_harms_nobody(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    at = urlsplit(api.address("gen_any"))
    _, writer = await asyncio.open_connection(at.hostname, at.port)

    writer.write(f"POST {at.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    alive = await api.http.get(f"{api.origin}/livez")

    assert alive.status_code == 200
    assert "Traceback" not in caplog.text


async def test_no_line_of_any_log_holds_a_token(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    generation_id = await api.accepted()
    token = api.address(generation_id).rsplit("/", 1)[1]

    with caplog.at_level(logging.DEBUG):
        async with a_caller() as http:
            # Its own lines, as a client, hold every address.
            for name in ("httpx", "httpcore"):
                logging.getLogger(name).setLevel(logging.WARNING)
            own = dataclasses.replace(api, http=http)
            await own.tell(generation_id)
            await own.tell(generation_id, b"{}")
            await own.tell(generation_id, secret="whsec_forged")
            await http.get(own.address(generation_id) + "?and=more")

    assert generation_id in caplog.text
    assert token not in caplog.text
    assert token[:12] not in caplog.text
