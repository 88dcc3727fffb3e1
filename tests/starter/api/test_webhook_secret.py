"""The provider's secret: read once, and again for a signature that doesn't match, now and then."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from activities.provider.wavespeed import WaveSpeed
from activities.provider.webhooks import Stamp
from starter.api.secrets import READ_AGAIN_S, RETRY_S, SecretUnknown, WebhookSecret
from tests.activities.provider.conftest import OddServer, envelope, http, settings_for
from workers.sandbox.webhooks import sign

BODY = b'{"id":"abcd1234","status":"completed"}'
OLD, NEW, FORGED = "whsec_old", "whsec_new", "whsec_forged"


def stamped(secret: str) -> Stamp:
    return Stamp("an-id", "1758798328", sign(secret, "an-id", 1_758_798_328, BODY)[3:])


@dataclass
class Desk:
    """A secret over a provider that answers by script; `now_s` is its clock."""

    provider: OddServer
    secret: WebhookSecret
    now_s: list[float]

    def gives(self, *secrets: str) -> None:
        self.provider.will(*(envelope({"secret": each}) for each in secrets))

    @property
    def reads(self) -> int:
        return len(self.provider.received)

    async def signed(self, secret: str) -> bool:
        return await self.secret.signed(stamped(secret), BODY)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    server = OddServer()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
        server.port = listener.sockets[0].getsockname()[1]
        now_s = [0.0]
        async with WaveSpeed(settings_for(server.base_url, read_timeout_s=5)) as client:
            yield Desk(server, WebhookSecret(client, clock=lambda: now_s[0]), now_s)


async def test_the_secret_is_read_once_for_many_messages_at_once(desk: Desk) -> None:
    desk.gives(OLD)

    assert all(await asyncio.gather(*(desk.signed(OLD) for _ in range(10))))
    assert await desk.signed(OLD)
    assert desk.reads == 1


async def test_a_rotated_secret_is_read_again_and_its_message_taken(desk: Desk) -> None:
    desk.gives(OLD, NEW)
    assert await desk.signed(OLD)
    desk.now_s[0] += READ_AGAIN_S

    assert all(await asyncio.gather(*(desk.signed(NEW) for _ in range(10))))
    assert not await desk.signed(OLD)
    assert desk.reads == 2


async def test_forgers_make_us_ask_at_most_once_a_minute(desk: Desk) -> None:
    desk.gives(OLD, OLD)
    assert await desk.signed(OLD)

    early = [await desk.signed(FORGED) for _ in range(5)]
    reads_early = desk.reads
    desk.now_s[0] += READ_AGAIN_S
    late = [await desk.signed(FORGED) for _ in range(5)]

    assert not any(early + late)
    assert (reads_early, desk.reads) == (1, 2)
    assert await desk.signed(OLD)


async def test_a_provider_that_gives_no_secret_is_asked_again_a_little_later(desk: Desk) -> None:
    desk.provider.will(http("{}", status=503))
    with pytest.raises(SecretUnknown, match="not available"):
        await desk.signed(OLD)
    with pytest.raises(SecretUnknown, match="a moment ago"):
        await desk.signed(OLD)
    desk.now_s[0] += RETRY_S
    desk.gives(OLD)

    assert await desk.signed(OLD)
    assert desk.reads == 2


async def test_a_provider_that_is_down_spoils_no_message_of_the_known_secret(desk: Desk) -> None:
    desk.gives(OLD)
    assert await desk.signed(OLD)
    desk.now_s[0] += READ_AGAIN_S
    desk.provider.will(http("{}", status=503))

    with pytest.raises(SecretUnknown):
        await desk.signed(NEW)

    assert await desk.signed(OLD)
