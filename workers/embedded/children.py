"""Child processes that never outlive us.

On Linux the kernel sends the child its stop signal when we die, whatever kills us. The request is
made by the child itself, after its change of user, because that change clears it. Elsewhere a small
guard process does the same (see `guard`). Two traps of the kernel's way: it acts when the *thread*
that started the child ends, so start children from the event loop's thread, and keep that loop
running; and a parent that died before the request was made is not noticed, so the child looks.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workers.embedded.identity import Identity, own_identity
from workers.embedded.logs import ChildLog

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOG_CHECK_INTERVAL_S = 5.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a child gets from us beside its environment.

    `fds` stay open in it; give every child that writes to the data directory its `lock_fd`.
    `guarded` ties it to us by a guard process instead of by the kernel.
    """

    identity: Identity = field(default_factory=own_identity)
    fds: tuple[int, ...] = ()
    guarded: bool = sys.platform != "linux"


class Child:
    """A running child process, made by `start_child`."""

    def __init__(self, process: Process, log: ChildLog, stop_signal: signal.Signals) -> None:
        self._process = process
        self._log = log
        self._stop_signal = stop_signal
        self._watch = asyncio.create_task(self._keep_log_small())

    @property
    def pid(self) -> int:
        """The child's process id; that of its guard, where there is one."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while it runs, minus the signal's number when one ended it."""
        return self._process.returncode

    @property
    def log_path(self) -> Path:
        """The file that holds its output."""
        return self._log.path

    def log_tail(self) -> str:
        """Return the end of what it wrote since its start."""
        return self._log.tail()

    async def wait(self) -> int:
        """Wait until it ends, by itself or stopped; return its exit code."""
        return await self._process.wait()

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Send its stop signal, wait `timeout_s`, then kill it; return its exit code.

        May be called again, and for a child that has ended.
        """
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(self._stop_signal)
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.wait()
        except TimeoutError:
            logger.warning("process %d did not stop within %s s; killing it", self.pid, timeout_s)
            self.kill()
        code = await self._process.wait()
        await self._watch
        return code

    def kill(self) -> None:
        """Kill it at once, together with the processes of its group."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _keep_log_small(self) -> None:
        while self.exit_code is None:
            try:
                async with asyncio.timeout(LOG_CHECK_INTERVAL_S):
                    await self._process.wait()
            except TimeoutError:
                await self._rotate_log()

    async def _rotate_log(self) -> None:
        try:
            await asyncio.to_thread(self._log.rotate)
        except OSError as error:
            # A full disk or a log removed by hand is no reason to lose the server as well.
            logger.warning("the log %s can't be rotated: %s", self.log_path, error.strerror)


async def start_child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    log_path: Path,
    stop_signal: signal.Signals,
    cwd: Path,
    inherit: Inheritance | None = None,
) -> Child:
    """Start `argv` in a session of its own, tied to our life, its output appended to `log_path`.

    `env` is the child's whole environment. `stop_signal` is what ends it cleanly, from `Child.stop`
    or by our death.

    Raises:
        OSError: the program can't be executed, or `cwd` can't be entered. In a namespace the child
            itself tells: exit code 1 and a line in its log.
        subprocess.SubprocessError: the child could not become `inherit.identity`.
    """
    inherit = inherit or Inheritance()
    argv = inherit.identity.command(argv)
    if inherit.guarded:
        argv = (sys.executable, "-m", "workers.embedded.guard", stop_signal.name, *argv)
    log = ChildLog(log_path)
    output = log.open()
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=env,
            cwd=cwd,
            stdin=PIPE if inherit.guarded else DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=inherit.fds,
            preexec_fn=_preparation(inherit, stop_signal),
        )
    finally:
        os.close(output)
    return Child(process, log, stop_signal)


def _preparation(inherit: Inheritance, stop_signal: signal.Signals) -> Callable[[], None]:
    """Return what the child does between fork and exec: change its user, then tie itself to us."""
    become = inherit.identity.become
    if inherit.guarded:
        return become
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent_pid = os.getpid()

    def prepare() -> None:
        become()
        if prctl(PR_SET_PDEATHSIG, int(stop_signal)) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != parent_pid:
            os._exit(1)

    return prepare
