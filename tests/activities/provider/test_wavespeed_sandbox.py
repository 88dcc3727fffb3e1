"""The client against the sandbox provider, a real process: what a sound provider does."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import JsonValue

from activities.provider import errors
from activities.provider.models import Prediction, Status
from activities.provider.wavespeed import WaveSpeed
from tests.activities.provider.conftest import settings_for

KANDINSKY = "wavespeed-ai/kandinsky5-pro/image-to-video"
PICTURE = Path(__file__).parents[3] / "examples" / "coffee.jpg"
PATIENCE_S = 60


@pytest.fixture(scope="module")
async def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    data_dir = tmp_path_factory.mktemp("sandbox")
    command = ["-m", "workers.sandbox", "--port", "0", "--data-dir", str(data_dir)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, "--work-s", "0.05", "--die-with-parent", stdout=PIPE
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        yield json.loads(line)["provider"]
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def sandbox(sandbox_url: str) -> AsyncIterator[WaveSpeed]:
    async with WaveSpeed(settings_for(sandbox_url)) as client:
        yield client


async def finished(sandbox: WaveSpeed, prediction_id: str) -> Prediction:
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await sandbox.prediction(prediction_id)).is_final:
            await asyncio.sleep(0.05)
    return found


async def test_a_video_is_uploaded_quoted_submitted_listed_billed_and_deleted(
    sandbox: WaveSpeed,
) -> None:
    started_at = datetime.now(UTC) - timedelta(minutes=1)
    until = started_at + timedelta(hours=1)
    url = await sandbox.upload(PICTURE, filename="gen_1-image.jpg", content_type="image/jpeg")
    inputs: dict[str, JsonValue] = {"image": url, "prompt": "steam rises", "resolution": "512p"}

    quote = await sandbox.price(KANDINSKY, inputs)
    prediction_id = await sandbox.submit(KANDINSKY, {**inputs, "seed": None})
    video = await finished(sandbox, prediction_id)
    listing = await sandbox.all_predictions(
        created_after=started_at, created_before=until, model=KANDINSKY
    )
    bill = await sandbox.billings([prediction_id], start=started_at, end=until)

    assert quote == 200_000
    assert (video.status, video.model, video.error_code) == (Status.COMPLETED, KANDINSKY, None)
    assert len(video.outputs) == 1
    assert video.created_at is not None
    assert started_at < video.created_at < until
    assert listing.complete
    assert listing.rows_carry_input
    [row] = [row for row in listing.items if row.input and row.input["image"] == url]
    assert row.id == prediction_id
    assert [item.amount_usd_micros for item in bill] == [quote]

    await sandbox.delete(prediction_id)
    with pytest.raises(errors.NotFound):
        await sandbox.delete("0" * 32)


async def test_a_listing_of_another_hour_is_complete_and_empty(sandbox: WaveSpeed) -> None:
    then = datetime.now(UTC) - timedelta(days=2)

    listing = await sandbox.all_predictions(
        created_after=then, created_before=then + timedelta(hours=1)
    )

    assert (listing.items, listing.complete, listing.rows_carry_input) == ((), True, True)


async def test_the_sandbox_refuses_what_the_provider_refuses(sandbox: WaveSpeed) -> None:
    with pytest.raises(errors.NotFound):
        await sandbox.submit("wavespeed-ai/no-such-model", {"prompt": "sea"})
    with pytest.raises(errors.InputRefused):
        await sandbox.submit(KANDINSKY, {"prompt": "sea"})
    with pytest.raises(errors.NotFound):
        await sandbox.prediction("0" * 32)


async def test_the_account_has_credit_and_a_webhook_secret(sandbox: WaveSpeed) -> None:
    assert await sandbox.balance() > 0
    assert (await sandbox.webhook_secret()).get_secret_value().startswith("whsec_")


async def test_more_calls_than_connections_wait_in_turn_instead_of_failing(
    sandbox_url: str,
) -> None:
    hasty = settings_for(sandbox_url, connect_timeout_s=1.5)
    slow = {"poll": {"kind": "slow", "delay_s": 0.6}}
    controls = sandbox_url.replace("/api/v3", "/sandbox/faults")
    async with WaveSpeed(hasty) as client, httpx.AsyncClient(trust_env=False) as http:
        await http.post(controls, json=slow)

        looks = [client.prediction(f"{number:032x}") for number in range(400)]
        outcomes = await asyncio.gather(*looks, return_exceptions=True)

        await http.delete(controls)
    assert {type(each) for each in outcomes} == {errors.NotFound}
