"""From a completed prediction to a verified video in the store."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.database.pool import Pool
from activities.media.activities import MediaActivities
from activities.media.decoder_processes import DecoderProcess, start_process
from activities.media.downloads import Downloads
from activities.media.scratch import PREFIX
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from activities.provider.wavespeed import WaveSpeed
from tests.activities.conftest import (
    SMALL,
    WAN,
    SandboxControl,
    a_generation,
    a_picture,
    a_quote,
    some_terms,
    stage_of,
)
from workflows.contracts.activities import Download
from workflows.contracts.failures import FailureKind
from workflows.contracts.results import StoredVideo
from workflows.contracts.stages import Stage
from workflows.contracts.terms import Terms

Made = Callable[..., Awaitable[Download]]
AS_MADE = a_quote(width=64, height=36, duration_s=0.5)


@pytest.fixture
def media(
    database: Pool, store: MediaStore, wavespeed: WaveSpeed, media_settings: MediaSettings
) -> MediaActivities:
    return MediaActivities(database, Downloads(wavespeed, store, media_settings))


@pytest.fixture
def made(
    database: Pool,
    wavespeed: WaveSpeed,
    sandbox: SandboxControl,
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    """Have a prediction completed under faults; the task that downloads it."""

    async def make(*faults: dict[str, object], terms: Terms | None = None) -> Download:
        await sandbox.faults(output=[*SMALL, *faults])
        path = tmp_path_factory.mktemp("input") / "one.jpg"
        path.write_bytes(a_picture())
        url = await wavespeed.upload(path, filename="one.jpg", content_type="image/jpeg")
        body = {"image": url, "prompt": "a calm sea", "resolution": "480p"}
        prediction_id = await wavespeed.submit(WAN, body)
        async with asyncio.timeout(60):
            while not (await wavespeed.prediction(prediction_id)).is_final:
                await asyncio.sleep(0.02)
        agreed = terms or some_terms("gen_one", quote=AS_MADE)
        await a_generation(database, stage=Stage.GENERATING, terms=agreed)
        return Download(terms=agreed, prediction_id=prediction_id)

    return make


async def download(media: MediaActivities, task: Download) -> StoredVideo:
    return await ActivityEnvironment().run(media.download, task)


async def test_a_video_is_stored_verified_with_its_poster(
    media: MediaActivities, made: Made, store: MediaStore, database: Pool
) -> None:
    video = await download(media, await made())

    stored = await store.head(video.key)
    assert stored is not None
    assert stored.size_bytes == video.facts.size_bytes
    assert video.facts.sha256 in video.key
    assert (video.facts.width, video.facts.height) == (64, 36)
    assert video.facts.duration_s == pytest.approx(0.5, abs=0.1)
    assert video.poster_key is not None
    assert await store.head(video.poster_key) is not None
    assert (video.warnings, video.nsfw, video.extra_keys) == ((), False, ())
    assert await stage_of(database, "gen_one") is Stage.SAVING


async def test_downloading_again_gives_the_same_files(
    media: MediaActivities, made: Made, store: MediaStore
) -> None:
    task = await made()

    first, second = await download(media, task), await download(media, task)

    assert first == second
    assert len([each async for each in store.list("outputs")]) == 1


async def test_another_size_and_length_are_warnings_and_no_failure(
    media: MediaActivities, made: Made
) -> None:
    video = await download(media, await made(terms=some_terms("gen_one")))

    assert len(video.warnings) == 2
    assert video.warnings[0].endswith("s instead of 5 s.")
    assert video.warnings[1] == "It is 64x36 instead of 1280x720 pixels."


@pytest.mark.parametrize(
    "fault",
    [{"kind": "cut_file"}, {"kind": "html"}, {"kind": "expired", "urls": 9}],
    ids=str,
)
async def test_an_output_that_is_no_whole_video_is_never_an_asset(
    media: MediaActivities,
    made: Made,
    store: MediaStore,
    database: Pool,
    fault: dict[str, object],
) -> None:
    task = await made(fault)

    with pytest.raises(ApplicationError) as refused:
        await download(media, task)

    assert (refused.value.type, refused.value.non_retryable) == (
        FailureKind.OUTPUT_UNUSABLE,
        False,
    )
    assert "sig=" not in str(refused.value)
    assert [each async for each in store.list()] == []
    assert await stage_of(database, "gen_one") is Stage.DOWNLOADING


async def test_a_connection_that_breaks_may_be_tried_again(
    media: MediaActivities, made: Made
) -> None:
    task = await made({"kind": "cut_connection", "downloads": 1})

    with pytest.raises(ApplicationError) as broken:
        await download(media, task)
    video = await download(media, task)

    assert broken.value.type == FailureKind.OUTPUT_UNUSABLE
    assert video.facts.width == 64


async def test_an_expired_url_is_read_again_from_the_prediction(
    media: MediaActivities, made: Made
) -> None:
    video = await download(media, await made({"kind": "expired", "urls": 1}))

    assert video.facts.width == 64


async def test_a_completed_prediction_without_outputs_is_unusable(
    media: MediaActivities, made: Made, sandbox: SandboxControl
) -> None:
    await sandbox.faults(job={"kind": "no_outputs"})

    with pytest.raises(ApplicationError, match="completed without an output"):
        await download(media, await made())


async def test_further_outputs_are_kept_beside_the_asset(
    media: MediaActivities, made: Made, store: MediaStore
) -> None:
    video = await download(media, await made({"kind": "several_outputs", "count": 3}))

    # They are the same video here, and files are kept by content.
    assert video.extra_keys == (video.key, video.key)
    assert await store.head(video.key) is not None


async def test_a_refused_output_gives_its_room_back_before_the_next_is_fetched(
    database: Pool,
    made: Made,
    wavespeed: WaveSpeed,
    store: MediaStore,
    media_settings: MediaSettings,
    tmp_path: Path,
) -> None:
    lying: list[int] = []

    async def counted(arguments: Sequence[str]) -> DecoderProcess:
        lying.append(len(list((tmp_path / "media").glob(f"{PREFIX}*/output-*.mp4"))))
        return await start_process(arguments)

    downloads = Downloads(wavespeed, store, media_settings, start_decoder=counted)
    task = await made({"kind": "several_outputs", "count": 3}, {"kind": "cut_file"})

    with pytest.raises(ApplicationError):
        await download(MediaActivities(database, downloads), task)

    assert lying == [1, 1, 1]


async def test_a_flag_of_the_provider_marks_the_video(
    media: MediaActivities, made: Made, sandbox: SandboxControl
) -> None:
    await sandbox.faults(job={"kind": "nsfw"})

    video = await download(media, await made())

    assert video.nsfw
    assert video.warnings == ("The provider marked it as not safe for work.",)


async def test_a_video_over_the_size_limit_is_not_stored(
    database: Pool,
    made: Made,
    wavespeed: WaveSpeed,
    store: MediaStore,
    media_settings: MediaSettings,
) -> None:
    small = media_settings.model_copy(update={"output_size_bytes_max": 100})
    media = MediaActivities(database, Downloads(wavespeed, store, small))
    task = await made()

    with pytest.raises(ApplicationError) as refused:
        await download(media, task)

    assert (refused.value.type, refused.value.non_retryable) == (FailureKind.OUTPUT_UNUSABLE, True)
