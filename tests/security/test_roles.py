"""What the starter's database role may do: exactly this list, by asking PostgreSQL and by trying.

Whoever holds that role alone can claim generations, tell wrong stages and hide assets. They can't
spend, settle, change a plan or touch what was submitted.
"""

import secrets
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, NamedTuple

import asyncpg
import pytest
from pydantic import SecretStr

from activities.database.migrations import migrate
from activities.database.pool import STARTER_ROLE, Pool, connect
from activities.database.settings import DatabaseSettings

if TYPE_CHECKING:
    from workers.embedded.postgres import EmbeddedPostgres

ALL = "every column"

MAY_INSERT = {
    "generations": ALL,
    "events": ALL,
    "media": ALL,
    "batches": (
        "batch_id user_id idempotency_key request_hash source max_parallel max_cost_usd_micros"
        " redo_of"
    ),
    "batch_items": "batch_id position generation_id request",
}
MAY_UPDATE = {
    "generations": (
        "stage stage_at last_seq request_hash request operation source model failure completed_at"
        " created_at idempotency_key"
    ),
    "media": "used_at",
    "assets": "title description tags deleted_at favorite",
    "batches": (
        "request_hash source max_parallel max_cost_usd_micros redo_of state failure created_at"
        " completed_at"
    ),
}
MAY_DELETE = {"media", "batch_items"}
MAY_NOT_READ = {
    ("callback_secrets", "secret"),
    ("callback_secrets", "previous"),
    ("callback_secrets", "previous_expires_at"),
}

MONEY_AND_WORK = (
    *("plans", "subscriptions", "balances", "spending", "reservations", "ledger", "bills"),
    *("submissions", "submission_attempts", "findings", "sweeps", "pacing", "deployment"),
    *("callbacks", "callback_secrets", "erasures", "api_keys", "api_secrets"),
)
"""Of these it may read at most."""

COLUMNS = """
SELECT c.relname AS table, a.attname AS column,
       has_column_privilege($1, c.oid, a.attnum, 'SELECT') AS reads,
       has_column_privilege($1, c.oid, a.attnum, 'INSERT') AS inserts,
       has_column_privilege($1, c.oid, a.attnum, 'UPDATE') AS updates,
       has_column_privilege($1, c.oid, a.attnum, 'REFERENCES') AS refers
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND a.attnum > 0 AND NOT a.attisdropped
"""
TABLES = """
SELECT relname AS table, has_table_privilege($1, oid, 'DELETE') AS deletes,
       has_table_privilege($1, oid, 'TRUNCATE') AS truncates,
       has_table_privilege($1, oid, 'TRIGGER') AS triggers
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
"""

BEYOND_TABLES = [
    "CREATE TABLE mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION dblink",
    "CREATE ROLE mine",
    "ALTER TABLE ledger DISABLE TRIGGER append_only",
    "ALTER TABLE plans OWNER TO stillmotion_starter",
    "DROP TRIGGER kept_once_made ON batch_items",
    "SET session_replication_role = replica",
    "COPY generations TO PROGRAM 'id'",
    "COPY generations FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM pg_authid",
    "SELECT pg_reload_conf()",
    "ALTER SYSTEM SET log_statement = 'all'",
    "DROP TABLE ledger CASCADE",
]


class Doors(NamedTuple):
    """A migrated database: as its owner, and as somebody who can log in as the starter alone."""

    owner: Pool
    starter: Pool


@pytest.fixture(scope="module")
async def doors(postgres: "EmbeddedPostgres") -> AsyncIterator[Doors]:
    name = f"roles_{secrets.token_hex(4)}"
    server = await asyncpg.connect(postgres.dsn)
    await server.execute(f"CREATE DATABASE {name}")
    url = postgres.dsn.replace("/stillmotion?", f"/{name}?", 1)
    connection = await asyncpg.connect(url)
    await migrate(connection)
    await connection.execute(f"CREATE ROLE {name} LOGIN IN ROLE {STARTER_ROLE}")
    await connection.close()
    try:
        owner, alone = _settings(url), _settings(_as_user(url, name))
        async with connect(owner) as pool, connect(alone, role=STARTER_ROLE) as starter:
            yield Doors(pool, starter)
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.execute(f"DROP ROLE {name}")
        await server.close()


def _settings(url: str) -> DatabaseSettings:
    return DatabaseSettings(database_url=SecretStr(url), database_connections_max=2)


def _as_user(url: str, user: str) -> str:
    scheme, rest = url.split("://")
    return f"{scheme}://{user}@{rest.rpartition('@')[2]}"


def _listed(tables: dict[str, str], rows: Iterable[asyncpg.Record]) -> set[tuple[str, str]]:
    """The columns that a list names, `ALL` written out."""
    return {
        (row["table"], row["column"])
        for row in rows
        if tables.get(row["table"]) == ALL or row["column"] in tables.get(row["table"], "").split()
    }


async def test_it_may_write_these_columns_and_no_others(doors: Doors) -> None:
    rows = await doors.owner.fetch(COLUMNS, STARTER_ROLE)

    inserts, updates, refers = (
        {(row["table"], row["column"]) for row in rows if row[right]}
        for right in ("inserts", "updates", "refers")
    )
    assert inserts == _listed(MAY_INSERT, rows)
    assert updates == _listed(MAY_UPDATE, rows)
    assert refers == set()


async def test_it_may_delete_these_rows_and_empty_no_table(doors: Doors) -> None:
    rows = await doors.owner.fetch(TABLES, STARTER_ROLE)

    assert {row["table"] for row in rows if row["deletes"]} == MAY_DELETE
    assert [row["table"] for row in rows if row["truncates"] or row["triggers"]] == []


async def test_it_reads_everything_but_the_sealed_secrets(doors: Doors) -> None:
    rows = await doors.owner.fetch(COLUMNS, STARTER_ROLE)

    hidden = {(row["table"], row["column"]) for row in rows if not row["reads"]}
    # The record of migrations is the operator's.
    assert {each for each in hidden if each[0] != "migrations"} == MAY_NOT_READ


async def test_every_table_is_judged_here(doors: Doors) -> None:
    tables = {row["table"] for row in await doors.owner.fetch(TABLES, STARTER_ROLE)}

    known = {*MONEY_AND_WORK, *MAY_INSERT, *MAY_UPDATE, *MAY_DELETE}
    assert tables - known == {"migrations", "generations_read"}
    assert known <= tables


@pytest.mark.parametrize("table", MONEY_AND_WORK)
async def test_trying_to_write_money_plans_or_work_is_refused(doors: Doors, table: str) -> None:
    column = await doors.owner.fetchval(
        "SELECT column_name FROM information_schema.columns WHERE table_name = $1"
        " AND is_generated = 'NEVER' AND is_identity = 'NO' LIMIT 1",
        table,
    )

    for statement in (
        f"INSERT INTO {table} ({column}) SELECT {column} FROM {table}",
        f"UPDATE {table} SET {column} = {column}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
        f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
        f"SELECT {column} FROM {table} FOR UPDATE",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await doors.starter.execute(statement)


@pytest.mark.parametrize("statement", BEYOND_TABLES)
async def test_it_may_do_nothing_to_the_server_or_the_schema(doors: Doors, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await doors.starter.execute(statement)


async def test_a_login_of_that_role_alone_can_not_become_more(doors: Doors) -> None:
    owner = await doors.owner.fetchval("SELECT current_user")
    async with doors.starter.acquire() as connection:
        login = await connection.fetchval("SELECT session_user")

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f'SET ROLE "{owner}"')
        await connection.execute("RESET ROLE")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE plans SET videos_limit = NULL")

    assert login != owner
