"""Files that are small and cost much: every one is refused within bounds of memory and time.

What takes time is shown with a limit of two seconds, what takes memory with 256 MiB: smaller
than a deployment's, so that the bombs can be small too.
"""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from activities.boundary import application_error
from activities.media.decoding import inspect, inspect_with_poster
from activities.media.documents import parse_document
from activities.media.errors import (
    Damaged,
    DecoderCrashed,
    DecodingFailed,
    DecodingTimedOut,
    ManyFrames,
    MediaInvalid,
    TooManyPixels,
    VideoCorrupt,
)
from activities.media.inputs import Inputs
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from tests.security import bombs
from tests.security.conftest import NoPool
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import MediaKind
from workflows.contracts.stories import DOCUMENT_BYTES_MAX

MEMORY = 256 * 1024**2
LITTLE_TIME_S = 2.0
UNPACKED_BYTES = 300_000_000
FRAMES = 3

Make = Callable[[Path], Path]


def limits(tmp_path: Path, **given: float) -> MediaSettings:
    url = (tmp_path / "media").as_uri()
    return MediaSettings.model_validate(
        {"media_url": url, "decode_memory_bytes_max": MEMORY, "decode_timeout_s": 60} | given
    )


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", [b"zTXt", b"iCCP"])
async def test_a_text_or_profile_that_unpacks_a_thousandfold_is_refused(
    tmp_path: Path, name: bytes
) -> None:
    packed = bombs.chunk(name, b"a\0\0" + bombs.squeezed(UNPACKED_BYTES))
    bomb = written(tmp_path / "bomb.png", bombs.flat_png(16, 256, packed))
    fine = written(tmp_path / "fine.png", bombs.flat_png(16, 256))

    assert (await inspect("image", fine, limits(tmp_path))).width == 16
    with pytest.raises(Damaged):
        await inspect("image", bomb, limits(tmp_path))


@pytest.mark.parametrize("frames", [2, 2**31 - 1])
async def test_an_animation_is_refused_by_its_promise_alone(tmp_path: Path, frames: int) -> None:
    bomb = bombs.flat_png(16, 256, bombs.animation_header(frames))

    with pytest.raises(ManyFrames, match="is an animation of"):
        await inspect("image", written(tmp_path / "bomb.png", bomb), limits(tmp_path))


async def test_a_flood_of_pixels_is_refused_before_one_is_decoded(tmp_path: Path) -> None:
    flood = written(tmp_path / "flood.png", bombs.flat_png(16_000, 16_000))

    # No limit of time or memory is needed: a quarter of its pixels are allowed.
    with pytest.raises(TooManyPixels, match="at most 64,000,000 pixels"):
        await inspect("image", flood, limits(tmp_path))


async def test_a_picture_that_is_refined_again_and_again_ends_at_the_time_limit(
    tmp_path: Path,
) -> None:
    bomb = bombs.jpeg_of_many_scans(tmp_path / "scans.jpg", 6_000, 600)

    with pytest.raises(DecodingTimedOut):
        await inspect("image", bomb, limits(tmp_path, decode_timeout_s=LITTLE_TIME_S))


async def test_a_video_whose_frames_are_far_wider_than_its_header_ends_at_the_memory_limit(
    tmp_path: Path,
) -> None:
    picture = bombs.flat_png(16_000, 16_000)
    bomb = bombs.video_of_wide_frames(tmp_path / "wide.mp4", picture, 1)

    with pytest.raises(DecoderCrashed, match="took more than 268,435,456 bytes of memory"):
        await inspect("video", bomb, limits(tmp_path))
    with pytest.raises(DecoderCrashed, match="bytes of memory"):
        await inspect_with_poster(bomb, tmp_path / "poster.jpg", limits(tmp_path))
    assert not (tmp_path / "poster.jpg").exists()


async def test_a_video_of_many_such_frames_ends_at_the_time_limit(tmp_path: Path) -> None:
    picture = bombs.flat_png(8_000, 8_000)
    bomb = bombs.video_of_wide_frames(tmp_path / "wide.mp4", picture, 200)
    enough = limits(tmp_path, decode_memory_bytes_max=2**31, decode_timeout_s=LITTLE_TIME_S)

    with pytest.raises(DecodingTimedOut):
        await inspect("video", bomb, enough)


