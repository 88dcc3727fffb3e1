"""Webhooks as a receiver sees them: a real server that checks the signature itself."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.workers.sandbox.conftest import SMALL, WAN, Provider, a_client, a_picture
from workers.sandbox import SandboxSettings, running
from workers.sandbox.webhooks import sign


@dataclass
class Receiver:
    """Keeps what it gets and answers the given statuses in turn, then 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list[int])
    got: asyncio.Queue[tuple[dict[str, str], bytes]] = field(
        default_factory=asyncio.Queue[tuple[dict[str, str], bytes]]
    )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [line.partition(": ") for line in head.splitlines()[1:] if line]
        headers = {name.lower(): value for name, _, value in lines}
        body = await reader.readexactly(int(headers["content-length"]))
        status = self.answers.pop(0) if self.answers else 200
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await self.got.put((headers, body))

    async def next(self) -> tuple[dict[str, str], bytes]:
        async with asyncio.timeout(20):
            return await self.got.get()


@asynccontextmanager
async def receiving(*answers: int) -> AsyncGenerator[Receiver]:
    receiver = Receiver(answers=list(answers))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        receiver.url = f"http://127.0.0.1:{port}/hook?token=t"
        yield receiver


async def submitted(provider: Provider, receiver: Receiver) -> str:
    body = {"image": await provider.upload(a_picture()), "prompt": "a calm sea"}
    reply = await provider.http.post(
        f"{provider.url}/{WAN}", params={"webhook": receiver.url}, json=body
    )
    return str(reply.json()["data"]["id"])


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    message = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = secret.removeprefix("whsec_").encode()
    expected = "v3," + hmac.new(key, message, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, headers["webhook-signature"])


def test_the_signature_is_the_documented_recipe() -> None:
    # What `openssl dgst -sha256 -hmac secret` prints for `id.1758798328.{}`.
    expected = "v3,8dc2ce9ff19ab6f076ccd9682e0969cb8f530e63aa97412610f659bc9cb11563"

    assert sign("whsec_secret", "id", 1758798328, b"{}") == expected


@pytest.mark.parametrize(
    ("job", "status"),
    [({"kind": "work", "work_s": 0}, "completed"), ({"kind": "failed"}, "failed")],
)
async def test_a_signed_webhook_carries_the_bare_prediction(
    sandbox: Provider, job: dict[str, object], status: str
) -> None:
    await sandbox.faults(output=SMALL, job=job)
    secret = (await sandbox.data("GET", "webhook/secret"))["secret"]

    async with receiving() as receiver:
        prediction_id = await submitted(sandbox, receiver)
        headers, body = await receiver.next()

    read = await sandbox.data("GET", f"predictions/{prediction_id}/result")
    assert json.loads(body) == read
    assert read["status"] == status
    assert is_signed(secret, headers, body)


async def test_a_webhook_is_tried_three_times_under_one_id(quick: Provider) -> None:
    async with receiving(500, 500, 500) as receiver:
        await submitted(quick, receiver)
        tries = [await receiver.next() for _ in range(3)]

    assert len({headers["webhook-id"] for headers, _ in tries}) == 1


async def test_a_webhook_that_can_be_delivered_is_sent_once(quick: Provider) -> None:
    async with receiving() as receiver:
        await quick.ended(await submitted(quick, receiver))
        await receiver.next()
        await asyncio.sleep(0.1)

        assert receiver.got.empty()


async def test_a_webhook_can_come_twice_with_other_ids_or_forged(quick: Provider) -> None:
    secret = (await quick.data("GET", "webhook/secret"))["secret"]
    await quick.faults(webhook=[{"kind": "twice"}, {"kind": "forged"}])

    async with receiving() as receiver:
        await submitted(quick, receiver)
        first, second = await receiver.next(), await receiver.next()

    assert first[0]["webhook-id"] != second[0]["webhook-id"]
    assert not is_signed(secret, *first)


async def test_a_webhook_can_be_late_or_lost(quick: Provider) -> None:
    await quick.faults(
        webhook=[{"kind": "lost", "times": 1, "match": "sea"}, {"kind": "late", "delay_s": 0.2}]
    )

    async with receiving() as receiver:
        lost = await submitted(quick, receiver)
        await quick.ended(lost)
        late = await submitted(quick, receiver)
        await quick.ended(late)
        _, body = await receiver.next()

        assert late.encode() in body
        assert receiver.got.empty()


async def test_a_webhook_that_is_still_due_is_sent_after_a_restart(tmp_path: Path) -> None:
    settings = SandboxSettings(data_dir=tmp_path, work_s=0, webhook_retry_s=600)
    async with receiving(500) as receiver:
        async with running(settings) as addresses, a_client() as http:
            provider = Provider(addresses.provider, addresses.llm, http, tmp_path)
            await provider.faults(output=SMALL)
            await submitted(provider, receiver)
            _, first = await receiver.next()

        async with running(settings):
            _, second = await receiver.next()

    assert first == second


async def test_a_webhook_that_is_no_url_is_refused(sandbox: Provider) -> None:
    reply = await sandbox.http.post(f"{sandbox.url}/{WAN}", params={"webhook": "me"}, json={})

    assert reply.status_code == 400
