"""The codec server as a process, which `stillmotion codec-server` becomes."""

import asyncio
import ipaddress
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette

from activities.encryption.codec import EncryptionCodec
from activities.encryption.keys import MAKE_ONE
from activities.encryption.settings import CodecServerSettings, EncryptionSettings
from workers.codec_server.app import Access, create_app

CONNECTIONS_MAX = 100
"""Open at once; each may have eight megabytes of body in memory."""

STOP_S = 2


class CannotServe(ValueError):
    """A setting is missing, or the address can't be listened on. The message names it."""


class _Server(uvicorn.Server):
    """A server that leaves the signals to the program."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve(host: str, port: int, origin: str | None, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is called with the address once it listens.

    Args:
        host: The address to listen on.
        port: 0 takes a free one.
        origin: Of the Web UI, where STILLMOTION_CODEC_ORIGINS names none.
        announce: Called once.

    Raises:
        CannotServe: a token or the keys are missing, or the address is taken.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = _app(host, origin)
    with _listener(host, port) as listener:
        async with _served(app, listener) as address:
            announce(address)
            await stop.wait()


def _app(host: str, origin: str | None) -> Starlette:
    keys, settings = EncryptionSettings().keys(), CodecServerSettings()
    if keys is None:
        raise CannotServe(
            "STILLMOTION_PAYLOAD_KEYS: not set, so there is nothing to decrypt; allowed:"
            f" ID:BASE64,ID:BASE64; {MAKE_ONE}."
        )
    if settings.codec_token is None and not _is_loopback(host):
        raise CannotServe(
            f"STILLMOTION_CODEC_TOKEN: not set, and others reach --host {host}; allowed: a token of"
            " 16 characters and more, or a loopback address. `openssl rand -hex 32` makes a token."
        )
    token = settings.codec_token.get_secret_value() if settings.codec_token else None
    origins = settings.codec_origins or ((origin,) if origin else ())
    return create_app(EncryptionCodec(keys), Access(token, origins))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, UnicodeError, OverflowError) as error:
        why = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
        raise CannotServe(f"--host {host} --port {port}: {why}.") from error
    # asyncio sets it for sockets of its own only: without it a kept connection waits 40 ms a reply.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@asynccontextmanager
async def _served(app: Starlette, listener: socket.socket) -> AsyncGenerator[str]:
    server = _Server(
        uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=STOP_S,
        )
    )
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