NUMBERS: dict[str, Make] = {
    "two billion frames in the index": lambda path: bombs.with_table(path, b"stts", 8, 2**31 - 1),
    "two billion runs in the index": lambda path: bombs.with_table(path, b"stts", 4, 2**31 - 1),
    "frames that last for years": lambda path: bombs.with_table(path, b"stts", 8, 3, 2**30),
    "two billion samples": lambda path: bombs.with_table(path, b"stsz", 4, 10, 2**31 - 1),
    "two billion chunks": lambda path: bombs.with_table(path, b"stco", 4, 2**31 - 1),
    "a box as large as all": lambda path: bombs.with_table(path, b"moov", -8, 2**32 - 1),
}


@pytest.mark.parametrize("change", NUMBERS.values(), ids=NUMBERS)
async def test_a_video_that_promises_too_much_is_refused_or_not_believed(
    tmp_path: Path, change: Make
) -> None:
    bomb = change(bombs.video_of_many_streams(tmp_path / "counts.mp4", 1))

    try:
        facts = await inspect("video", bomb, limits(tmp_path, decode_timeout_s=10))
    except (VideoCorrupt, DecodingFailed):
        return

    # FFmpeg doesn't believe the number of chunks, and finds the frames that there are.
    assert facts.frames == FRAMES


async def test_hundreds_of_streams_cost_no_more_than_one(tmp_path: Path) -> None:
    many = bombs.video_of_many_streams(tmp_path / "many.mp4", 300)

    facts = await inspect("video", many, limits(tmp_path, decode_timeout_s=10))

    assert (facts.frames, facts.width) == (FRAMES, 16)


async def test_hours_of_silence_in_a_small_file_are_counted_or_end_at_the_time_limit(
    tmp_path: Path,
) -> None:
    long = bombs.silence(tmp_path / "long.flac", 1)

    facts = await inspect("audio", long, limits(tmp_path))
    with pytest.raises(DecodingTimedOut):
        await inspect("audio", long, limits(tmp_path, decode_timeout_s=0.1))

    assert long.stat().st_size < 1_000_000
    assert facts.duration_s == pytest.approx(3_600, abs=3)


async def test_an_input_over_the_limits_is_refused_once_and_for_all(tmp_path: Path) -> None:
    few = limits(tmp_path, decode_timeout_s=0.8)
    bomb = bombs.jpeg_of_many_scans(tmp_path / "bomb.jpg", 6_000, 150)
    inputs = Inputs(NoPool(), MediaStore.from_url(few.media_url), few)

    with pytest.raises(RequestRefused, match=r"image: decoding .* took longer than") as refusal:
        await inputs.add("ann", bomb, "image")

    # A worker does not decode it again, and the person reads that the file is the reason.
    told = application_error(refusal.value)
    assert told is not None
    assert told.non_retryable
    assert refusal.value.failure.kind is FailureKind.INVALID_MEDIA


async def test_an_input_over_the_memory_limit_is_refused_after_a_second_try(tmp_path: Path) -> None:
    few = limits(tmp_path)
    bomb = written(tmp_path / "bomb.png", bombs.flat_png(8_000, 8_000, alpha=True))
    inputs = Inputs(NoPool(), MediaStore.from_url(few.media_url), few)

    with pytest.raises(RequestRefused, match=r"image: .* took more than 268,435,456 bytes") as told:
        await inputs.measure(bomb, "image")

    assert told.value.failure.kind is FailureKind.INVALID_MEDIA


@pytest.mark.parametrize("kind", ["image", "audio", "video"])
async def test_a_packed_file_is_not_unpacked(tmp_path: Path, kind: MediaKind) -> None:
    packed = written(tmp_path / "packed.gz", gzip.compress(bytes(50_000_000), 9))

    with pytest.raises(MediaInvalid):
        await inspect(kind, packed, limits(tmp_path))  # pyright: ignore[reportCallIssue, reportArgumentType]


@pytest.mark.parametrize(
    "document",
    [
        b"[" * DOCUMENT_BYTES_MAX,
        b'{"a":' * (DOCUMENT_BYTES_MAX // 5),
        b'{"a": ' + b"9" * 200_000 + b"}",
        b'"' + b"\\ud800" * 40_000 + b'"',
    ],
)
def test_a_document_that_is_deep_or_of_huge_numbers_is_refused(document: bytes) -> None:
    with pytest.raises(MediaInvalid):
        parse_document(document[:DOCUMENT_BYTES_MAX], "story.json")
