"""The rows of keys: made, listed, rotated and revoked by operators, found by the HTTP API.

A key may have two secrets for a while after a rotation, so that no request of a running backend is
refused. Making and changing keys needs the owner of the schema; finding them does not.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from activities.access.keys import (
    KEEP_OLD_S,
    KEEP_OLD_S_MAX,
    REQUESTS_PER_MINUTE,
    Key,
    hash_of,
    is_secret,
    new_key_id,
    new_secret,
)
from activities.database.pool import Connection, Pool, Row
from activities.database.statements import statements
from workflows.contracts.requests import Source

SQL = statements("activities.access", "queries.sql")


class NameTaken(ValueError):
    """Another key has that name. Choose another one, or revoke or rotate that key."""

    def __init__(self, name: str) -> None:
        super().__init__(f"a key named {name!r} is there already")
        self.name = name


class UnknownKey(LookupError):
    """No key has that id or name, or it was revoked. `stillmotion keys list` shows them."""


class NewKey(NamedTuple):
    """A key and its secret, which is stored nowhere: to be shown once."""

    key: Key
    secret: str


class Rotated(NamedTuple):
    """A key and its new secret, which is stored nowhere: to be shown once."""

    key: Key
    secret: str
    old_until: datetime | None
    """Until when a secret before it is good; None where it ended now."""


class ListedKey(Key):
    """A key as operators see it."""

    made_at: datetime
    revoked_at: datetime | None
    """None = it is good."""
    secret_made_at: datetime | None
    """When the newest secret was made; None where the key was revoked."""
    old_secret_until: datetime | None
    """Until when a secret before the newest one is good too; None where there is none."""


async def find(pool: Pool, secret: str) -> Key | None:
    """The key of a secret; None where it is unknown, has ended or was revoked.

    Which of these it is takes the same work. What doesn't even look like a secret costs no query.
    """
    if not is_secret(secret):
        return None
    row = await pool.fetchrow(SQL["find"], hash_of(secret))
    return _key(row) if row is not None else None


async def find_by_id(pool: Pool, key_id: str) -> Key | None:
    """A key by its id, for whoever showed its secret before; None where it was revoked."""
    row = await pool.fetchrow(SQL["find_by_id"], key_id)
    return _key(row) if row is not None else None


async def make(
    pool: Pool,
    name: str,
    sources: Sequence[Source | str],
    *,
    user_id: str | None = None,
    requests_per_minute: int = REQUESTS_PER_MINUTE,
) -> NewKey:
    """A new key.

    Args:
        pool: As the owner of the schema.
        name: What people call it; no two good keys have the same.
        sources: Which products it asks for; the first is the default.
        user_id: The one user that it acts for; None = whoever each request names.
        requests_per_minute: How fast it may ask.

    Raises:
        NameTaken: another key is called so.
        pydantic.ValidationError: one of the values can't be what it should.
    """
    key = Key.model_validate(
        {
            "key_id": new_key_id(),
            "name": name,
            "sources": tuple(dict.fromkeys(sources)),
            "user_id": user_id,
            "requests_per_minute": requests_per_minute,
        }
    )
    secret = new_secret()
    async with pool.acquire() as connection, connection.transaction():
        values = (key.key_id, key.name, list(key.sources), key.user_id, key.requests_per_minute)
        if await connection.fetchval(SQL["add_key"], *values) is None:
            raise NameTaken(name)
        await connection.execute(SQL["add_secret"], hash_of(secret), key.key_id)
    return NewKey(key, secret)


async def listed(pool: Pool) -> list[ListedKey]:
    """Every key: those that are good first, the newest first."""
    return [ListedKey(**dict(row)) for row in await pool.fetch(SQL["list"])]


async def rotate(pool: Pool, key: str, *, keep_old_s: int = KEEP_OLD_S) -> Rotated:
    """A new secret for a key.

    Args:
        pool: As the owner of the schema.
        key: Its id or name.
        keep_old_s: For how long the secret before is good beside it, 0 to 30 days; what an earlier
            rotation left stays no longer for it. 0 ends it now.

    Raises:
        UnknownKey: there is none, or it was revoked.
        ValueError: `keep_old_s` is something else.
    """
    if not 0 <= keep_old_s <= KEEP_OLD_S_MAX:
        raise ValueError(f"keep_old_s: {keep_old_s}; allowed: 0 to {KEEP_OLD_S_MAX}")
    secret = new_secret()
    async with pool.acquire() as connection, connection.transaction():
        found = await _lock(connection, key)
        if found["revoked_at"] is not None:
            raise UnknownKey(f"{found['key_id']} was revoked: make a new one")
        key_id, keep = found["key_id"], timedelta(seconds=keep_old_s)
        ends = [row["ends_at"] for row in await connection.fetch(SQL["end_secrets"], key_id, keep)]
        await connection.execute(SQL["forget_ended"], key_id)
        await connection.execute(SQL["add_secret"], hash_of(secret), key_id)
    return Rotated(_key(found), secret, max(ends, default=None) if keep_old_s else None)


async def revoke(pool: Pool, key: str) -> Key:
    """End a key at once, with all its secrets; for one that was revoked nothing changes.

    A process of the API that knows it goes on for seconds (`starter.api.keyring`).

    Raises:
        UnknownKey: there is none.
    """
    async with pool.acquire() as connection, connection.transaction():
        found = await _lock(connection, key)
        await connection.execute(SQL["revoke"], found["key_id"])
        await connection.execute(SQL["forget_secrets"], found["key_id"])
    return _key(found)


async def forget(connection: Connection, user_id: str) -> int:
    """Delete the keys that act for one user alone, where that user is erased; how many there were.

    To be called in the transaction that erases the rest, as the owner of the schema.
    """
    await connection.execute(SQL["forget_secrets_of_user"], user_id)
    # The command tag is such as `DELETE 3`.
    status = await connection.execute(SQL["forget_keys_of_user"], user_id)
    return int(status.rpartition(" ")[2])


async def _lock(connection: Connection, key: str) -> Row:
    row = await connection.fetchrow(SQL["lock"], key)
    if row is None:
        raise UnknownKey(f"no key has the id or name {key!r}")
    return row


def _key(row: Row) -> Key:
    return Key(**{name: row[name] for name in Key.model_fields})
