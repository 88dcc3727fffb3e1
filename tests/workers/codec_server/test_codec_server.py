"""The remote codec protocol: who is answered, with what, and what is never told."""

import asyncio
import base64
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from google.protobuf.json_format import MessageToJson, Parse
from temporalio.api.common.v1 import Payload, Payloads

from activities.encryption.codec import EncryptionCodec
from activities.encryption.keys import parse_keys
from workers.codec_server.app import BODY_SIZE_BYTES_MAX, Access, create_app

TOKEN = "a-token-of-the-tests"
KEY = base64.b64encode(bytes([1]) * 32).decode()
PROMPT = Payload(metadata={"encoding": b"json/plain"}, data=b'"a lighthouse"')
BEARER = {"Authorization": f"Bearer {TOKEN}"}
UI = "https://temporal.example"


def codec(keys: str = f"k1:{KEY}") -> EncryptionCodec:
    ring = parse_keys(keys)
    return EncryptionCodec(lambda: ring)


def asking(access: Access, host: str = "codec.example") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(codec(), access))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


def body_of(*payloads: Payload) -> str:
    return MessageToJson(Payloads(payloads=payloads))


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with asking(Access(TOKEN, (UI,))) as client:
        yield client


async def test_what_is_encoded_is_decoded_to_what_it_was(http: httpx.AsyncClient) -> None:
    encoded = await http.post("/encode", content=body_of(PROMPT), headers=BEARER)
    decoded = await http.post("/decode", content=encoded.content, headers=BEARER)

    assert "lighthouse" not in encoded.text
    assert list(Parse(decoded.text, Payloads()).payloads) == [PROMPT]
    assert decoded.headers["content-type"] == "application/json"
    assert decoded.headers["cache-control"] == "no-store"


async def test_what_is_not_encrypted_is_answered_as_it_is(http: httpx.AsyncClient) -> None:
    decoded = await http.post("/decode", content=body_of(PROMPT), headers=BEARER)

    assert list(Parse(decoded.text, Payloads()).payloads) == [PROMPT]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer "}],
)
@pytest.mark.parametrize("path", ["/encode", "/decode"])
async def test_without_the_token_nothing_is_answered(
    http: httpx.AsyncClient, headers: dict[str, str], path: str
) -> None:
    reply = await http.post(path, content=body_of(PROMPT), headers=headers)

    assert reply.status_code == 401
    assert "lighthouse" not in reply.text
    assert TOKEN not in reply.text


async def test_an_unknown_key_is_a_sentence_and_a_bad_request(http: httpx.AsyncClient) -> None:
    (foreign,) = await codec(f"other:{KEY}").encode([PROMPT])

    reply = await http.post("/decode", content=body_of(PROMPT, foreign), headers=BEARER)

    assert reply.status_code == 400
    assert "'other'" in reply.text
    assert "lighthouse" not in reply.text
    assert KEY not in reply.text


@pytest.mark.parametrize("body", ["", "[]", '"lighthouse"', '{"payloads": 7}', "{", "[" * 100_000])
async def test_a_body_that_is_none_is_refused_without_being_repeated(
    http: httpx.AsyncClient, body: str
) -> None:
    reply = await http.post("/decode", content=body, headers=BEARER)

    assert (reply.status_code, reply.text) == (400, "The body is not JSON of Payloads.\n")


async def test_a_body_that_is_too_large_is_refused(http: httpx.AsyncClient) -> None:
    reply = await http.post("/decode", content=b" " * (BODY_SIZE_BYTES_MAX + 1), headers=BEARER)

    assert reply.status_code == 413


async def test_only_the_web_uis_that_are_named_may_read_an_answer(http: httpx.AsyncClient) -> None:
    wanted = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-namespace",
    }

    ours = await http.options("/decode", headers={"Origin": UI} | wanted)
    others = await http.options("/decode", headers={"Origin": "https://evil.example"} | wanted)

    assert (ours.status_code, ours.headers["access-control-allow-origin"]) == (200, UI)
    assert "access-control-allow-origin" not in others.headers


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1:81", 200), ("rebound.example", 403)])
async def test_without_a_token_only_this_machines_own_names_are_answered(
    host: str, status: int
) -> None:
    async with asking(Access(None, ()), host) as http:
        reply = await http.post("/decode", content=body_of(PROMPT))

    assert reply.status_code == status


async def test_nothing_that_was_asked_or_answered_is_logged(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # Whoever set up logging before in this process has silenced it.
    caplog.set_level(logging.DEBUG, "httpx")

    encoded = await http.post("/encode", content=body_of(PROMPT), headers=BEARER)
    await http.post("/decode", content=encoded.content, headers=BEARER)
    await http.post("/decode", content="lighthouse", headers=BEARER)

    assert caplog.records
    assert [word for word in ("lighthouse", TOKEN, KEY) if word in caplog.text] == []


async def started(folder: Path, *flags: str, **given: str) -> asyncio.subprocess.Process:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STILLMOTION_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers", "codec-server", "--port=0", "--json"),
        *(f"--data-dir={folder}", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=kept | given,
    )


async def test_the_process_serves_with_the_keys_of_its_environment(tmp_path: Path) -> None:
    process = await started(tmp_path, STILLMOTION_PAYLOAD_KEYS=f"k1:{KEY}")
    assert process.stdout is not None
    try:
        address = json.loads(await process.stdout.readline())["codec_server"]
        async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
            reply = await http.post("/encode", content=body_of(PROMPT))
    finally:
        process.terminate()
        _, err = await process.communicate()

    assert reply.status_code == 200
    assert "lighthouse" not in reply.text
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize(
    ("flags", "keys", "named"),
    [
        (("--host=0.0.0.0",), f"k1:{KEY}", "STILLMOTION_CODEC_TOKEN: not set"),
        ((), "", "STILLMOTION_PAYLOAD_KEYS: not set"),
        ((), KEY, "key 1: no id"),
        (("--host=192.0.2.1",), f"k1:{KEY}", "STILLMOTION_CODEC_TOKEN: not set"),
        (("--port=70000",), f"k1:{KEY}", "--port 70000"),
    ],
)
async def test_the_process_says_in_a_line_why_it_does_not_start(
    tmp_path: Path, flags: tuple[str, ...], keys: str, named: str
) -> None:
    process = await started(tmp_path, *flags, STILLMOTION_PAYLOAD_KEYS=keys)

    _, err = await process.communicate()

    assert process.returncode == 2
    assert named in err.decode()
    assert KEY not in err.decode()
    assert err.count(b"\n") == 1
