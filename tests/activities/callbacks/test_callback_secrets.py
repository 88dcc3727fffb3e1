"""The signing secrets: made and told once, encrypted at rest, rotated without a gap."""

import base64
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr, ValidationError
from temporalio.testing import ActivityEnvironment

from activities.callbacks.sealing import SecretUnreadable, seal, unseal
from activities.callbacks.settings import CallbackSettings, SecretKeyUnusable
from activities.callbacks.signing import SecretExists, Signers
from activities.database.pool import Pool
from tests.activities.callbacks.conftest import KEY, OTHER_KEY, Office, settings_with
from tests.activities.callbacks.listening import Listener
from workflows.contracts.activities import ForGeneration
from workflows.contracts.failures import FailureKind, failure
from workflows.contracts.requests import Source
from workflows.contracts.stages import Stage


@pytest.fixture
def signers(database: Pool) -> Signers:
    return Signers(database, settings_with())


async def told_to(office: Office, listener: Listener) -> None:
    """One generation from its start to its end."""
    await office.accepted()
    ended = failure(FailureKind.PROVIDER_FAILED, "It failed.")
    await office.goes_on(Stage.FAILED, failure=ended)
    task = ForGeneration(generation_id="gen_one")
    await ActivityEnvironment().run(office.activities().deliver, task)


async def test_a_secret_has_the_form_that_receivers_libraries_take(signers: Signers) -> None:
    made = await signers.make(Source.API)

    assert made.text.startswith("whsec_")
    assert len(base64.b64decode(made.text.removeprefix("whsec_"))) == 32
    assert made.previous_until is None


async def test_a_second_secret_is_not_made_by_mistake(signers: Signers) -> None:
    await signers.make(Source.API)

    with pytest.raises(SecretExists, match="api has a secret since"):
        await signers.make(Source.API)

    assert len(await signers.of(Source.API)) == 1


async def test_after_a_rotation_both_secrets_verify_and_a_day_later_the_new_one_only(
    office: Office, listener: Listener, secret: str
) -> None:
    rotated = await office.signers.make(Source.API, rotate=True)
    await told_to(office, listener)
    both = listener.posts[0]
    await office.pool.execute("UPDATE callback_secrets SET previous_expires_at = now()")
    await office.pool.execute("UPDATE callbacks SET delivered_seq = 0")

    await ActivityEnvironment().run(
        office.activities().deliver, ForGeneration(generation_id="gen_one")
    )

    assert rotated.previous_until is not None
    left = rotated.previous_until - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    assert both.verified_by(secret)
    assert both.verified_by(rotated.text)
    assert len(both.headers["webhook-signature"].split(" ")) == 2
    assert not listener.posts[-1].verified_by(secret)
    assert listener.posts[-1].verified_by(rotated.text)


async def test_the_secret_stands_nowhere_in_the_clear(
    office: Office, listener: Listener, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        listener.answers(500)
        await told_to(office, listener)

    tables = await office.pool.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    names = [row["table_name"] for row in tables]
    rows = [str(row) for name in names for row in await office.pool.fetch(f"SELECT * FROM {name}")]
    plain = secret.removeprefix("whsec_")
    stored = await office.pool.fetchval("SELECT secret FROM callback_secrets")
    assert base64.b64decode(plain) not in stored
    assert base64.b64decode(KEY) not in stored
    for text in [*rows, caplog.text, *(post.body for post in listener.posts)]:
        assert plain not in text
        assert base64.b64decode(plain).hex() not in text


async def test_the_starters_role_learns_only_that_there_is_a_secret(
    starter_database: Pool, secret: str
) -> None:
    row = await starter_database.fetchrow("SELECT source, changed_at FROM callback_secrets")
    for column in ("secret", "previous", "*"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await starter_database.fetch(f"SELECT {column} FROM callback_secrets")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await starter_database.execute("UPDATE callbacks SET state = 'delivered'")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await Signers(starter_database, settings_with()).make(Source.PODCAST_MAKER)

    assert row is not None
    assert row["source"] == "api"


async def test_a_row_of_another_source_does_not_open(database: Pool, signers: Signers) -> None:
    await signers.make(Source.API)
    await signers.make(Source.PODCAST_MAKER)
    await database.execute(
        "UPDATE callback_secrets SET secret ="
        " (SELECT secret FROM callback_secrets WHERE source = 'api') WHERE source = 'podcast_maker'"
    )

    with pytest.raises(SecretUnreadable, match="podcast_maker"):
        await signers.of(Source.PODCAST_MAKER)


async def test_a_lost_key_is_got_over_by_a_rotation(database: Pool, signers: Signers) -> None:
    await signers.make(Source.API)
    others = Signers(database, settings_with(OTHER_KEY))
    with pytest.raises(SecretUnreadable, match="--rotate"):
        await others.of(Source.API)

    await others.make(Source.API, rotate=True)

    assert len(await others.of(Source.API)) == 1


def test_sealing_the_same_twice_looks_different_and_a_changed_bit_does_not_open() -> None:
    key, secret = bytes(32), b"s" * 32
    first, second = seal(key, secret, "api"), seal(key, secret, "api")

    assert first != second
    assert unseal(key, first, "api") == unseal(key, second, "api") == secret
    with pytest.raises(SecretUnreadable):
        unseal(key, first[:-1] + bytes([first[-1] ^ 1]), "api")
    with pytest.raises(SecretUnreadable):
        unseal(key, b"", "api")


@pytest.mark.parametrize("key", ["abc", "x" * 44, base64.b64encode(bytes(16)).decode(), "ü"])
def test_a_key_that_is_none_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValidationError, match="not 32 bytes in base64") as refused:
        CallbackSettings(secret_key=SecretStr(key))

    assert key not in str(refused.value).replace("base64", "")


def test_the_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    file.write_text(f"{KEY}\n")

    assert CallbackSettings(secret_key_file=file).key() == base64.b64decode(KEY)


def test_a_key_that_is_not_there_is_told_by_its_variable(tmp_path: Path) -> None:
    broken = tmp_path / "broken.key"
    broken.write_text("no key")

    with pytest.raises(SecretKeyUnusable, match="STILLMOTION_SECRET_KEY is not set"):
        CallbackSettings().key()
    with pytest.raises(SecretKeyUnusable, match="KEY_FILE: No such file"):
        CallbackSettings(secret_key_file=tmp_path / "none").key()
    with pytest.raises(SecretKeyUnusable, match="KEY_FILE: it holds no such key"):
        CallbackSettings(secret_key_file=broken).key()


def test_the_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLMOTION_SECRET_KEY", KEY)
    monkeypatch.setenv("STILLMOTION_ALLOW_PRIVATE_CALLBACKS", "true")
    monkeypatch.setenv("STILLMOTION_SECRET_KEY_FILE", "")

    settings = CallbackSettings()

    assert (settings.allow_private_callbacks, settings.secret_key_file) == (True, None)
    assert KEY not in repr(settings)
