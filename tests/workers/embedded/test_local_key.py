"""The API key of `stillmotion dev`: in a file that only its owner reads, and always a good one."""

import stat
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from activities.access import repository as access
from activities.access.keys import Key
from activities.database.migrations import migrate
from activities.database.pool import Pool, connect
from activities.database.settings import DatabaseSettings
from workers.embedded.locking import DataDirectory
from workers.embedded.postgres import EmbeddedPostgres
from workers.local_key import KEY_FILE, local_key
from workflows.contracts.requests import Source


@pytest.fixture
async def dsn(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """The address of a migrated database of its own."""
    name = f"local_key_{uuid.uuid4().hex[:8]}"
    url = postgres.dsn.replace("/stillmotion?", f"/{name}?", 1)
    server = await asyncpg.connect(postgres.dsn)
    await server.execute(f"CREATE DATABASE {name}")
    connection = await asyncpg.connect(url)
    await migrate(connection)
    await connection.close()
    yield url
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@asynccontextmanager
async def pool_of(dsn: str) -> AsyncGenerator[Pool]:
    settings = DatabaseSettings(database_url=SecretStr(dsn), database_connections_max=1)
    async with connect(settings) as pool:
        yield pool


async def started(data_path: Path, dsn: str) -> str:
    """The secret that the file holds after a start."""
    async with DataDirectory(data_path) as directory:
        path = await local_key(directory, dsn)
    assert path == data_path / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text("ascii").strip()


async def known(dsn: str, secret: str) -> Key | None:
    """The key of a secret, as the API finds it."""
    async with pool_of(dsn) as pool:
        return await access.find(pool, secret)


async def test_it_is_made_once_and_asks_for_every_product_of_the_local_user(
    data_path: Path, dsn: str
) -> None:
    first = await started(data_path, dsn)
    second = await started(data_path, dsn)

    assert second == first
    key = await known(dsn, first)
    assert key is not None
    assert (key.name, key.user_id) == ("local", "local")
    assert set(key.sources) == set(Source)
    assert key.sources[0] is Source.API


@pytest.mark.parametrize(
    "damaged",
    [None, b"sm_" + b"A" * 43, b"\xff\x00", b""],
    ids=["lost", "another", "no text", "empty"],
)
async def test_a_file_that_says_something_else_is_replaced_and_the_key_before_it_is_revoked(
    data_path: Path, dsn: str, damaged: bytes | None
) -> None:
    before = await started(data_path, dsn)
    path = data_path / KEY_FILE
    path.unlink() if damaged is None else path.write_bytes(damaged)

    after = await started(data_path, dsn)

    assert await known(dsn, after) is not None
    assert await known(dsn, before) is None


async def test_a_key_that_was_revoked_is_replaced(data_path: Path, dsn: str) -> None:
    before = await started(data_path, dsn)
    async with pool_of(dsn) as pool:
        await access.revoke(pool, "local")

    after = await started(data_path, dsn)

    assert after != before
    assert await known(dsn, after) is not None


async def test_another_key_in_the_file_is_not_taken_for_it_and_stays_good(
    data_path: Path, dsn: str
) -> None:
    await started(data_path, dsn)
    async with pool_of(dsn) as pool:
        anns = await access.make(pool, "shop", [Source.API], user_id="ann")
    (data_path / KEY_FILE).write_text(anns.secret)

    after = await started(data_path, dsn)

    assert after != anns.secret
    assert await known(dsn, anns.secret) == anns.key
