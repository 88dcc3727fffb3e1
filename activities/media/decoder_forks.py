"""A decoder that the host has forked, as its worker sees it, and whether to ask that host at all.

Who answers for a file is the child; the host only says that there is one, and how it ended. A host
that says neither has failed.
"""

import asyncio
import math
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import structlog

HOST_PAUSE_S = 60.0
"""How long a host that failed is left alone: a start in vain for each video would cost more."""

FORKED_WITHIN_S = 30.0
"""It loads the decoders in less than a second, and forks in some milliseconds."""

STOP_S = 10.0
"""Who has not ended this long after it was told to is killed."""

_FORKED = b"forked"
_TOLD_BYTES_MAX = 16

log = structlog.get_logger()


class HostTrust:
    """Whether the host may be used: not for a while after it failed, which is logged once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed_until = -math.inf
        self._is_told = False

    def is_given(self) -> bool:
        """Whether it has not failed of late."""
        return self._clock() >= self._failed_until

    def lose(self, why: str) -> None:
        """It has failed."""
        self._failed_until = self._clock() + HOST_PAUSE_S
        if not self._is_told:
            log.warning(
                "no decoder host: each file has a process of its own",
                why=why,
                tried_again_after_s=HOST_PAUSE_S,
            )
        self._is_told = True

    def regain(self) -> None:
        """It has seen a decoder through."""
        if self._is_told and self.is_given():
            log.info("the decoder host works again")
            self._is_told = False


class Forked:
    """A child of the host. Our half of its socket is what it, and the host, live by."""

    def __init__(
        self, asked: socket.socket, kill_host: Callable[[], None], trust: HostTrust
    ) -> None:
        self._asked = asked
        self._kill_host = kill_host
        self._trust = trust
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

    async def is_begun(self) -> bool:
        """Whether the host has forked it; False where it died, is frozen, or could not."""
        try:
            async with asyncio.timeout(FORKED_WITHIN_S):
                return await self._told() == _FORKED
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._kill_host()
            return False

    async def wait(self) -> int:
        """As a `DecoderProcess`; minus SIGKILL's number where the host died with it."""
        if self._code is None:
            told = await self._told()
            if told == _FORKED:
                # It was cancelled before it could hear that.
                told = await self._told()
            # A host that was killed tells nothing, and its children are killed with it.
            self._code = int(told) if told else -signal.SIGKILL
            if told:
                self._trust.regain()
            else:
                self._trust.lose("it died with a decoder")
        return self._code

    async def _told(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._asked, _TOLD_BYTES_MAX)

    async def end(self) -> None:
        """As a `DecoderProcess`."""
        if self._code is None:
            # The host kills the child and says so. One that doesn't is frozen.
            self._asked.shutdown(socket.SHUT_WR)
            try:
                async with asyncio.timeout(STOP_S):
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
