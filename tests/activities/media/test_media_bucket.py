"""The store on a bucket, against a real S3 API."""

import asyncio
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from activities.media.errors import BucketMissing, NotStored, StoreRefused
from activities.media.store import LINK_S_MAX, MediaStore, input_key
from tests.s3 import BUCKET, MEDIA_URL, S3

OWNER = "0123abcd" * 4
KEY = input_key(OWNER, "0a" * 32)


async def test_a_file_of_many_parts_comes_back_from_a_bucket_as_it_was(
    bucket: MediaStore, s3: S3, tmp_path: Path
) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(os.urandom(20_000_000))

    await bucket.put_file(source, KEY, mime_type="video/mp4")

    await bucket.fetch_to(KEY, copy)
    assert copy.read_bytes() == source.read_bytes()
    head = await bucket.head(KEY)
    assert head
    assert (head.key, head.size_bytes) == (KEY, 20_000_000)
    async with httpx.AsyncClient(trust_env=False) as client:
        stored = await client.head(f"{s3.url}/{BUCKET}/prefix/{KEY}")
    assert stored.headers["content-type"] == "video/mp4"


async def test_keys_of_a_bucket_are_relative_to_its_prefix(bucket: MediaStore) -> None:
    await bucket.put_bytes(b"0123456789", KEY, mime_type="image/png")

    assert [stored.key async for stored in bucket.list("inputs")] == [KEY]
    assert [chunk async for chunk in bucket.stream(KEY, start=2, end=4)] == [b"23"]
    assert bucket.url(KEY) == f"{MEDIA_URL}/{KEY}"
    assert bucket.local_path(KEY) is None


async def test_a_deleted_object_of_a_bucket_is_gone_and_may_be_deleted_again(
    bucket: MediaStore,
) -> None:
    await bucket.put_bytes(b"x", KEY, mime_type="image/png")

    await bucket.delete(KEY)
    await bucket.delete(KEY)

    assert await bucket.head(KEY) is None
    with pytest.raises(NotStored):
        await anext(bucket.stream(KEY))


async def test_a_signed_address_gives_the_file_without_a_key_of_ours(bucket: MediaStore) -> None:
    await bucket.put_bytes(b"the video", KEY, mime_type="video/mp4")

    link = await bucket.presigned_url(KEY, 60)

    assert link is not None
    asked = parse_qs(urlsplit(link).query)
    assert asked["X-Amz-Expires"] == ["60"]
    assert asked["X-Amz-Signature"]
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(link, headers={"Range": "bytes=4-"})
    assert (answer.status_code, answer.content) == (206, b"video")
    assert answer.headers["content-type"] == "video/mp4"


@pytest.mark.parametrize("expires_s", [0, -1, LINK_S_MAX + 1])
async def test_an_address_is_signed_for_a_second_to_a_week(
    bucket: MediaStore, expires_s: int
) -> None:
    with pytest.raises(ValueError, match=f"expires_s is {expires_s}; allowed: 1 to 604800"):
        await bucket.presigned_url(KEY, expires_s)


async def test_a_missing_bucket_is_not_a_missing_file(bucket: MediaStore) -> None:
    nowhere = MediaStore.from_url("s3://nowhere")

    with pytest.raises(BucketMissing, match="could not store a file: there is no such bucket"):
        await nowhere.put_bytes(b"x", KEY, mime_type="image/png")
    with pytest.raises(BucketMissing):
        await anext(nowhere.stream(KEY))


async def test_a_bucket_that_refuses_our_key_is_told_from_one_that_is_away(
    bucket: MediaStore, s3: S3
) -> None:
    await s3.ask_for_keys(after_requests=0)

    try:
        with pytest.raises(StoreRefused, match="the media store refuses our credentials") as caught:
            await bucket.put_bytes(b"x", KEY, mime_type="image/png")
    finally:
        await s3.ask_for_keys(after_requests=10**9)

    assert "AWS_ACCESS_KEY_ID" in caught.value.repair


async def test_a_cancelled_upload_takes_back_the_parts_that_it_has_sent(
    bucket: MediaStore, s3: S3, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(500_000_000)
    upload = asyncio.create_task(bucket.put_file(source, KEY, mime_type="video/mp4"))
    while not await s3.unfinished_uploads():
        await asyncio.sleep(0.01)

    upload.cancel()

    with pytest.raises(asyncio.CancelledError):
        await upload
    assert await s3.unfinished_uploads() == []
    assert await s3.objects() == []


async def test_storing_and_fetching_a_large_file_takes_little_memory(
    bucket: MediaStore, s3: S3, tmp_path: Path
) -> None:
    source = tmp_path / "large"
    with source.open("wb") as file:
        file.truncate(300_000_000)
    program = textwrap.dedent(f"""
        import asyncio, pathlib, resource, sys
        from activities.media.store import MediaStore

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        async def main():
            source = pathlib.Path(sys.argv[1])
            store = MediaStore.from_url({MEDIA_URL!r})
            await store.put_bytes(b"warm", "warm", mime_type="video/mp4")
            before = peak()
            await store.put_file(source, {KEY!r}, mime_type="video/mp4")
            await store.fetch_to({KEY!r}, source.with_name("copy"))
            print(peak() - before)

        asyncio.run(main())
    """)

    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, str(source)],
        env=os.environ | s3.environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(ran.stdout) * 1024 < 64 * 1024**2
    assert (tmp_path / "copy").stat().st_size == 300_000_000


@pytest.mark.parametrize(
    "url", ["s3://key:secret@bucket/prefix", "s3://bucket:9000/prefix", "s3://bucket/prefix?x=1"]
)
def test_a_bucket_with_more_than_a_prefix_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="a bucket is written s3://bucket/prefix") as caught:
        MediaStore.from_url(url)

    assert "secret@" not in str(caught.value)
