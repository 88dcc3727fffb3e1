"""A database of users with few and with many generations, as if they had been made over a year.

Rows are copied in bulk from one generation that the real admission reserved, so that every column
has the size and the form that it has in earnest.
"""

from collections.abc import Mapping

import asyncpg

from activities.database.pool import Connection
from activities.database.statements import statements
from activities.ledger.settings import LedgerSettings
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.ids import media_id_for
from workflows.contracts.media import ImageFacts, VideoFacts

SQL = statements("benchmarks", "growth_rows.sql")

PLAN = "boundless"
DATABASE = "growth"
_AFTER_THE_MEDIA = (
    "events",
    "reservations",
    "ledger",
    "settled",
    "submissions",
    "attempts",
    "bills",
)

PICTURE = ImageFacts(
    mime_type="image/jpeg", size_bytes=90_000, sha256="0" * 64, width=1280, height=720
)
VIDEO = VideoFacts(
    size_bytes=900_000,
    sha256="1" * 64,
    duration_s=5,
    width=1280,
    height=720,
    codec="h264",
    frames=120,
)

LEDGER = LedgerSettings(default_plan=PLAN, spend_limit_usd_day=None, spend_limit_usd_month=None)


async def create_database(server_dsn: str) -> str:
    """An empty database with the order of words of a natural language; its URL.

    That is what managed servers have by default, where no plain index serves a search by prefix.
    """
    connection = await asyncpg.connect(server_dsn)
    try:
        await connection.execute(
            f"CREATE DATABASE {DATABASE} TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C.UTF-8'"
        )
    finally:
        await connection.close()
    address, _, options = server_dsn.partition("?")
    return f"{address.rpartition('/')[0]}/{DATABASE}?{options}"


def picture_of(user_id: str) -> str:
    """The media id of the user's picture."""
    return media_id_for(user_id, PICTURE.sha256)


async def open_accounts(connection: Connection, users: Mapping[str, int]) -> None:
    """Plan, subscriptions, periods and a picture of each user, by user id."""
    ids = list(users)
    await connection.execute("INSERT INTO plans (plan, title) VALUES ($1, $1)", PLAN)
    await connection.execute(SQL["people"], ids, PLAN)
    await connection.execute(SQL["balances"], ids)
    await connection.execute(
        SQL["media"], [picture_of(user) for user in ids], ids, PICTURE.model_dump(mode="json")
    )


async def fill(connection: Connection, users: Mapping[str, int], sample_id: str) -> None:
    """As many generations as `users` says, by user id, each like the one of `sample_id`."""
    refused = failure(FailureKind.PROVIDER_FAILED, "The provider's job ended as failed.")
    # Keys are checked by the application's own run; here they would double the time.
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(SQL["wanted"], list(users), list(users.values()))
    told = refused.model_dump(mode="json")
    await connection.execute(SQL["generations"], sample_id, told)
    for name in _AFTER_THE_MEDIA:
        await connection.execute(SQL[name])
    await connection.execute(SQL["assets"], VIDEO.model_dump(mode="json"))
    await connection.execute("DROP TABLE wanted")
    await connection.execute("RESET session_replication_role")
    # What autovacuum does within a minute of such a load: else each plan is made blindly.
    await connection.execute("VACUUM ANALYZE")
