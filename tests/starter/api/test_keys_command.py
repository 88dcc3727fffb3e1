"""`keys make|list|rotate|revoke`: the secret is printed once, and the API goes by it."""

import secrets
from typing import Any

import httpx
import pytest

from activities.access.keys import is_secret
from tests.starter.api.conftest import Api
from tests.starter.conftest import Cli, Stack, run_here


@pytest.fixture
def name() -> str:
    """One that nobody has."""
    return f"writer-{secrets.token_hex(6)}"


async def made(cli: Cli, name: str, *words: str) -> dict[str, Any]:
    ran = await cli("keys", "make", name, "--sources", "story_writer,api", *words, "-o", "json")
    assert ran.code == 0, ran
    return ran.json


async def asked(api: Api, secret: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {secret}", "Stillmotion-User": "ann"}
    return await api.http.get(f"{api.origin}/v1/openapi.json", headers=headers)


async def test_a_key_is_made_and_is_good_at_the_api(idle_cli: Cli, api: Api, name: str) -> None:
    key = await made(idle_cli, name)

    reply = await asked(api, key["secret"])

    assert reply.status_code == 200
    assert (key["name"], key["sources"]) == (name, ["story_writer", "api"])
    assert (key["user_id"], key["requests_per_minute"]) == (None, 600)
    assert key["key_id"].startswith("key_")


async def test_people_see_the_secret_once_and_are_told_so(idle_cli: Cli, name: str) -> None:
    ran = await idle_cli("keys", "make", name, "--sources", "api", "--user", "ann")
    listed = await idle_cli("keys", "list")
    as_json = await idle_cli("keys", "list", "-o", "json")

    (secret,) = [word for word in ran.out.split() if word.startswith("sm_")]
    assert is_secret(secret)
    assert "once" in ran.err
    assert name in listed.out
    assert secret not in listed.out + listed.err + as_json.out


async def test_quiet_prints_the_secret_alone(idle_cli: Cli, name: str) -> None:
    ran = await idle_cli("keys", "make", name, "--sources", "api", "-o", "quiet")

    assert is_secret(ran.out.strip())
    assert ran.err == ""


async def test_the_list_says_how_each_key_stands(idle_cli: Cli, name: str) -> None:
    key = await made(idle_cli, name, "--user", "ann", "--requests-per-minute", "90")
    await idle_cli("keys", "rotate", name)
    (rotated,) = [
        each
        for each in (await idle_cli("keys", "list", "-o", "json")).json
        if each["key_id"] == key["key_id"]
    ]
    table = (await idle_cli("keys", "list")).out

    await idle_cli("keys", "revoke", name)
    after = (await idle_cli("keys", "list")).out

    assert (rotated["user_id"], rotated["requests_per_minute"]) == ("ann", 90)
    assert rotated["old_secret_until"] is not None
    (line,) = [line for line in table.splitlines() if key["key_id"] in line]
    assert "good; an old secret too until" in line
    (line,) = [line for line in after.splitlines() if key["key_id"] in line]
    assert "revoked" in line


async def test_a_rotated_key_has_a_new_secret_and_the_old_one_for_a_while(
    idle_cli: Cli, api: Api, name: str
) -> None:
    key = await made(idle_cli, name)

    rotated = await idle_cli("keys", "rotate", key["key_id"], "--keep-old", "60", "-o", "json")
    both = [await asked(api, each) for each in (key["secret"], rotated.json["secret"])]

    assert rotated.json["key_id"] == key["key_id"]
    assert rotated.json["secret"] != key["secret"]
    assert rotated.json["old_until"] is not None
    assert [reply.status_code for reply in both] == [200, 200]


async def test_the_old_secret_may_end_at_once(idle_cli: Cli, api: Api, name: str) -> None:
    key = await made(idle_cli, name)

    rotated = await idle_cli("keys", "rotate", name, "--keep-old", "0")

    assert rotated.code == 0
    assert "has ended" in rotated.out
    # It was never asked for here, so nobody remembers it.
    assert (await asked(api, key["secret"])).status_code == 401


async def test_a_revoked_key_is_good_no_more(idle_cli: Cli, api: Api, name: str) -> None:
    key = await made(idle_cli, name)

    revoked = await idle_cli("keys", "revoke", name, "-o", "json")

    assert revoked.json == {"key_id": key["key_id"], "name": name, "revoked": True}
    assert (await asked(api, key["secret"])).status_code == 401


async def test_a_name_that_is_taken_is_refused_with_what_to_do(idle_cli: Cli, name: str) -> None:
    await made(idle_cli, name)

    again = await idle_cli("keys", "make", name, "--sources", "api")

    assert again.code == 2
    assert "is there already" in again.err
    assert f"keys rotate {name}" in again.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--sources", "api,nobody"), "--sources: 'nobody'; allowed: story_writer, "),
        (("--sources", ""), "--sources: ''; allowed: "),
        (("--sources", "api", "--user", ""), "--user: "),
        (("--sources", "api", "--requests-per-minute", "0"), "--requests-per-minute: "),
        (("--sources", "api", "--requests-per-minute", "1.5"), "a whole number"),
        ((), "--sources"),
    ],
    ids=str,
)
async def test_what_can_not_be_a_key_is_refused_by_its_flag(
    idle_cli: Cli, name: str, words: tuple[str, ...], told: str
) -> None:
    ran = await idle_cli("keys", "make", name, *words)

    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert name not in (await idle_cli("keys", "list")).out


@pytest.mark.parametrize("verb", ["rotate", "revoke"])
async def test_a_key_that_is_not_there_is_told_with_the_list(idle_cli: Cli, verb: str) -> None:
    ran = await idle_cli("keys", verb, "key_nobodys")

    assert (ran.code, ran.out) == (2, "")
    assert "'key_nobodys'" in ran.err
    assert "keys list" in ran.err


@pytest.mark.parametrize("seconds", ["-1", "2592001", "soon"])
async def test_a_secret_is_kept_for_seconds_up_to_a_month(
    idle_cli: Cli, name: str, seconds: str
) -> None:
    await made(idle_cli, name)

    ran = await idle_cli("keys", "rotate", name, f"--keep-old={seconds}")

    assert (ran.code, ran.out) == (2, "")


async def test_who_may_only_start_videos_makes_no_keys(idle_stack: Stack, name: str) -> None:
    login = f"app_{secrets.token_hex(4)}"
    await idle_stack.database.execute(f"CREATE ROLE {login} LOGIN IN ROLE stillmotion_starter")
    address = idle_stack.address.database.replace("://stillmotion@", f"://{login}@")
    try:
        ran = await run_here(
            *("keys", "make", name, "--sources", "api"),
            STILLMOTION_DATABASE_URL=address,
            STILLMOTION_MEDIA_URL=idle_stack.address.media,
        )
    finally:
        await idle_stack.database.execute(f"DROP ROLE {login}")

    assert ran.code != 0
    assert "may not do that" in ran.err
