"""The one paid POST on a real socket: accepted, provably nothing, or ambiguous."""

import asyncio
import socket

import httpx
import pytest
from pydantic import JsonValue

from activities.provider import errors
from activities.provider.wavespeed import WaveSpeed
from activities.provider.wire import Sending
from tests.activities.provider.conftest import (
    CUT,
    CUT_BODY,
    ID,
    KEY,
    MODEL,
    OddServer,
    envelope,
    http,
    settings_for,
)

CREATED: dict[str, JsonValue] = {"id": ID, "status": "created", "outputs": []}


async def test_a_submission_is_one_post_with_the_key_the_webhook_and_no_nulls(
    odd: OddServer, provider: WaveSpeed
) -> None:
    odd.will(envelope(CREATED))

    inputs: dict[str, JsonValue] = {"prompt": "sea", "seed": None, "duration": 5}
    found = await provider.submit(MODEL, inputs, webhook_url="https://us.example/hook?t=a&b")

    [request] = odd.received
    assert found == ID
    assert request.method == "POST"
    assert request.target == f"/api/v3/{MODEL}?webhook=https%3A%2F%2Fus.example%2Fhook%3Ft%3Da%26b"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json == {"prompt": "sea", "duration": 5}


async def test_before_send_runs_on_an_open_connection_before_the_first_byte(
    odd: OddServer, provider: WaveSpeed
) -> None:
    odd.will(envelope(CREATED))
    seen: list[tuple[int, int]] = []

    found = await provider.submit(
        MODEL, {}, before_send=lambda: seen.append((odd.bytes_received, len(odd.received)))
    )

    assert found == ID
    assert seen == [(0, 0)]


async def test_a_refusal_by_before_send_writes_no_byte_and_is_the_cause(
    odd: OddServer, provider: WaveSpeed
) -> None:
    refusal = TimeoutError("too late")

    def refuse() -> None:
        raise refusal

    with pytest.raises(errors.NotSent) as raised:
        await provider.submit(MODEL, {"prompt": "sea"}, before_send=refuse)

    await odd.left.wait()
    assert raised.value.__cause__ is refusal
    assert (odd.connections, odd.bytes_received) == (1, 0)


async def test_before_send_is_not_asked_when_no_connection_comes_about() -> None:
    asked: list[str] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        unheard = f"http://127.0.0.1:{taken.getsockname()[1]}/api/v3"

        async with WaveSpeed(settings_for(unheard)) as provider:
            with pytest.raises(errors.NotSent):
                await provider.submit(MODEL, {}, before_send=lambda: asked.append("asked"))

    assert asked == []


async def test_a_failed_tls_handshake_proves_that_nothing_was_sent() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with WaveSpeed(settings_for(f"https://127.0.0.1:{port}/api/v3")) as provider:
            with pytest.raises(errors.NotSent):
                await provider.submit(MODEL, {}, before_send=lambda: pytest.fail("was asked"))


async def test_only_trace_and_error_together_prove_that_nothing_was_sent() -> None:
    sending = Sending(None)
    unreached, broken = httpx.ConnectError("refused"), httpx.ReadError("cut")

    assert sending.proves_unsent(unreached)
    assert not sending.proves_unsent(broken)

    await sending.trace("http11.send_request_headers.started", {})
    assert not sending.proves_unsent(unreached)


async def test_each_submission_opens_its_own_connection_and_reads_share_one(
    odd: OddServer, provider: WaveSpeed
) -> None:
    odd.keep_alive = True
    odd.will(envelope(CREATED), envelope(CREATED), envelope(CREATED), envelope(CREATED))

    await provider.submit(MODEL, {})
    await provider.submit(MODEL, {})
    assert odd.connections == 2

    await provider.prediction(ID)
    await provider.prediction(ID)
    assert odd.connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(CUT, id="cut before the reply"),
        pytest.param(CUT_BODY, id="cut within the body"),
        pytest.param(b"EHLO there\r\n\r\n", id="not HTTP"),
        pytest.param(http("<html>busy</html>"), id="HTML under 200"),
        pytest.param(http(b"\xff\xfe"), id="not text"),
        pytest.param(http("[" * 100_000), id="nested without end"),
        pytest.param(http("[]"), id="a list"),
        pytest.param(http('{"data": {"id": "abcd1234"}}'), id="no code"),
        pytest.param(envelope({"status": "created"}), id="no id"),
        pytest.param(envelope({"id": "../balance"}), id="an id that is none"),
        pytest.param(envelope({"id": 12345678}), id="a number as id"),
        pytest.param(envelope(None, code=500, message="internal"), id="code 500 under 200"),
        pytest.param(envelope(None, code=5004), id="code 5004 under 200"),
        pytest.param(envelope({"id": ID}, code=400), id="a refusal that names a prediction"),
        pytest.param(envelope({"id": ID}, code=429, status=429), id="a 429 that names one"),
        pytest.param(envelope(None, code=5000, status=400), id="a server error as 400"),
        pytest.param(envelope(None, code=500, status=500), id="500"),
        pytest.param(envelope(None, code=1200, status=500), id="moderation as 500"),
        pytest.param(http("gateway", 502), id="502"),
        pytest.param(http("gateway", 504), id="504"),
        pytest.param(http("timeout", 408), id="408"),
        pytest.param(http("conflict", 409), id="409"),
        pytest.param(http("gone elsewhere", 307, {"Location": "/api/v3/x"}), id="307"),
        pytest.param(http("see", 303, {"Location": "/api/v3/x"}), id="303"),
        pytest.param(envelope(CREATED, pad="x" * 4 * 1024 * 1024), id="too big"),
    ],
)
async def test_an_unclear_answer_makes_a_submission_ambiguous_and_is_not_repeated(
    odd: OddServer, provider: WaveSpeed, answer: bytes
) -> None:
    odd.will(answer)

    with pytest.raises(errors.SubmissionAmbiguous) as raised:
        await provider.submit(MODEL, {"prompt": "sea"})

    assert len(odd.received) == odd.connections == 1
    assert str(raised.value) == errors.SubmissionAmbiguous.sentence
    assert raised.value.__cause__ is None


async def test_a_reply_that_does_not_come_in_time_makes_a_submission_ambiguous(
    odd: OddServer,
) -> None:
    odd.will(None)

    async with WaveSpeed(settings_for(odd.base_url, submit_timeout_s=0.05)) as provider:
        with pytest.raises(errors.SubmissionAmbiguous):
            await provider.submit(MODEL, {})

    assert len(odd.received) == 1


@pytest.mark.parametrize(
    "path",
    [
        "wan",
        "/wan/x",
        "a/../balance",
        "a/..",
        "a//b",
        "a/b\n",
        "A/b",
        "a/b?c=d",
        "a/b#c",
        "a/%2e%2e",
    ],
)
async def test_a_model_path_that_is_none_is_refused_before_anything_is_sent(
    odd: OddServer, provider: WaveSpeed, path: str
) -> None:
    with pytest.raises(errors.InputRefused):
        await provider.submit(path, {})

    assert odd.connections == 0


async def test_inputs_that_json_has_no_word_for_are_refused_before_anything_is_sent(
    odd: OddServer, provider: WaveSpeed
) -> None:
    with pytest.raises(errors.InputRefused):
        await provider.submit(MODEL, {"guidance_scale": float("nan")})

    assert odd.connections == 0
