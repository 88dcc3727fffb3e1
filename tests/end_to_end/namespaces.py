"""Machines of a test: network namespaces on one bridge, which nobody outside can reach or see.

The bridge stands in the first one, so nothing is added to this machine's own network. Names are
unique; at the end of the block whatever runs in them is killed and they are removed.
"""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

SUBNET = "10.203.77"
"""Of namespaces that only know each other: it may be in use elsewhere."""


class Machine(NamedTuple):
    """A namespace and its address in the test's network."""

    name: str
    address: str

    def entering(self, *argv: str) -> list[str]:
        """The command that runs `argv` there."""
        return ["ip", "netns", "exec", self.name, *argv]


@asynccontextmanager
async def machines(*names: str) -> AsyncGenerator[list[Machine]]:
    """Machines that reach each other and nothing else; the first has the bridge. Needs root."""
    run = uuid.uuid4().hex[:6]
    made = [
        Machine(f"sm-{run}-{name}", f"{SUBNET}.{number}") for number, name in enumerate(names, 1)
    ]
    try:
        for machine in made:
            await _ip("netns", "add", machine.name)
            await _ip("-n", machine.name, "link", "set", "lo", "up")
        await _connect(made)
        yield made
    finally:
        for machine in made:
            await _remove(machine)


async def _connect(made: list[Machine]) -> None:
    first, *others = made
    await _ip("-n", first.name, "link", "add", "bridge", "type", "bridge")
    await _ip("-n", first.name, "address", "add", f"{first.address}/24", "dev", "bridge")
    await _ip("-n", first.name, "link", "set", "bridge", "up")
    for number, other in enumerate(others):
        port = f"port{number}"
        far = ("peer", "name", "eth0", "netns", other.name)
        await _ip("-n", first.name, "link", "add", port, "type", "veth", *far)
        await _ip("-n", first.name, "link", "set", port, "master", "bridge", "up")
        await _ip("-n", other.name, "address", "add", f"{other.address}/24", "dev", "eth0")
        await _ip("-n", other.name, "link", "set", "eth0", "up")


async def _remove(machine: Machine) -> None:
    told = await _ip("netns", "pids", machine.name, must=False)
    for pid in told.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    await _ip("netns", "delete", machine.name, must=False)


async def _ip(*words: str, must: bool = True) -> str:
    process = await asyncio.create_subprocess_exec(
        *("ip", *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await process.communicate()
    assert not must or process.returncode == 0, f"ip {' '.join(words)}: {error.decode()}"
    return out.decode()
