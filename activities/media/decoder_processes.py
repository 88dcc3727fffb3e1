"""Processes that decode one file each: started anew, or forked from a host that has all loaded.

Whoever decodes now and then starts one (`start_process`, some 100 ms of CPU). A worker decodes each
video that it downloads, and keeps a host for it (`Decoders`, some 10 ms each).
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, Self

# No home, no path, no proxies, no keys. One malloc arena a thread would eat the address space.
ENVIRONMENT = {"LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2"}

_STOP_S = 10.0
_CODE_BYTES_MAX = 16


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


class _Forked:
    """A child of the host. Our half of its socket is what it, and the host, live by."""

    def __init__(self, asked: socket.socket, kill_host: Callable[[], None]) -> None:
        self._asked = asked
        self._kill_host = kill_host
        self._code: int | None = None
        self._transports: list[asyncio.ReadTransport] = []
        self.stdout, self.stderr = asyncio.StreamReader(), asyncio.StreamReader()

    async def read_from(self, output: int, errors: int) -> None:
        """Take the reading ends of its pipes."""
        for reader, descriptor in ((self.stdout, output), (self.stderr, errors)):
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda reader=reader: asyncio.StreamReaderProtocol(reader),
                os.fdopen(descriptor, "rb", 0),
            )
            self._transports.append(transport)

    async def wait(self) -> int:
        if self._code is None:
            told = await asyncio.get_running_loop().sock_recv(self._asked, _CODE_BYTES_MAX)
            # A host that was killed tells nothing, and its children are killed with it.
            self._code = int(told) if told else -signal.SIGKILL
        return self._code

    async def end(self) -> None:
        if self._code is None:
            # The host kills the child and says so. One that doesn't is frozen.
            self._asked.shutdown(socket.SHUT_WR)
            try:
                async with asyncio.timeout(_STOP_S):
                    await self.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    self._kill_host()
                await self.wait()
        self.let_go()

    def let_go(self) -> None:
        """Close what is ours of it."""
        self._asked.close()
        for transport in self._transports:
            transport.close()


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
    """

    def __init__(self) -> None:
        self._host: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._host is not None:
            await self._stop(self._host)

    async def start(self, arguments: Sequence[str]) -> DecoderProcess:
        """As `start_process`. Where there is no way to fork from a host, that is what it does."""
        if not _can_fork():
            return await start_process(arguments)
        control, kill_host = await self._ready()
        asked, given = socket.socketpair()
        output, write_output = os.pipe()
        errors, write_errors = os.pipe()
        asked.setblocking(False)  # noqa: FBT003 - its only parameter
        forked = _Forked(asked, kill_host)
        await forked.read_from(output, errors)
        try:
            ends = [given.fileno(), write_output, write_errors]
            socket.send_fds(control, [json.dumps(list(arguments)).encode()], ends)
        except OSError:
            # The host has just died, or is frozen and its socket full: this file needs none.
            forked.let_go()
            return await start_process(arguments)
        finally:
            given.close()
            os.close(write_output)
            os.close(write_errors)
        return forked

    async def _ready(self) -> tuple[socket.socket, Callable[[], None]]:
        """The host's socket, and what kills the host."""
        async with self._starting:
            if self._host is not None and self._host.returncode is not None:
                await self._stop(self._host)
            if self._control is None:
                ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                ours.setblocking(False)  # noqa: FBT003 - its only parameter
                with its:
                    self._host = await asyncio.create_subprocess_exec(
                        *(sys.executable, "-I", "-m", "activities.media.decoder_host"),
                        stdin=its.fileno(),
                        stdout=asyncio.subprocess.DEVNULL,
                        env=ENVIRONMENT,
                        cwd="/",
                        start_new_session=True,
                    )
                self._control = ours
            assert self._host is not None, "started above, or before"
            return self._control, self._host.kill

    async def _stop(self, host: asyncio.subprocess.Process) -> None:
        """Let the host end by itself, as it does without its socket."""
        assert self._control is not None, "a host has a socket"
        self._control.close()
        try:
            async with asyncio.timeout(_STOP_S):
                await host.wait()
        except TimeoutError:
            host.kill()
            await host.wait()
        self._host = self._control = None
