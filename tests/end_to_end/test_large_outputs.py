"""A large video passes through without being held in memory."""

from pathlib import Path

import pytest
from stacks import Process, Stack, finished

SIZE_BYTES = 300 * 1000 * 1000
GROWTH_BYTES_MAX = 64 * 1024 * 1024
pytestmark = pytest.mark.slow


async def test_a_300_mb_output_grows_the_worker_by_less_than_64_mb(stack: Stack) -> None:
    async with stack.worker() as worker:
        # The first video loads what any video needs.
        await finished(await stack.start("a first one"))
        before = peak_bytes(worker)
        await stack.faults({"output": {"kind": "big", "size_bytes": SIZE_BYTES}})

        generation = await finished(await stack.start("a big one"))

        assert generation.file_size_bytes is not None
        assert generation.file_size_bytes >= SIZE_BYTES
        assert peak_bytes(worker) - before < GROWTH_BYTES_MAX


def peak_bytes(process: Process) -> int:
    """The most memory that the process ever held: nothing between two looks is missed."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("every process has a peak")
