"""Fixtures for every room: real servers, started once per session and only when a test asks.

The imports stand inside the fixtures, so that a run of the contracts' tests starts without them.
"""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from workers.embedded.locking import DataDirectory
    from workers.embedded.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
async def data_directory() -> AsyncIterator["DataDirectory"]:
    """The session's data directory, locked. Not pytest's own folder: its path is long and private,
    which a PostgreSQL that has to run as `nobody` can't enter.
    """
    from workers.embedded.locking import DataDirectory

    with tempfile.TemporaryDirectory(prefix="stillmotion-tests-") as path:
        async with DataDirectory(Path(path)) as directory:
            yield directory


@pytest.fixture(scope="session")
async def postgres(data_directory: "DataDirectory") -> AsyncIterator["EmbeddedPostgres"]:
    """A PostgreSQL server; `postgres.dsn` is its superuser's way in."""
    from workers.embedded.postgres import EmbeddedPostgres

    async with EmbeddedPostgres(data_directory) as server:
        yield server


@pytest.fixture(scope="session")
async def temporal_server(data_directory: "DataDirectory") -> AsyncIterator[str]:
    """A Temporal server's address; it knows our search attributes."""
    from workers.dev import SEARCH_ATTRIBUTE_TYPES
    from workers.embedded.temporal import EmbeddedTemporal

    async with EmbeddedTemporal(data_directory, search_attributes=SEARCH_ATTRIBUTE_TYPES) as server:
        yield server.address
