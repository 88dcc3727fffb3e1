"""Keys of the HTTP API as rows: made once, found by their secret's hash, rotated, revoked."""

import asyncpg
import pytest
from pydantic import ValidationError

from activities.access import repository as access
from activities.access.keys import KEEP_OLD_S_MAX, is_secret, new_secret
from activities.database.pool import Pool
from workflows.contracts.requests import Source

SOURCES = (Source.STORY_WRITER, Source.API)


async def everything_stored(pool: Pool) -> str:
    """Every row of the tables of keys, as text."""
    rows = [
        row[0]
        for table in ("api_keys", "api_secrets")
        for row in await pool.fetch(f"SELECT {table}::text FROM {table}")
    ]
    return "\n".join(rows)


async def test_a_key_is_found_by_its_secret_as_it_was_made(
    database: Pool, starter_database: Pool
) -> None:
    made = await access.make(database, "writer", SOURCES, user_id="ann", requests_per_minute=90)

    found = await access.find(starter_database, made.secret)

    assert found == made.key
    assert (made.key.name, made.key.sources, made.key.user_id) == ("writer", SOURCES, "ann")
    assert made.key.requests_per_minute == 90
    assert await access.find_by_id(starter_database, made.key.key_id) == made.key


async def test_a_source_that_is_named_twice_is_one(database: Pool) -> None:
    made = await access.make(database, "writer", ["api", "story_writer", "api"])

    assert made.key.sources == (Source.API, Source.STORY_WRITER)


async def test_the_secret_stands_nowhere(database: Pool) -> None:
    made = await access.make(database, "writer", SOURCES)

    stored = await everything_stored(database)

    assert is_secret(made.secret)
    assert made.key.key_id in stored
    assert made.secret not in stored
    assert made.secret.removeprefix("sm_") not in stored
    assert made.secret.encode().hex() not in stored


async def test_two_keys_have_different_ids_and_secrets(database: Pool) -> None:
    one, other = [await access.make(database, name, SOURCES) for name in ("one", "other")]

    assert one.key.key_id != other.key.key_id
    assert one.secret != other.secret


@pytest.mark.parametrize(
    "secret",
    ["", "sm_", "Bearer", "sm_" + "a" * 42, "sm_" + "a" * 44, "sm_" + "a" * 43, "sm_" + "ä" * 43],
)
async def test_what_nobody_made_finds_nothing(database: Pool, secret: str) -> None:
    await access.make(database, "writer", SOURCES)

    assert await access.find(database, secret) is None


@pytest.mark.parametrize(
    "given",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"name": "two\nlines"},
        {"sources": ()},
        {"sources": ("api", "nobody")},
        {"user_id": ""},
        {"user_id": "a\x00b"},
        {"requests_per_minute": 0},
        {"requests_per_minute": 1_000_001},
    ],
    ids=str,
)
async def test_what_can_not_be_a_key_is_refused_and_stored_nowhere(
    database: Pool, given: dict[str, object]
) -> None:
    asked: dict[str, object] = {"name": "writer", "sources": ("api",), **given}

    with pytest.raises(ValidationError):
        await access.make(database, **asked)  # pyright: ignore[reportArgumentType]

    assert await everything_stored(database) == ""


async def test_a_name_is_taken_until_its_key_is_revoked(database: Pool) -> None:
    first = await access.make(database, "writer", SOURCES)
    with pytest.raises(access.NameTaken, match="'writer' is there already"):
        await access.make(database, "writer", SOURCES)

    await access.revoke(database, "writer")
    second = await access.make(database, "writer", SOURCES)

    assert await access.find(database, first.secret) is None
    assert await access.find(database, second.secret) == second.key
    # The name leads to the key that has it now.
    assert (await access.rotate(database, "writer")).key == second.key


async def test_after_a_rotation_both_secrets_are_good_and_later_the_new_one_only(
    database: Pool,
) -> None:
    made = await access.make(database, "writer", SOURCES)

    rotated = await access.rotate(database, made.key.key_id, keep_old_s=3600)
    both = [await access.find(database, each) for each in (made.secret, rotated.secret)]
    # An hour later.
    await database.execute("UPDATE api_secrets SET ends_at = ends_at - interval '1 hour'")
    later = [await access.find(database, each) for each in (made.secret, rotated.secret)]

    assert both == [made.key, made.key]
    assert later == [None, made.key]
    assert rotated.old_until is not None
    left = await database.fetchval("SELECT $1::timestamptz - now()", rotated.old_until)
    assert 3590 < left.total_seconds() <= 3600


