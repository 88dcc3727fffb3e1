"""A migrated database and a sandbox provider for each test, and builders that show what matters."""

import io
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from activities.database.migrations import migrate
from activities.database.pool import STARTER_ROLE, Pool, connect
from activities.database.settings import DatabaseSettings
from activities.generations import repository as generations
from activities.ledger import repository as money
from activities.ledger.settings import LedgerSettings
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from activities.provider.settings import ProviderSettings
from activities.provider.wavespeed import WaveSpeed
from workers.sandbox import SandboxSettings, running
from workflows.contracts.media import ImageFacts
from workflows.contracts.quoting import Quote
from workflows.contracts.requests import ImageToVideoRequest, Operation, Source
from workflows.contracts.stages import Stage
from workflows.contracts.terms import Terms

if TYPE_CHECKING:
    from workers.embedded.postgres import EmbeddedPostgres

EXAMPLES = Path(__file__).parents[2] / "examples"
WAN = "alibaba/wan-2.5/image-to-video"
MEDIA_ID = "med_" + "a" * 26
QUOTED = 500_000
SMALL: list[dict[str, object]] = [
    {"kind": "other_size", "width": 64, "height": 36},
    {"kind": "other_duration", "duration_s": 0.5},
]
"""Faults that make a sandbox's videos quick where their picture doesn't matter."""

TEMPLATE = "migrated_template"

_numbers = itertools.count(1)


def database_named(server: "EmbeddedPostgres", name: str) -> str:
    return server.dsn.replace("/stillmotion?", f"/{name}?", 1)


@asynccontextmanager
async def connection_to(url: str) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def new_database(
    server: "EmbeddedPostgres", template: str = "template0"
) -> AsyncGenerator[str]:
    """A database for the time of the block; its URL."""
    name = f"test_{next(_numbers)}"
    async with connection_to(server.dsn) as connection:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield database_named(server, name)
        finally:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
async def migrated_template(postgres: "EmbeddedPostgres") -> str:
    async with connection_to(postgres.dsn) as connection:
        # The session's server is thrown away: nothing has to outlive a power cut.
        await connection.execute("ALTER SYSTEM SET fsync = off")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    async with connection_to(database_named(postgres, TEMPLATE)) as connection:
        await migrate(connection)
    return TEMPLATE


@pytest.fixture
async def database_url(postgres: "EmbeddedPostgres", migrated_template: str) -> AsyncIterator[str]:
    async with new_database(postgres, migrated_template) as url:
        yield url


def settings_for_database(url: str, connections_max: int = 12) -> DatabaseSettings:
    return DatabaseSettings(database_url=SecretStr(url), database_connections_max=connections_max)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Pool]:
    async with connect(settings_for_database(database_url)) as pool:
        yield pool


@pytest.fixture
async def starter_database(database_url: str) -> AsyncIterator[Pool]:
    """The pool that clients of people use: not allowed near plans and money."""
    async with connect(settings_for_database(database_url), role=STARTER_ROLE) as pool:
        yield pool


@pytest.fixture
def media_settings(tmp_path: Path) -> MediaSettings:
    return MediaSettings(media_url=(tmp_path / "media").as_uri())


@pytest.fixture
def store(media_settings: MediaSettings) -> MediaStore:
    return MediaStore.from_url(media_settings.media_url)


@pytest.fixture
def ledger_settings() -> LedgerSettings:
    return LedgerSettings(default_plan="enterprise")


@dataclass(frozen=True)
class SandboxControl:
    """A sandbox's address, its faults and its log."""

    url: str
    http: httpx.AsyncClient

    async def faults(self, **plan: object) -> None:
        reply = await self.http.post("/sandbox/faults", json=plan)
        assert reply.status_code == 200, reply.text

    async def log(self) -> dict[str, Any]:
        return (await self.http.get("/sandbox/log")).json()

    async def submits(self) -> tuple[int, list[str]]:
        """How many POSTs came, and which predictions were made of them."""
        log = await self.log()
        return log["submits"], [each["id"] for each in log["predictions"]]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[SandboxControl]:
    """Its jobs make tiny videos at once."""
    settings = SandboxSettings(data_dir=tmp_path / "sandbox", work_s=0.0, webhook_retry_s=0.01)
    async with running(settings) as addresses:
        origin = addresses.provider.removesuffix("/api/v3")
        # Loopback only: loading the certificates would be the slowest part of it.
        async with httpx.AsyncClient(
            base_url=origin, trust_env=False, verify=False, timeout=20
        ) as http:
            control = SandboxControl(addresses.provider, http)
            await control.faults(output=SMALL)
            yield control


