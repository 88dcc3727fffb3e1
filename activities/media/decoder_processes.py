"""Processes that decode one file each: started anew, or forked from a host that has all loaded.

Whoever decodes now and then starts one (`start_process`, some 100 ms of CPU). A worker decodes each
video that it downloads, and keeps a host for it (`Decoders`, some 10 ms each). A host that fails
is no reason for a video to: it is left alone for a while, and each file has its own process then.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol, Self

from activities.media.decoder_forks import STOP_S, Forked, HostTrust

# No home, no path, no proxies, no keys. One malloc arena a thread would eat the address space.
ENVIRONMENT = {"LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2"}

HOST = (sys.executable, "-I", "-m", "activities.media.decoder_host")


class DecoderProcess(Protocol):
    """One running decoder."""

    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    async def wait(self) -> int:
        """Its exit code; minus the signal's number when one ended it."""
        ...

    async def end(self) -> None:
        """Kill it unless it has ended, and let go of what belongs to it."""
        ...


class _Started:
    """A process of its own from the beginning. It ends with us, since its stdin closes then."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._process = process
        self._stdin = process.stdin
        self.stdout, self.stderr = process.stdout, process.stderr

    async def wait(self) -> int:
        return await self._process.wait()

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._stdin.close()


async def start_process(arguments: Sequence[str]) -> DecoderProcess:
    """Start a decoder with a bare environment, far from our folder; `arguments` are its own."""
    return _Started(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "activities.media.decoder"),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    )


def _can_fork() -> bool:
    """Whether the system has what the host needs: Linux, whose containers may forbid it."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


class Decoders:
    """Forks decoders from a host, which is started when it is first needed, and again if it died.

    One event loop uses it: `async with Decoders() as decoders`.

    Args:
        host: The command of the host.
        clock: Seconds that only grow.
    """

    def __init__(
        self, *, host: Sequence[str] = HOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._command = host
        self._trust = HostTrust(clock)
        self._host: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._host is not None:
            await self._stop(self._host)

    async def start(self, arguments: Sequence[str]) -> DecoderProcess:
        """As `start_process`, which it does where no host can be had or could fork for it."""
        if not _can_fork() or not self._trust.is_given():
            return await start_process(arguments)
        try:
            forked = await self._sent(arguments)
        except OSError as error:
            self._trust.lose(error.strerror or type(error).__name__)
            return await start_process(arguments)
        try:
            is_begun = await forked.is_begun()
        except BaseException:  # Also when cancelled.
            await forked.end()
            raise
        if is_begun:
            return forked
        forked.let_go()
        self._trust.lose("it forked nothing")
        return await start_process(arguments)

    async def _sent(self, arguments: Sequence[str]) -> Forked:
        """Send a job to the host.

        Raises:
            OSError: the host can't be started, has just died, or is frozen and its socket full.
        """
        control, kill_host = await self._ready()
        asked, given = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        output, write_output = os.pipe()
        errors, write_errors = os.pipe()
        asked.setblocking(False)  # noqa: FBT003 - its only parameter
        forked = Forked(asked, kill_host, self._trust)
        try:
            await forked.read_from(output, errors)
            ends = [given.fileno(), write_output, write_errors]
            socket.send_fds(control, [json.dumps(list(arguments)).encode()], ends)
        except BaseException:  # Also when cancelled.
            forked.let_go()
            raise
        finally:
            given.close()
            os.close(write_output)
            os.close(write_errors)
        return forked

    async def _ready(self) -> tuple[socket.socket, Callable[[], None]]:
        """The host's socket, and what kills the host.

        Raises:
            OSError: it can't be started.
        """
        async with self._starting:
            if self._host is not None and self._host.returncode is not None:
                await self._stop(self._host)
            if self._control is None:
                self._host, self._control = await self._start_host()
            assert self._host is not None, "started above, or before"
            return self._control, self._host.kill

    async def _start_host(self) -> tuple[asyncio.subprocess.Process, socket.socket]:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003 - its only parameter
        with its:
            try:
                host = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=its.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    env=ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,
                )
            except BaseException:  # Also when cancelled.
                ours.close()
                raise
        return host, ours

    async def _stop(self, host: asyncio.subprocess.Process) -> None:
        """Let the host end by itself, as it does without its socket."""
        assert self._control is not None, "a host has a socket"
        self._control.close()
        try:
            async with asyncio.timeout(STOP_S):
                await host.wait()
        except TimeoutError:
            host.kill()
            await host.wait()
        self._host = self._control = None
