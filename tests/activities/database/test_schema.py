"""The invariants that the schema keeps by itself, and what the starter's role may do."""

from contextlib import nullcontext

import asyncpg
import pytest

from activities.database.pool import Pool
from activities.database.statements import statements
from activities.generations import repository as generations
from tests.activities.conftest import a_generation, a_request

PACKAGES = [
    ("activities.access", "queries.sql"),
    ("activities.batches", "queries.sql"),
    ("activities.callbacks", "queries.sql"),
    ("activities.generations", "following.sql"),
    ("activities.generations", "queries.sql"),
    ("activities.ledger", "daily.sql"),
    ("activities.ledger", "queries.sql"),
    ("activities.library", "queries.sql"),
    ("activities.media", "queries.sql"),
    ("activities.prompts", "queries.sql"),
    ("activities.provider", "submissions.sql"),
]
ENTER = (
    "INSERT INTO ledger (generation_id, account, kind, balance_id) VALUES ('gen_one', $1, $2, $3)"
)
EVERY_STATEMENT = [
    pytest.param(sql, id=f"{package}-{name}")
    for package, file in PACKAGES
    for name, sql in statements(package, file).items()
]


@pytest.mark.parametrize("sql", EVERY_STATEMENT)
def test_every_statement_says_what_it_is_for(sql: str) -> None:
    assert sql.startswith("-- ")
    assert sql.endswith(";")


async def test_postgresql_understands_every_statement(database: Pool) -> None:
    async with database.acquire() as connection:
        for parameter in EVERY_STATEMENT:
            (sql,) = parameter.values
            assert isinstance(sql, str)
            await connection.prepare(sql)


async def test_periods_of_one_user_never_overlap(database: Pool) -> None:
    insert = "INSERT INTO balances (user_id, period) VALUES ($1, tstzrange($2, $3, '[)'))"
    async with database.acquire() as connection:
        october, november, december = [
            await connection.fetchval(f"SELECT timestamptz '2026-{month}-01 00:00 UTC'")
            for month in (10, 11, 12)
        ]
    await database.execute(insert, "ann", october, november)

    await database.execute(insert, "ann", november, december)
    await database.execute(insert, "bob", october, december)
    with pytest.raises(asyncpg.ExclusionViolationError):
        await database.execute(insert, "ann", october, december)


