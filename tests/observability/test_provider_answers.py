"""What a request to the provider is counted as when no answer came: its fault, or ours."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from stacks import until
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig

from activities.metrics.instruments import Instruments
from activities.provider.errors import Unavailable
from activities.provider.settings import ProviderSettings
from activities.provider.wavespeed import WaveSpeed

ID = secrets.token_hex(16)


class Silent:
    """A provider that reads and never answers."""

    def __init__(self) -> None:
        self.asked = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        await reader.read()
        writer.close()

    async def is_asked(self) -> bool:
        return self.asked > 0


class Counted(NamedTuple):
    instruments: Instruments
    buffer: MetricBuffer

    def answers(self) -> Counter[str]:
        told = Counter[str]()
        for update in self.buffer.retrieve_updates():
            if update.metric.name == "stillmotion_provider_requests":
                told[str(update.attributes["answer"])] += int(update.value)
        return told


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    provider = Silent()
    async with await asyncio.start_server(provider.serve, "127.0.0.1", 0) as listening:
        provider.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/api/v3"
        yield provider


@pytest.fixture
def counted() -> Counted:
    buffer = MetricBuffer(1000)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    return Counted(Instruments(runtime.metric_meter), buffer)


def settings(silent: Silent, read_timeout_s: float) -> ProviderSettings:
    given = {"api_key": "wsk-test", "base_url": silent.url, "read_timeout_s": read_timeout_s}
    return ProviderSettings.model_validate(given)


async def test_a_request_that_is_cancelled_is_not_counted_as_unanswered(
    silent: Silent, counted: Counted
) -> None:
    tell = counted.instruments.requested

    async with WaveSpeed(settings(silent, 30), tell=tell) as client:
        asking = asyncio.create_task(client.prediction(ID))
        await until(silent.is_asked)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    assert counted.answers() == {"cancelled": 1}


async def test_a_request_that_the_provider_leaves_waiting_is_counted_as_unanswered(
    silent: Silent, counted: Counted
) -> None:
    tell = counted.instruments.requested

    async with WaveSpeed(settings(silent, 0.2), tell=tell) as client:
        with pytest.raises(Unavailable):
            await client.prediction(ID)

    assert counted.answers() == {"unanswered": 1}
