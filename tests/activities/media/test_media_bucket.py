"""The store on a bucket, against a real S3 API."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from activities.media.errors import NotStored, StoreUnavailable
from activities.media.store import MediaStore, input_key

OWNER = "0123abcd" * 4
KEY = input_key(OWNER, "0a" * 32)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
async def endpoint() -> AsyncIterator[str]:
    pytest.importorskip("moto.server", reason="moto's server stands in for S3")
    url = f"http://127.0.0.1:{(port := free_port())}"
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            while server.returncode is None:
                try:
                    (await client.put(f"{url}/bucket")).raise_for_status()
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                else:
                    break
        yield url
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> MediaStore:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return MediaStore.from_url("s3://bucket/prefix", client_options={"allow_http": True})


async def test_a_file_of_many_parts_comes_back_from_a_bucket_as_it_was(
    bucket: MediaStore, endpoint: str, tmp_path: Path
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
        stored = await client.head(f"{endpoint}/bucket/prefix/{KEY}")
    assert stored.headers["content-type"] == "video/mp4"


async def test_keys_of_a_bucket_are_relative_to_its_prefix(bucket: MediaStore) -> None:
    await bucket.put_bytes(b"0123456789", KEY, mime_type="image/png")

    assert [stored.key async for stored in bucket.list("inputs")] == [KEY]
    assert [chunk async for chunk in bucket.stream(KEY, start=2, end=4)] == [b"23"]
    assert bucket.url(KEY) == f"s3://bucket/prefix/{KEY}"
    assert bucket.local_path(KEY) is None
    assert await bucket.sweep_leftovers(0) == 0


async def test_a_deleted_object_of_a_bucket_is_gone_and_may_be_deleted_again(
    bucket: MediaStore,
) -> None:
    await bucket.put_bytes(b"x", KEY, mime_type="image/png")

    await bucket.delete(KEY)
    await bucket.delete(KEY)

    assert await bucket.head(KEY) is None
    with pytest.raises(NotStored):
        await anext(bucket.stream(KEY))


async def test_a_missing_bucket_is_not_a_missing_file(bucket: MediaStore) -> None:
    nowhere = MediaStore.from_url("s3://nowhere", client_options={"allow_http": True})

    with pytest.raises(StoreUnavailable):
        await nowhere.put_bytes(b"x", KEY, mime_type="image/png")
