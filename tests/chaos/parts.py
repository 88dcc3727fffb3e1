"""The parts of a stack as processes that can be killed, frozen and started again on their data."""

import asyncio
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from workers.embedded.children import Child, Inheritance, start_child
from workers.embedded.locking import DataDirectory
from workers.embedded.postgres import EmbeddedPostgres
from workers.embedded.processes import is_alive, working_in
from workers.embedded.temporal import EmbeddedTemporal


class Part(ABC):
    """One part. `kill` and `freeze` are SIGKILL and SIGSTOP: no part can prepare for them."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    async def start(self) -> None:
        """Start it, on the data that it left where it ran before."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop it as an operator does, or tidy up after it was killed."""

    @property
    @abstractmethod
    def child(self) -> Child:
        """Its process; raises where it was never started."""

    def pids(self) -> list[int]:
        """Every process of it."""
        return [self.child.pid]

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.child.kill()
        await self.child.wait()
        await self.stop()

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and locks, and does nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on as if nothing had happened."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            if is_alive(pid):
                os.kill(pid, number)


class PostgresPart(Part):
    """PostgreSQL; frozen with all of its backends."""

    def __init__(self, directory: DataDirectory) -> None:
        super().__init__("PostgreSQL")
        self.server = EmbeddedPostgres(directory)
        self._cluster = directory.path / "postgres"

    @property
    def child(self) -> Child:
        return self.server.child

    def pids(self) -> list[int]:
        return [self.child.pid, *working_in(self._cluster)]

    async def start(self) -> None:
        await self.server.__aenter__()

    async def stop(self) -> None:
        await self.server.__aexit__(None, None, None)


class TemporalPart(Part):
    """The Temporal server; its ports stay."""

    def __init__(self, server: EmbeddedTemporal) -> None:
        super().__init__("Temporal")
        self.server = server

    @property
    def child(self) -> Child:
        return self.server.child

    async def start(self) -> None:
        await self.server.__aenter__()

    async def stop(self) -> None:
        await self.server.__aexit__(None, None, None)


class Program(Part):
    """A Python process of ours: the sandbox, a worker, a client."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        directory: DataDirectory,
        env: Mapping[str, str],
    ) -> None:
        super().__init__(name)
        self._argv = argv
        self._directory = directory
        self._env = env
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        assert self._child is not None, f"{self.name} was started"
        return self._child

    @property
    def log_path(self) -> Path:
        """What it has written, over all of its lives."""
        return self._directory.log_path(self.name.replace(" ", "-"))

    async def start(self) -> None:
        self._child = await start_child(
            [sys.executable, *self._argv],
            env=self._env,
            log_path=self.log_path,
            stop_signal=signal.SIGTERM,
            cwd=self._directory.path,
            inherit=Inheritance(fds=(self._directory.lock_fd,)),
        )

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.stop()

    @property
    def is_frozen(self) -> bool:
        """Whether the kernel holds it stopped, by whomever."""
        stat = Path(f"/proc/{self.child.pid}/stat").read_text("ascii", "replace")
        return stat.rpartition(") ")[2].startswith("T")


class Kept:
    """Programs that are started again when they end by themselves, as `dev` does with its worker.

    One that ends with exit code 0 is done. `deaths` counts ends that nobody had asked for.
    """

    LOOK_INTERVAL_S = 0.3

    def __init__(self) -> None:
        self._programs: list[Program] = []
        self._let_alone: set[str] = set()
        self.deaths: list[str] = []

    @property
    def programs(self) -> list[Program]:
        """All of them, in the order in which they were added."""
        return list(self._programs)

    async def add(self, program: Program) -> None:
        """Start a program and keep it alive from now on."""
        await program.start()
        self._programs.append(program)

    def let_alone(self, program: Program) -> None:
        """Somebody kills it on purpose; `start` is theirs too."""
        self._let_alone.add(program.name)

    def keep_again(self, program: Program) -> None:
        """It was started again."""
        self._let_alone.discard(program.name)

    def is_done(self, program: Program) -> bool:
        """Whether it has ended its work."""
        return program.child.exit_code == 0

    async def watch(self) -> None:
        """Start again whatever died; runs until it is cancelled."""
        while True:
            for program in self._programs:
                code = program.child.exit_code
                if code not in (None, 0) and program.name not in self._let_alone:
                    self.deaths.append(f"{program.name} ended with exit code {code}")
                    await program.stop()
                    await program.start()
            await asyncio.sleep(self.LOOK_INTERVAL_S)

    async def stop(self) -> None:
        """Stop all of them at once."""
        await asyncio.gather(*(program.stop() for program in self._programs))
