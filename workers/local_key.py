"""The API key of `stillmotion dev`: made by itself, for its one user, and kept in its folder."""

import asyncio
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from activities.access import repository as access
from activities.database.pool import Pool, connect
from activities.database.settings import DatabaseSettings
from workers.embedded.locking import DataDirectory
from workers.kept_keys import write_secret
from workflows.contracts.requests import Source

LOCAL_USER = "local"
KEY_NAME = "local"
KEY_FILE = "api.key"
"""In the data directory, readable by its owner only."""

REQUESTS_PER_MINUTE = 6_000
"""Each poster of the page is a request, and nobody shares it: only a loop gone wild is stopped."""

# The first is what is started as where nothing else is said.
_SOURCES = (Source.API, *(source for source in Source if source is not Source.API))


async def local_key(directory: DataDirectory, dsn: str) -> Path:
    """The file of a secret that is good at this stack's API, for every product of the user `local`.

    Where file and database disagree - the key was revoked, the file lost or changed - neither is
    believed: there is a new key then, and the one before it is revoked.

    Raises:
        DatabaseUnreachable: PostgreSQL does not answer.
        OSError: the file can't be read or written.
    """
    path = directory.path / KEY_FILE
    settings = DatabaseSettings(database_url=SecretStr(dsn), database_connections_max=1)
    async with connect(settings) as pool:
        if not await _is_good(pool, path):
            write_secret(path, await _new_secret(pool))
    return path


async def _is_good(pool: Pool, path: Path) -> bool:
    try:
        secret = (await asyncio.to_thread(path.read_text, "ascii")).strip()
    except (FileNotFoundError, ValueError):
        return False
    found = await access.find(pool, secret)
    return found is not None and (found.name, found.user_id) == (KEY_NAME, LOCAL_USER)


async def _new_secret(pool: Pool) -> str:
    with suppress(access.UnknownKey):
        await access.revoke(pool, KEY_NAME)
    made = await access.make(
        pool,
        KEY_NAME,
        _SOURCES,
        user_id=LOCAL_USER,
        requests_per_minute=REQUESTS_PER_MINUTE,
    )
    return made.secret
