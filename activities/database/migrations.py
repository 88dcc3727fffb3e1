"""Numbered plain-SQL migrations, each in one transaction, one runner at a time.

`NNNN_name.sql` under `migrations/`, applied in order and recorded with a checksum: an applied file
that was edited later is refused, since two databases would then differ without a trace.
"""

import hashlib
from importlib import resources
from typing import NamedTuple

from activities.database.pool import Connection

_LOCK = 7_319_003_501_442_218_605
"""An advisory lock of our own: any constant that nobody else uses."""


class Migration(NamedTuple):
    """One file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Hex sha256 of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


class MigrationChanged(Exception):
    """An applied migration's file was edited. Restore it, and add a new one instead."""


def all_migrations() -> tuple[Migration, ...]:
    """Every migration that this code knows, in order."""
    folder = resources.files("activities.database") / "migrations"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name
    )
    return tuple(
        Migration(int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text("utf-8"))
        for file in files
    )


async def pending(connection: Connection) -> tuple[Migration, ...]:
    """The migrations that `migrate` would apply.

    Raises:
        MigrationChanged: an applied one was edited.
    """
    applied = await _applied(connection)
    for migration in all_migrations():
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise MigrationChanged(f"{migration.name}: its file was changed after it was applied")
    return tuple(m for m in all_migrations() if m.number not in applied)


async def migrate(connection: Connection) -> tuple[Migration, ...]:
    """Apply what is pending, and return it. Safe to call from several processes at once.

    Raises:
        MigrationChanged: an applied one was edited; nothing is applied.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY, name text NOT NULL,"
            " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        due = await pending(connection)
        for migration in due:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO migrations (number, name, checksum) VALUES ($1, $2, $3)",
                    migration.number,
                    migration.name,
                    migration.checksum,
                )
        return due
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _applied(connection: Connection) -> dict[int, str]:
    if await connection.fetchval("SELECT to_regclass('public.migrations')") is None:
        return {}
    rows = await connection.fetch("SELECT number, checksum FROM migrations")
    return {row["number"]: row["checksum"] for row in rows}
