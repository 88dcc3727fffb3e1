"""A data directory of its own for each test, and processes to be mistaken for others."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

import pytest

from workers.embedded.locking import DataDirectory
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.processes import is_alive

WAIT_S = 30.0


@pytest.fixture
def data_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stillmotion-test-") as folder:
        yield Path(folder).resolve() / "data"


@pytest.fixture(scope="session")
async def initialised_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster that was started and stopped once, to be copied: initdb takes half a second."""
    path = tmp_path_factory.mktemp("initialised")
    async with DataDirectory(path) as directory, EmbeddedPostgres(directory):
        pass
    return path / "postgres"


@pytest.fixture
def with_cluster(initialised_cluster: Path) -> Callable[[Path], Path]:
    """Make a data directory that has been used before; return its path."""

    def make(path: Path) -> Path:
        path.mkdir(mode=0o700, parents=True)
        shutil.copytree(initialised_cluster, path / "postgres")
        return path

    return make


@pytest.fixture
def used_data_path(data_path: Path, with_cluster: Callable[[Path], Path]) -> Path:
    return with_cluster(data_path)


@pytest.fixture
def all_gone() -> Callable[[Iterable[int]], Awaitable[None]]:
    """Wait until none of the processes runs any more; fails when one does not end."""

    async def wait(pids: Iterable[int]) -> None:
        left = list(pids)
        async with asyncio.timeout(WAIT_S):
            while any(is_alive(pid) for pid in left):
                await asyncio.sleep(0.02)

    return wait


@pytest.fixture
def foreign_process() -> Iterator[int]:
    """The pid of a live process of ours that has nothing to do with any server."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "300"], {})
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.fixture
def zombie_process() -> Iterator[int]:
    """The pid of a process that has ended and that nobody has reaped yet."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    yield pid
    os.waitpid(pid, 0)
