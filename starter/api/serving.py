"""Runs the application on a socket, and stops it so that requests under way are answered."""

import asyncio
import logging
import resource
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from starter.api.connections import KEEP_ALIVE_S, ClientConnection

CONNECTIONS_MAX = 5000
"""Open at once; more are told 503 at once. Streams of events count: one key may have 2,000 of them
(`rates`), and leave room for everybody else. An idle one takes some 20 kB."""

DESCRIPTORS_ELSE = 256
"""Of files, the database, Temporal and the media store."""

DRAIN_S = 10
"""Requests under way get this long to end; each is bounded by its own limits."""

_log = logging.getLogger(__name__)


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
        http=ClientConnection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_connections_max(),
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )


def _connections_max() -> int:
    """How many connections there may be: fewer than wanted where the system allows fewer files.

    Without a descriptor for the next connection the server could not even refuse it.
    """
    wanted = CONNECTIONS_MAX + DESCRIPTORS_ELSE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            _log.warning("room for %d connections only: raise `ulimit -n`", soft - DESCRIPTORS_ELSE)
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(1, min(CONNECTIONS_MAX, soft - DESCRIPTORS_ELSE))
