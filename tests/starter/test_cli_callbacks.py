"""`callbacks list|retry|secret`, and requests whose receiver can't be told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from starter.client import VideoClient
from tests.activities.callbacks.listening import Listener, listening
from tests.starter.conftest import A_VIDEO, NOTHING, Cli, Path, Ran, Stack, run_here
from workflows.contracts.failures import RequestRefused
from workflows.contracts.requests import Operation

SOURCE = "story_writer"
PUBLIC = "https://hooks.example.com/x"


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as receiver:
        yield receiver


@pytest.fixture
async def secret(cli: Cli) -> str:
    """The secret of a product, a new one for each test."""
    ran = await cli("callbacks", "secret", SOURCE, "--rotate", "-o", "quiet")
    assert ran.code == 0, ran
    return ran.out.strip()


async def a_video(cli: Cli, user: str, url: str, *words: str, source: str = SOURCE) -> Ran:
    asked = ("--callback-url", url, "--source", source, "--user", user)
    return await cli(*A_VIDEO, *asked, "-o", "json", *words)


async def found(cli: Cli, user: str) -> dict[str, Any]:
    """The one receiver of a user."""
    (callback,) = (await cli("callbacks", "list", "--user", user, "-o", "json")).json
    return callback


async def until_state(cli: Cli, user: str, state: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            listed = (await cli("callbacks", "list", "--user", user, "-o", "json")).json
            if listed and listed[0]["state"] == state:
                return await found(cli, user)
            await asyncio.sleep(0.1)


async def test_every_stage_is_told_signed_and_listed(
    cli: Cli, listener: Listener, secret: str, user: str
) -> None:
    ran = await a_video(cli, user, listener.url, "--wait")
    posts = await listener.until(10)

    callback = await until_state(cli, user, "delivered")

    assert [post.seq for post in posts] == list(range(1, 11))
    assert all(Webhook(secret).verify(post.body, post.headers) for post in posts)
    assert callback["generation_id"] == ran.json["generation_id"]
    assert (callback["host"], callback["told"], callback["events"]) == ("127.0.0.1", 10, 10)
    table = (await cli("callbacks", "list", "--user", user)).out
    assert "10 of 10" in table
    assert "t0k3n" not in table


async def test_one_that_was_given_up_is_listed_noted_by_doctor_and_told_by_a_retry(
    cli: Cli, listener: Listener, secret: str, user: str
) -> None:
    listener.answers(410)
    ran = await a_video(cli, user, listener.url, "--wait")
    generation_id = ran.json["generation_id"]
    given_up = await until_state(cli, user, "given_up")
    doctor = await cli("doctor", "-o", "json")
    listed = await cli("callbacks", "list", "--state", "given_up", "--user", user)
    listener.answers(200)

    retried = await cli("callbacks", "retry", generation_id[:12], "-o", "json")
    delivered = await until_state(cli, user, "delivered")
    again = await cli("callbacks", "retry", generation_id)

    assert given_up["evidence"] == "127.0.0.1 answered with HTTP 410"
    (line,) = [check for check in doctor.json["checks"] if check["name"] == "callbacks"]
    assert "warning: " in line["detail"]
    assert "callbacks list --state given_up" in line["detail"]
    assert line["ok"]
    assert f"callbacks retry {generation_id}" in listed.err
    assert retried.json == {"generation_id": generation_id, "retried": True}
    assert delivered["told"] == 10
    assert [post.seq for post in listener.taken] == list(range(1, 11))
    assert again.out == f"The receiver of {generation_id} knows everything already.\n"


async def test_another_users_receiver_is_not_retried(
    cli: Cli, listener: Listener, secret: str, user: str
) -> None:
    ran = await a_video(cli, user, listener.url, "--detach")

    denied = await cli("callbacks", "retry", ran.json["generation_id"], "--user", f"{user}-other")

    assert denied.code == 2
    assert "no generation" in denied.err


async def test_a_generation_without_a_receiver_is_not_retried(cli: Cli, user: str) -> None:
    ran = await cli(*A_VIDEO, "--user", user, "--detach", "-o", "quiet")

    retried = await cli("callbacks", "retry", ran.out.strip())

    assert retried.code == 2
    assert "without a callback_url" in retried.err
    assert "--callback-url" in retried.err


async def test_a_secret_is_made_once_and_replaced_only_when_asked(cli: Cli, stack: Stack) -> None:
    await stack.database.execute("DELETE FROM callback_secrets WHERE source = 'video_studio'")

    made = await cli("callbacks", "secret", "video_studio", "-o", "json")
    again = await cli("callbacks", "secret", "video_studio")
    rotated = await cli("callbacks", "secret", "video_studio", "--rotate")

    assert made.json["secret"].startswith("whsec_")
    assert made.json["previous_until"] is None
    assert again.code == 2
    assert "--rotate" in again.err
    assert made.json["secret"] not in rotated.out
    assert "signs too until" in rotated.out


async def test_the_stacks_key_is_its_owners_and_another_key_of_the_environment_is_not_used(
    cli: Cli, stack: Stack, listener: Listener, user: str
) -> None:
    key_file = Path(stack.address.secret_key_file or "")
    settings = await cli("doctor", "--settings", "-o", "json")

    made = await cli(
        *("callbacks", "secret", SOURCE, "--rotate", "-o", "quiet"),
        STILLMOTION_SECRET_KEY="QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=",
    )
    await a_video(cli, user, listener.url, "--detach")
    (first, *_) = await listener.until(1)

    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.read_text().strip() not in stack.address.model_dump_json()
    assert key_file.read_text().strip() not in settings.out
    assert first.verified_by(made.out.strip())


async def test_without_a_key_no_secret_is_made(stack: Stack) -> None:
    ran = await run_here(
        *("callbacks", "secret", SOURCE, "--rotate"),
        STILLMOTION_DATABASE_URL=stack.address.database,
        STILLMOTION_MEDIA_URL=stack.address.media,
    )

    assert ran.code == 2
    assert "STILLMOTION_SECRET_KEY is not set" in ran.err
    assert "openssl rand -base64 32" in ran.err


async def test_a_source_without_a_secret_is_refused_before_anything_is_stored(
    cli: Cli, stack: Stack, user: str
) -> None:
    await stack.database.execute("DELETE FROM callback_secrets WHERE source = 'image_studio'")

    ran = await a_video(cli, user, PUBLIC, "--detach", source="image_studio")
    dry = await a_video(cli, user, PUBLIC, "--dry-run", source="image_studio")

    assert (ran.code, dry.code) == (2, 2)
    error = ran.json["error"]
    assert error["kind"] == "invalid_request"
    assert "stillmotion callbacks secret image_studio" in error["message"]
    assert await stack.rows_of(user) == NOTHING


async def test_a_url_that_is_not_called_here_is_refused_before_anything_is_stored(
    cli: Cli, stack: Stack, secret: str, user: str
) -> None:
    asked = ("--callback-url", "http://127.0.0.1:9/x", "--source", SOURCE, "--user", user)

    ran = await cli(*A_VIDEO, *asked, "--detach", STILLMOTION_ALLOW_PRIVATE_CALLBACKS="false")

    assert ran.code == 2
    assert "http://; allowed: https://" in ran.err
    assert await stack.rows_of(user) == NOTHING


async def test_a_finished_request_is_checked_too_when_it_is_started(
    client: VideoClient, stack: Stack, secret: str, user: str
) -> None:
    request = await client.request(
        Operation.IMAGE_TO_VIDEO, image=A_VIDEO[1], prompt="x", user_id=user, source=SOURCE
    )
    metadata = "http://169.254.169.254/latest/meta-data"

    with pytest.raises(RequestRefused, match="callback_url: the URL names a link-local"):
        await client.start(request.model_copy(update={"callback_url": metadata}))

    assert (await stack.rows_of(user))["generations"] == 0
