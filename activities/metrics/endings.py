"""What a generation was, for the labels of its end."""

from activities.database.pool import Connection
from activities.database.statements import statements
from activities.metrics.instruments import Ending

SQL = statements("activities.metrics", "queries.sql")


async def ending_of(connection: Connection, generation_id: str) -> Ending:
    """As it stands in the database, in the transaction that ends it."""
    row = await connection.fetchrow(SQL["ending"], generation_id)
    assert row is not None, "who was ended is recorded"
    return Ending(row["operation"], row["source"], row["model"], row["lasted"])