@pytest.fixture
async def wavespeed(sandbox: SandboxControl) -> AsyncIterator[WaveSpeed]:
    async with a_client(sandbox.url) as client:
        yield client


def a_client(url: str, key: str = "a-key") -> WaveSpeed:
    settings = {"api_key": SecretStr(key), "base_url": url, "submit_timeout_s": 20}
    return WaveSpeed(ProviderSettings.model_validate(settings))


def a_request(**given: object) -> ImageToVideoRequest:
    asked = {"user_id": "ann", "image": {"media_id": MEDIA_ID}, "prompt": "a calm sea"}
    return ImageToVideoRequest.model_validate({**asked, **given})


def a_quote(**given: object) -> Quote:
    quoted = {
        "model": WAN,
        "catalogue_version": "2026-11-22",
        "cost_usd_micros": QUOTED,
        "duration_s": 5.0,
        "resolution": "720p",
        "width": 1280,
        "height": 720,
        "deadline_s": 1800,
        "expected_s": 90,
    }
    return Quote.model_validate({**quoted, **given})


def an_image(**given: object) -> ImageFacts:
    facts = {
        "mime_type": "image/jpeg",
        "size_bytes": 90_000,
        "sha256": "0" * 64,
        "width": 1280,
        "height": 720,
    }
    return ImageFacts.model_validate({**facts, **given})


def some_terms(generation_id: str, **given: object) -> Terms:
    agreed = {
        "generation_id": generation_id,
        "operation": Operation.IMAGE_TO_VIDEO,
        "source": Source.API,
        "user_hash": "0123456789abcdef",
        "provider": "sandbox",
        "base_url": "http://127.0.0.1:1/api/v3",
        "key_fingerprint": "0123456789ab",
        "provider_path": WAN,
        "parameters": {"duration_s": 5, "resolution": "720p", "seed": -1},
        "quote": a_quote(),
        "reserved_at": datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
    }
    return Terms.model_validate({**agreed, **given})


def a_picture(width: int = 400, height: int = 400, mime: str = "JPEG") -> bytes:
    """A picture in which every row and column differs."""
    across = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (across, across.transpose(Image.Transpose.ROTATE_180), across))
    file = io.BytesIO()
    picture.save(file, mime)
    return file.getvalue()


async def a_generation(  # noqa: PLR0913 - each test names the one that matters
    pool: Pool,
    generation_id: str = "gen_one",
    *,
    user_id: str = "ann",
    stage: Stage = Stage.STAGING,
    terms: Terms | None = None,
    cost_usd_micros: int = QUOTED,
    inputs: dict[str, str] | None = None,
) -> str:
    """A generation that was reserved and went the usual way up to `stage`; its id."""
    terms = terms or some_terms(generation_id, quote=a_quote(cost_usd_micros=cost_usd_micros))
    body = {"duration": 5, "resolution": "720p", "seed": -1, "enable_prompt_expansion": True}
    async with pool.acquire() as connection, connection.transaction():
        await generations.claim(connection, generation_id, a_request(user_id=user_id))
        settings = LedgerSettings(default_plan="enterprise")
        cost = terms.quote.cost_usd_micros
        await money.hold(connection, generation_id, user_id, cost, settings)
        agreed = terms.model_dump(mode="json")
        wanted = inputs or {"image": MEDIA_ID}
        await connection.execute(
            generations.SQL["set_terms"], generation_id, agreed, WAN, wanted, body
        )
        await connection.execute(
            generations.SQL["set_prompt"], generation_id, "a calm sea", "caller", []
        )
        for step in usual_way_to(stage):
            assert await generations.record(connection, generation_id, step)
    return generation_id


def usual_way_to(stage: Stage) -> list[Stage]:
    """The stages after `accepted` up to and with `stage`, where nothing goes wrong."""
    way = [
        Stage.RESERVING,
        Stage.PROMPTING,
        Stage.STAGING,
        Stage.SUBMITTING,
        Stage.GENERATING,
        Stage.DOWNLOADING,
        Stage.SAVING,
        Stage.SETTLING,
        Stage.COMPLETED,
    ]
    return way[: way.index(stage) + 1]


async def stage_of(pool: Pool, generation_id: str) -> Stage:
    query = "SELECT stage FROM generations WHERE generation_id = $1"
    return Stage(await pool.fetchval(query, generation_id))


async def age(pool: Pool, generation_id: str, by: timedelta) -> None:
    """Let a submission have happened earlier than it did."""
    await pool.execute(
        "UPDATE submissions SET sending_at = sending_at - $2::interval,"
        " send_by = send_by - $2::interval, accepted_at = accepted_at - $2::interval"
        " WHERE generation_id = $1",
        generation_id,
        by,
    )
