"""The servers that the workflows are tested on."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.workflows.episodes import Episode, MakeEpisode
from tests.workflows.stagehand import Stagehand
from tests.workflows.theatre import Theatre, playing, skipping_time, with_namespace


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the SDK say that a cancel came just after its activity had ended.

    It says so by a warning inside the worker, which as an error would end the worker, whichever
    test runs then: the workers stay for the session.
    """
    for item in items:
        item.add_marker(
            pytest.mark.filterwarnings("ignore:Cannot find activity to cancel:UserWarning")
        )


@pytest.fixture(scope="session")
async def playhouse(temporal_server: str) -> AsyncGenerator[Theatre]:
    """Workers on the real server, in a namespace of their own, for the whole session."""
    client = await with_namespace(temporal_server, "workflows")
    async with playing(client, Stagehand()) as theatre:
        yield theatre


@pytest.fixture
async def theatre(playhouse: Theatre) -> AsyncGenerator[Theatre]:
    """The real server; what a test starts there ends with it."""
    yield playhouse
    await playhouse.clear()


@pytest.fixture
async def clock() -> AsyncGenerator[WorkflowEnvironment]:
    """A server whose time is skipped."""
    async with skipping_time() as environment:
        yield environment


@pytest.fixture
async def in_no_time(clock: WorkflowEnvironment) -> AsyncGenerator[Theatre]:
    """Workers on the server whose time is skipped."""
    async with playing(clock.client, Stagehand()) as theatre:
        yield theatre


@pytest.fixture
async def episode(theatre: Theatre) -> AsyncGenerator[MakeEpisode]:
    """Makes batches on the real server; what a test leaves of their items ends with it."""
    async with AsyncExitStack() as stack:

        def make(size: int, **options: int) -> Episode:
            made = Episode(theatre, size, **options)
            stack.push_async_callback(made.end)
            return made

        yield make
