"""A stack's services on an address that other hosts reach, by TCP and with a password.

Our embedded servers listen on the loopback address or a Unix socket only, so relays stand before
them.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg

from tests.s3 import MEDIA_URL, S3
from workers.embedded.sockets import SOCKET_NAME
from workflows.contracts.stack import StackAddress

ROLE, PASSWORD = "hosts", "of one test's hosts"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]


class Seen(NamedTuple):
    """The services as other hosts see them."""

    stack: StackAddress
    s3: Mapping[str, str]
    """The environment of the bucket."""


@asynccontextmanager
async def relayed(local: StackAddress, s3: S3, address: str) -> AsyncGenerator[Seen]:
    """Relays on `address` in front of PostgreSQL, Temporal, the sandbox and the bucket."""
    await _let_hosts_in(local.database)
    socket = Path(parse_qs(urlsplit(local.database).query)["host"][0]) / SOCKET_NAME
    async with AsyncExitStack() as stack:

        async def relay(connect: Connect) -> str:
            server = await asyncio.start_server(_passing_on(connect), address, 0)
            await stack.enter_async_context(server)
            return f"{address}:{server.sockets[0].getsockname()[1]}"

        database = await relay(lambda: asyncio.open_unix_connection(socket))
        temporal = await relay(_on_loopback(f"//{local.temporal}"))
        sandbox = await relay(_on_loopback(local.provider))
        bucket = S3(f"http://{await relay(_on_loopback(s3.url))}")
        yield Seen(
            local.model_copy(
                update={
                    "temporal": temporal,
                    "database": f"postgresql://{ROLE}:{quote(PASSWORD)}@{database}/stillmotion",
                    "media": MEDIA_URL,
                    "provider": f"http://{sandbox}/api/v3",
                    "llm": f"http://{sandbox}/v1",
                    "secret_key_file": None,
                }
            ),
            bucket.environment,
        )


async def _let_hosts_in(database: str) -> None:
    """A role that comes with a password: the socket trusts only whoever may enter its folder."""
    connection = await asyncpg.connect(database)
    try:
        rules = Path(await connection.fetchval("SHOW hba_file"))
        rules.write_text(f"local all {ROLE} scram-sha-256\n{rules.read_text()}", "utf-8")
        await connection.execute(f"CREATE ROLE {ROLE} LOGIN SUPERUSER")
        quoted = await connection.fetchval("SELECT quote_literal($1::text)", PASSWORD)
        await connection.execute(f"ALTER ROLE {ROLE} PASSWORD {quoted}")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


def _on_loopback(url: str) -> Connect:
    port = urlsplit(url).port
    return lambda: asyncio.open_connection("127.0.0.1", port)


def _passing_on(
    connect: Connect,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):  # The relay ends while somebody is connected.
            far_reader, far_writer = await connect()
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    return serve


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # A killed host hangs up as it likes.
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
