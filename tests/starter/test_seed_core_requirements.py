"""The requirement table "Core Requirements (All Operations)": a test a row, a case a column."""

import hashlib
import re
from pathlib import Path

import av
import pytest

from activities.library.repository import UnknownAsset
from starter import GenerationFailed, VideoClient
from tests.starter.columns import COLUMNS, SMALL, Column, nothing_allowed, parks, sent
from tests.starter.conftest import Stack
from workflows.contracts.failures import FailureKind
from workflows.contracts.results import Generation
from workflows.contracts.stages import Stage, Status

every_column = pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.title)

Made = dict[str, Generation]


@pytest.fixture(scope="module")
async def made(client: VideoClient) -> Made:
    """One finished generation of each column, each of a user of its own."""
    handles = [await each.start(client, f"core-{each.operation.value}") for each in COLUMNS]
    return {
        each.title: await handle.result(timeout=90)
        for each, handle in zip(COLUMNS, handles, strict=True)
    }


@every_column
async def test_pre_flight_validation(
    column: Column, client: VideoClient, stack: Stack, user: str
) -> None:
    before = await stack.submits()

    async with nothing_allowed(stack, user):
        estimate = await client.estimate_for(column.operation, user_id=user, **column.fields)
        handle = await column.start(client, user)
        with pytest.raises(GenerationFailed) as refused:
            await handle.result(timeout=60)

    assert estimate.allowed is False
    assert refused.value.failure.kind is FailureKind.QUOTA_EXCEEDED
    assert refused.value.failure.message.startswith("videos: 0 of the 0 of plan Nothing")
    assert await stack.submits() == before
    assert (await client.usage(user)).reserved_usd_micros == 0


@every_column
async def test_usage_tracking(column: Column, client: VideoClient, made: Made) -> None:
    generation = made[column.title]

    usage = await client.usage(generation.user_id)

    assert (usage.videos_settled, usage.videos_reserved) == (1, 0)
    assert usage.settled_usd_micros == generation.cost_usd_micros == column.cost_usd_micros
    assert usage.reserved_usd_micros == 0


@every_column
async def test_file_saving(column: Column, made: Made) -> None:
    generation = made[column.title]
    assert generation.file_path is not None
    path = Path(generation.file_path)

    with av.open(str(path)) as video:
        frames = sum(1 for _ in video.decode(video=0))

    assert frames > 0
    assert path.stat().st_size == generation.file_size_bytes
    assert hashlib.sha256(path.read_bytes()).hexdigest() == generation.sha256


@every_column
async def test_asset_library(column: Column, client: VideoClient, made: Made) -> None:
    generation = made[column.title]

    (asset,) = await client.assets(user_id=generation.user_id)

    assert (asset.asset_id, asset.generation_id) == (
        generation.asset_id,
        generation.generation_id,
    )
    assert (asset.source, asset.operation) == (column.source, column.operation)
    with pytest.raises(UnknownAsset):
        await client.asset(asset.asset_id, user_id="somebody-else")


@every_column
async def test_progress_callbacks(
    column: Column, client: VideoClient, stack: Stack, user: str
) -> None:
    told: list[tuple[float, str]] = []

    async with stack.faults(SMALL):
        handle = await column.start(client, user)
        await handle.result(
            timeout=90, on_progress=lambda percent, text: told.append((percent, text))
        )

    percents = [percent for percent, _ in told]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert any(20 <= percent <= 80 for percent in percents)
    assert all(text for _, text in told)


@every_column
async def test_metadata_return(column: Column, made: Made, stack: Stack) -> None:
    generation = made[column.title]
    inputs = await sent(stack, generation)

    assert generation.status is Status.COMPLETED
    assert generation.cost_usd_micros == generation.quoted_usd_micros == column.cost_usd_micros
    assert generation.duration_s == pytest.approx(column.duration_s, abs=0.1)
    assert (generation.model, generation.provider) == (column.model, "sandbox")
    assert generation.prompt == inputs["prompt"]
    assert generation.prediction_id
    assert generation.resolution
    assert generation.width
    assert generation.height


@every_column
async def test_error_handling(column: Column, client: VideoClient, stack: Stack, user: str) -> None:
    async with stack.faults({"job": {"kind": "failed"}}):
        handle = await column.start(client, user)
        with pytest.raises(GenerationFailed) as ended:
            await handle.result(timeout=90)

    told = ended.value.failure
    assert told.kind is FailureKind.PROVIDER_FAILED
    assert "is released" in told.money
    assert "tart it again" in told.hint
    usage = await client.usage(user)
    assert (usage.reserved_usd_micros, usage.settled_usd_micros) == (0, 0)
    assert await client.assets(user_id=user) == []


@every_column
async def test_resume_support(column: Column, client: VideoClient, stack: Stack, user: str) -> None:
    before = await stack.submits()
    async with stack.faults({"poll": {"kind": "status", "code": 401}, **SMALL}):
        handle = await column.start(client, user)
        await parks(handle)
        parked = await handle.read_generation()

    assert await handle.resume() is True
    generation = await handle.result(timeout=90)

    assert parked.error is not None
    assert parked.stage is Stage.TIMED_OUT
    assert generation.status is Status.COMPLETED
    assert generation.prediction_id == parked.prediction_id
    assert await stack.submits() == before + 1
    assert (await client.usage(user)).settled_usd_micros == column.cost_usd_micros


@every_column
async def test_nothing_that_is_stored_holds_an_address_with_a_secret(
    column: Column, made: Made, stack: Stack
) -> None:
    generation = made[column.title]

    stored = [
        await stack.database.fetchval(
            f"SELECT string_agg(t::text, ' ') FROM {table} t WHERE generation_id = $1",
            generation.generation_id,
        )
        for table in ("generations", "events", "assets", "submissions", "submission_attempts")
    ]

    assert all(stored)
    # What is signed or carries a token has a query.
    assert re.findall(r"https?://[^\s\"]*\?", " ".join(stored)) == []
