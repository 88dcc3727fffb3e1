"""Fixtures for every room: real servers, started once per session and only when a test asks.

The imports stand inside the fixtures, so that a run of the contracts' tests starts without them.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from workers.embedded.locking import DataDirectory
    from workers.embedded.postgres import EmbeddedPostgres

LONG_ONES_FIRST = ("chaos", "end_to_end", "security", "replay", "starter", "workers", "workflows")
"""Folders whose files take longest: begun last, one of them would run alone at the end."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long ones; within a folder the random order stays."""
    rank = {name: number for number, name in enumerate(LONG_ONES_FIRST)}
    tests = Path(__file__).parent
    items.sort(key=lambda item: rank.get(item.path.relative_to(tests).parts[0], len(rank)))


def _has(tool: str) -> bool:
    if tool == "root":
        return os.geteuid() == 0 and shutil.which("ip") is not None
    if tool == "node":
        # What it runs is installed by npm, which is not always part of it.
        return all(shutil.which(program) is not None for program in ("node", "npm"))
    return shutil.which(tool) is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `tools` is skipped where one is missing; `.ci/run` has them all."""
    for mark in item.iter_markers("tools"):
        missing = [tool for tool in mark.args if not _has(tool)]
        if not missing:
            continue
        told = f"needs {', '.join(missing)}: .ci/tools installs what these tests need"
        if os.environ.get("STILLMOTION_TOOLS") == "required":
            pytest.fail(told)
        pytest.skip(told)


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
