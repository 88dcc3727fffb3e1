"""A bucket that is busy, slow, away or breaks off: whole or absent, and told in a sentence."""

import re
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from activities.media.errors import StoreUnavailable
from activities.media.store import MediaStore, input_key
from tests.activities.media.between import Between, Fate, Request
from tests.s3 import MEDIA_URL, S3

KEY = input_key("0123abcd" * 4, "0a" * 32)
SIZE_BYTES = 20_000_000
"""Four parts."""


@pytest.fixture
async def between(s3: S3) -> AsyncIterator[Between]:
    async with Between(s3.url).listening() as listening:
        yield listening


@pytest.fixture
def store(between: Between, bucket: MediaStore, monkeypatch: pytest.MonkeyPatch) -> MediaStore:
    """The bucket by way of `between`."""
    assert bucket.url(KEY).startswith(MEDIA_URL)
    monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
    return MediaStore.from_url(MEDIA_URL, client_options={"read_timeout": timedelta(seconds=2)})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"stillmotion!" * (SIZE_BYTES // 12))
    return path


def says_no_address(error: Exception) -> bool:
    return re.search(r"://|127\.0|prefix|inputs/", str(error)) is None


async def test_a_busy_bucket_is_asked_again_for_the_part_and_not_for_the_whole_file(
    store: MediaStore, between: Between, s3: S3, source: Path
) -> None:
    begun: list[str] = []

    def fate(request: Request) -> Fate:
        if request.method == "POST" and "?uploads" in request.target:
            begun.append(request.target)
        return "busy" if request.is_part and request.number < 2 else "pass"

    between.fate = fate

    await store.put_file(source, KEY, mime_type="video/mp4")

    assert len(begun) == 1
    assert await s3.objects() == [f"prefix/{KEY}"]


@pytest.mark.parametrize(
    ("fate", "told"),
    [
        ("busy", "the media store failed, it answered with HTTP 503"),
        ("cut", "the media store failed, it can't be reached, or stopped answering"),
        ("hang", "the media store failed, it can't be reached, or stopped answering"),
    ],
)
async def test_an_upload_that_breaks_in_the_middle_leaves_nothing_behind(
    store: MediaStore, between: Between, s3: S3, source: Path, fate: Fate, told: str
) -> None:
    between.fate = lambda request: fate if request.is_part else "pass"

    with pytest.raises(StoreUnavailable) as caught:
        await store.put_file(source, KEY, mime_type="video/mp4")

    assert str(caught.value) == f"could not store a file: {told}"
    assert await s3.objects() == []
    assert await s3.unfinished_uploads() == []


async def test_a_file_whose_reading_breaks_off_is_not_left_half_on_the_disk(
    store: MediaStore, between: Between, source: Path, tmp_path: Path
) -> None:
    await store.put_file(source, KEY, mime_type="video/mp4")
    between.fate = lambda request: "half" if request.method == "GET" else "pass"

    with pytest.raises(StoreUnavailable) as caught:
        await store.fetch_to(KEY, tmp_path / "copy")

    assert says_no_address(caught.value)
    assert not (tmp_path / "copy").exists()


async def test_a_bucket_that_nobody_serves_is_told_without_its_address(
    bucket: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        store = MediaStore.from_url(MEDIA_URL)

        with pytest.raises(StoreUnavailable, match="can't be reached") as caught:
            await store.head(KEY)

    assert says_no_address(caught.value)
