"""Runs a sandbox on a socket, as a process or inside another program's event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from workers.sandbox.app import app_of
from workers.sandbox.replies import CUT_EXTENSION
from workers.sandbox.sandbox import opened
from workers.sandbox.settings import SandboxSettings
from workers.sandbox.wire import API

SHUTDOWN_GRACE_S = 1
"""Open requests get this long to end when the sandbox stops."""


@dataclass(frozen=True)
class SandboxAddresses:
    """Base URLs: of the provider's API, and of the chat endpoint."""

    provider: str
    llm: str

    def document(self) -> dict[str, str]:
        """As JSON."""
        return asdict(self)


class CuttableProtocol(H11Protocol):
    """HTTP/1.1 whose application may close the connection: ASGI has no word for that."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*args, **kwargs)
        inner = cast(ASGIApp, self.app)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            extended = {**scope, "extensions": {CUT_EXTENSION: self.transport.close}}
            await inner(extended, receive, send)

        self.app = cast(Any, app)


class _Server(uvicorn.Server):
    """A server that leaves the signals to the program around it and stops at once when told to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        # A tick renews the Date header, which has a resolution of one second.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), timeout=1)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def running(
    settings: SandboxSettings, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[SandboxAddresses]:
    """A sandbox that listens until the block ends. Port 0 takes a free one.

    Raises:
        OSError: the address can't be listened on.
        SandboxBusy: another process uses the data directory.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        # asyncio sets it for sockets of its own only: without it each reply takes 40 ms more.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with opened(settings) as sandbox:
            server = _Server(_config(app_of(sandbox)))
            task = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                while not server.started and not task.done():
                    await asyncio.wait([task], timeout=0.01)
                assert server.started, "the server ended before it listened"
                yield _addresses(host, listener.getsockname()[1])
            finally:
                server.stop()
                await task


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=CuttableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
    )


def _addresses(host: str, port: int) -> SandboxAddresses:
    shown = f"[{host}]" if ":" in host else host
    origin = f"http://{shown}:{port}"
    return SandboxAddresses(provider=f"{origin}{API}", llm=f"{origin}/v1")
