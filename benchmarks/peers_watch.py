"""What a part of the process tree spends while a block runs: CPU, and its peak of memory."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager, suppress

import psutil

from benchmarks.usage import cpu_s_by_part, part_of, spent_between

LOOK_INTERVAL_S = 5.0
"""Reading what thirty processes share takes some 50 ms of our own CPU."""


class Spent:
    """Filled when the block ends."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}
        """By part, of those that are counted."""
        self.peak_bytes = 0
        """The proportional set size of all of them together, at its highest."""

    @property
    def total_cpu_s(self) -> float:
        """Of all parts that are counted."""
        return sum(self.cpu_s.values())


@asynccontextmanager
async def spent_by(parts: Collection[str]) -> AsyncGenerator[Spent]:
    """Watch these parts for the time of the block."""
    spent = Spent()
    watching = asyncio.create_task(_watch(spent, parts))
    before = cpu_s_by_part()
    try:
        yield spent
    finally:
        between = spent_between(before, cpu_s_by_part())
        spent.cpu_s = {part: between[part] for part in between if part in parts}
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(spent: Spent, parts: Collection[str]) -> None:
    while True:
        held = await asyncio.to_thread(_memory_bytes, parts)
        spent.peak_bytes = max(spent.peak_bytes, held)
        await asyncio.sleep(LOOK_INTERVAL_S)


def _memory_bytes(parts: Collection[str]) -> int:
    """What the processes of these parts hold; the client is whoever measures, and not counted."""
    held = 0
    for process in psutil.Process().children():
        if part_of(process.cmdline()) not in parts:
            continue
        for each in (process, *process.children(recursive=True)):
            # A decoder lives for some tenths of a second.
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                held += each.memory_full_info().pss
    return held
