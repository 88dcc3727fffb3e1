"""A clock that a test sets: statements that ask `now()` are told what it says."""

from datetime import datetime

from activities.database.pool import Pool


async def set_up_clock(pool: Pool) -> None:
    """Let every connection that comes after ask a table for the time.

    PostgreSQL looks for a function in the order of the search path; the columns' own defaults were
    bound to the real clock when the schema was made.
    """
    await pool.execute(
        "CREATE SCHEMA clock;"
        "CREATE TABLE clock.moment (at timestamptz NOT NULL);"
        "INSERT INTO clock.moment VALUES (pg_catalog.now());"
        "CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE"
        " AS 'SELECT at FROM clock.moment'"
    )
    database = await pool.fetchval("SELECT current_database()")
    await pool.execute(f"ALTER DATABASE {database} SET search_path = clock, pg_catalog, public")
    await pool.expire_connections()


async def set_clock(pool: Pool, at: datetime) -> None:
    """It is this time now, until it is set again."""
    await pool.execute("UPDATE clock.moment SET at = $1", at)
