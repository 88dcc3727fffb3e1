"""A collector of traces and a stack whose workers send theirs to it."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from stacks import Stack, running_dev

from starter import VideoClient
from tests.observability.collector import Collector, collecting


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
async def traced_stack(collector: Collector) -> AsyncIterator[Stack]:
    """A stack without workers. Not pytest's folder: a socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="sm-obs-") as folder:
        data_dir = Path(folder) / "stack"
        async with AsyncExitStack() as opened:
            _, address = await opened.enter_async_context(
                running_dev(data_dir, "--no-workers", "--sandbox-work-s=0.5")
            )
            client = await opened.enter_async_context(await VideoClient.connect(data_dir))
            yield Stack(data_dir, address, client)


@pytest.fixture(scope="session")
def traced(collector: Collector) -> dict[str, str]:
    """Settings of a process whose spans come to the collector."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