async def test_a_rotation_may_end_the_secret_before_at_once(database: Pool) -> None:
    made = await access.make(database, "writer", SOURCES)

    rotated = await access.rotate(database, "writer", keep_old_s=0)

    assert rotated.old_until is None
    assert await access.find(database, made.secret) is None
    assert await access.find(database, rotated.secret) == made.key
    assert await database.fetchval("SELECT count(*) FROM api_secrets") == 1


async def test_a_second_rotation_keeps_no_secret_for_longer(database: Pool) -> None:
    made = await access.make(database, "writer", SOURCES)
    first = await access.rotate(database, "writer", keep_old_s=60)

    await access.rotate(database, "writer", keep_old_s=3600)
    await database.execute("UPDATE api_secrets SET ends_at = ends_at - interval '2 minutes'")

    assert await access.find(database, made.secret) is None
    assert await access.find(database, first.secret) == made.key


@pytest.mark.parametrize("keep_old_s", [-1, KEEP_OLD_S_MAX + 1])
async def test_a_secret_is_not_kept_for_ever(database: Pool, keep_old_s: int) -> None:
    await access.make(database, "writer", SOURCES)

    with pytest.raises(ValueError, match="keep_old_s"):
        await access.rotate(database, "writer", keep_old_s=keep_old_s)


async def test_a_revoked_key_is_good_no_more_whichever_secret_is_shown(database: Pool) -> None:
    made = await access.make(database, "writer", SOURCES)
    rotated = await access.rotate(database, "writer")

    revoked = await access.revoke(database, made.key.key_id)

    assert revoked == made.key
    assert [await access.find(database, each) for each in (made.secret, rotated.secret)] == [
        None,
        None,
    ]
    assert await access.find_by_id(database, made.key.key_id) is None
    assert await database.fetchval("SELECT count(*) FROM api_secrets") == 0


async def test_revoking_twice_is_revoking_once(database: Pool) -> None:
    made = await access.make(database, "writer", SOURCES)
    await access.revoke(database, "writer")
    (first,) = await access.listed(database)

    for name in ("writer", made.key.key_id):
        await access.revoke(database, name)

    assert await access.listed(database) == [first]


async def test_a_key_that_is_not_there_is_neither_rotated_nor_revoked(database: Pool) -> None:
    await access.make(database, "writer", SOURCES)

    for act in (access.rotate, access.revoke):
        with pytest.raises(access.UnknownKey, match="'reader'"):
            await act(database, "reader")


async def test_a_revoked_key_gets_no_new_secret(database: Pool) -> None:
    made = await access.make(database, "writer", SOURCES)
    await access.revoke(database, "writer")

    with pytest.raises(access.UnknownKey, match=f"{made.key.key_id} was revoked"):
        await access.rotate(database, "writer")

    assert await database.fetchval("SELECT count(*) FROM api_secrets") == 0


async def test_the_list_says_how_each_key_stands_and_no_secret(database: Pool) -> None:
    gone = await access.make(database, "gone", SOURCES)
    await access.make(database, "kept", SOURCES, user_id="ann")
    rotated = await access.rotate(database, "kept")
    await access.revoke(database, "gone")

    kept, revoked = await access.listed(database)

    assert (kept.name, kept.user_id, kept.revoked_at) == ("kept", "ann", None)
    assert kept.old_secret_until == rotated.old_until
    assert kept.secret_made_at is not None
    assert kept.secret_made_at > kept.made_at
    assert (revoked.key_id, revoked.secret_made_at) == (gone.key.key_id, None)
    assert revoked.revoked_at is not None
    assert rotated.secret not in str([kept, revoked])


async def test_the_starters_role_finds_keys_and_makes_none(
    database: Pool, starter_database: Pool
) -> None:
    made = await access.make(database, "writer", SOURCES)

    for refused in (
        access.make(starter_database, "mine", SOURCES),
        access.rotate(starter_database, "writer"),
        access.revoke(starter_database, "writer"),
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await refused

    assert await access.find(starter_database, made.secret) == made.key


async def test_the_keys_of_an_erased_user_are_gone_and_everybody_elses_stay(
    database: Pool,
) -> None:
    theirs = await access.make(database, "theirs", SOURCES, user_id="ann")
    await access.rotate(database, "theirs")
    others = [
        await access.make(database, "bobs", SOURCES, user_id="bob"),
        await access.make(database, "everybodys", SOURCES),
    ]

    async with database.acquire() as connection, connection.transaction():
        count = await access.forget(connection, "ann")

    assert count == 1
    assert await access.find(database, theirs.secret) is None
    assert "ann" not in await everything_stored(database)
    assert [await access.find(database, each.secret) for each in others] == [
        each.key for each in others
    ]


def test_a_secret_looks_like_one_and_like_no_other() -> None:
    made = {new_secret() for _ in range(100)}

    assert len(made) == 100
    assert all(is_secret(each) for each in made)
    assert not any(is_secret(f"{each}\n") for each in made)
