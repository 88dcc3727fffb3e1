"""Runs the application on a socket, and stops it so that requests under way are answered."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS_MAX = 1000
"""Open at once; more are told 503 at once. Each may have a megabyte of body in memory."""

DRAIN_S = 10
"""Requests under way get this long to end; each is bounded by its own limits."""


class CannotListen(Exception):
    """The address can't be listened on. The message names the flags, and why."""


class _Server(uvicorn.Server):
    """A server that leaves the signals to the program: its own way out is to die of them again."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listener_at(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. The caller closes it.

    Raises:
        CannotListen: the address is taken, or not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        # `create_server` adds the address to the system's words.
        why = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
        raise CannotListen(f"--host {host} --port {port}: {why}.") from error
    # asyncio sets it for sockets of its own only: without it a kept connection waits 40 ms a reply.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _QuietProtocol(H11Protocol):
    """HTTP/1.1 that writes no line for a request, whatever handlers uvicorn's loggers are given.

    Addresses hold tokens: what is logged of a request is what its route says itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed through
        super().__init__(*args, **kwargs)
        self.access_log = False


@asynccontextmanager
async def served(app: FastAPI, listener: socket.socket) -> AsyncGenerator[str]:
    """The application, served for the time of the block; its origin."""
    server = _Server(_config(app))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not task.done():
            await asyncio.wait([task], timeout=0.01)
        assert server.started, "the server ended before it listened"
        host, port, *_ = listener.getsockname()
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_QuietProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=DRAIN_S,
    )