@pytest.mark.parametrize("bounds", ["[]", "()", "(]"])
async def test_a_period_is_open_at_its_end_only(database: Pool, bounds: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute(
            "INSERT INTO balances (user_id, period)"
            " VALUES ('ann', tstzrange('2026-10-01', '2026-11-01', $1))",
            bounds,
        )


@pytest.mark.parametrize(
    "entries",
    [
        [("user", "reserve"), ("user", "reserve")],
        [("user", "settle"), ("user", "settle")],
        [("user", "settle"), ("user", "release")],
        [("house", "settle"), ("house", "settle")],
    ],
    ids=str,
)
async def test_a_hold_begins_once_and_ends_once(
    database: Pool, entries: list[tuple[str, str]]
) -> None:
    await a_generation(database)
    await database.execute("ALTER TABLE ledger DISABLE TRIGGER append_only")
    await database.execute("DELETE FROM ledger")
    balance_id = await database.fetchval("SELECT balance_id FROM balances")
    (first, *rest) = [
        (account, kind, balance_id if account == "user" else None) for account, kind in entries
    ]
    await database.execute(ENTER, *first)

    with pytest.raises(asyncpg.UniqueViolationError):
        await database.execute(ENTER, *rest[0])


async def test_an_entry_of_a_user_has_a_balance_and_one_of_the_house_has_none(
    database: Pool,
) -> None:
    await a_generation(database)
    balance_id = await database.fetchval("SELECT balance_id FROM balances")

    for entry in (("user", "correct", None), ("house", "settle", balance_id)):
        with pytest.raises(asyncpg.CheckViolationError):
            await database.execute(ENTER, *entry)


async def test_a_balance_is_never_negative(database: Pool) -> None:
    await a_generation(database)

    for column in ("videos_reserved", "reserved_usd_micros", "videos_settled"):
        with pytest.raises(asyncpg.CheckViolationError):
            await database.execute(f"UPDATE balances SET {column} = -1")


async def test_a_submission_is_accepted_exactly_where_it_has_a_prediction(database: Pool) -> None:
    await a_generation(database)
    insert = (
        "INSERT INTO submissions (generation_id, state, provider_path, base_url, staged_url,"
        " prediction_id) VALUES ('gen_one', $1, 'a/b', 'http://x', 'http://x/1', $2)"
    )

    for state, prediction_id in (("accepted", None), ("prepared", "abcd"), ("sending", None)):
        with pytest.raises(asyncpg.CheckViolationError):
            await database.execute(insert, state, prediction_id)


FORBIDDEN = [
    "UPDATE plans SET videos_limit = NULL",
    "INSERT INTO plans (plan, title) VALUES ('mine', 'Mine')",
    "INSERT INTO subscriptions (user_id, plan) VALUES ('ann', 'enterprise')",
    "UPDATE balances SET videos_reserved = 0",
    "INSERT INTO balances (user_id, period) VALUES ('ann', '[2026-01-01,2026-02-01)')",
    "UPDATE spending SET reserved_usd_micros = 0",
    "UPDATE reservations SET state = 'released', closed_at = now()",
    "DELETE FROM reservations",
    "INSERT INTO ledger (generation_id, account, kind) VALUES ('gen_one', 'house', 'settle')",
    "DELETE FROM ledger",
    "UPDATE submissions SET state = 'rejected'",
    (
        "INSERT INTO submission_attempts (generation_id, attempt, state)"
        " VALUES ('gen_one', 1, 'absent')"
    ),
    "UPDATE generations SET user_id = 'eve'",
    "UPDATE generations SET terms = NULL",
    "DELETE FROM generations",
    "DELETE FROM events",
    "DELETE FROM assets",
    "UPDATE deployment SET value = 'known'",
    "UPDATE batch_items SET is_made = true",
    (
        "INSERT INTO batch_items (batch_id, position, generation_id, request, is_made)"
        " VALUES ('bat_one', 1, 'gen_one', '{}', true)"
    ),
    (
        "INSERT INTO batches (batch_id, user_id, idempotency_key, request_hash, source,"
        " max_parallel, state) VALUES ('bat_one', 'ann', 'key', 'hash', 'api', 1, 'running')"
    ),
    "UPDATE batches SET user_id = 'eve'",
    "DELETE FROM batches",
    "CREATE TABLE mine (a int)",
    "ALTER TABLE ledger DISABLE TRIGGER append_only",
]


async def test_the_starters_role_can_not_touch_plans_money_or_what_was_agreed(
    database: Pool, starter_database: Pool
) -> None:
    await a_generation(database)

    for statement in FORBIDDEN:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await starter_database.execute(statement)


async def test_the_starters_role_claims_and_revives_generations(
    database: Pool, starter_database: Pool
) -> None:
    async with starter_database.acquire() as connection:
        first = await generations.claim(connection, "gen_new", a_request())
        await database.execute("UPDATE generations SET stage = 'failed'")

        again = await generations.claim(connection, "gen_new", a_request(prompt="another"))

    assert (first.is_new, again.is_new) == (True, True)


@pytest.mark.parametrize(
    ("state", "kept"),
    [("accepted", 0), ("failed", 0), ("running", 1), ("completed", 1), ("cancelled", 1)],
)
async def test_the_items_of_a_batch_are_kept_once_it_has_made_them(
    database: Pool, starter_database: Pool, state: str, kept: int
) -> None:
    batch_id = "bat_" + "a" * 26
    await starter_database.execute(
        "INSERT INTO batches (batch_id, user_id, idempotency_key, request_hash, source,"
        " max_parallel) VALUES ($1, 'ann', 'key', 'hash', 'api', 1)",
        batch_id,
    )
    await starter_database.execute(
        "INSERT INTO batch_items (batch_id, position, generation_id, request)"
        " VALUES ($1, 1, 'gen_one', '{}')",
        batch_id,
    )
    await database.execute("UPDATE batches SET state = $1", state)

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) if kept else nullcontext():
        await starter_database.execute("DELETE FROM batch_items")

    assert await database.fetchval("SELECT count(*) FROM batch_items") == kept


async def test_the_role_survives_the_return_of_a_connection_to_the_pool(
    starter_database: Pool,
) -> None:
    roles = [await starter_database.fetchval("SELECT current_user") for _ in range(3)]

    assert roles == ["stillmotion_starter"] * 3


async def test_the_four_plans_are_there(database: Pool) -> None:
    rows = await database.fetch(
        "SELECT plan, videos_limit, cost_limit_usd_micros FROM plans ORDER BY cost_limit_usd_micros"
    )

    assert [tuple(row) for row in rows] == [
        ("free", 2, 2_000_000),
        ("basic", 10, 25_000_000),
        ("pro", 30, 100_000_000),
        ("enterprise", None, 500_000_000),
    ]
