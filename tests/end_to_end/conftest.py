"""The session's stack, shared by the tests of real processes."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from stacks import Stack, running_dev

from starter import VideoClient


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stillmotion-e2e-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
async def whole_stack(folder: Path) -> AsyncIterator[Stack]:
    """One stack for the session, without workers."""
    async with AsyncExitStack() as stack:
        _, address = await stack.enter_async_context(
            running_dev(folder / "stack", "--no-workers", "--sandbox-work-s=1")
        )
        client = await stack.enter_async_context(await VideoClient.connect(folder / "stack"))
        yield Stack(folder / "stack", address, client)


@pytest.fixture
async def stack(whole_stack: Stack) -> AsyncIterator[Stack]:
    """The session's stack with a provider that behaves."""
    await whole_stack.faults({})
    yield whole_stack
    await whole_stack.faults({})
