"""Links: they play without a key until they end, and nobody makes one but us."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from activities.media.settings import MediaSettings
from starter.api.links import Grant, token_of
from starter.client import VideoClient
from tests.s3 import MEDIA_URL, running_s3
from tests.starter.api.conftest import Api, a_caller, api_of
from tests.starter.api.products import Product, a_user, problem_in
from tests.starter.api.shelves import CONTENT, STILL, Filed, filed

WITHIN_S = 10.0


@pytest.fixture(scope="module")
async def video(api: Api) -> Filed:
    return await filed(api, a_user())


def in_an_hour() -> int:
    return int(time.time()) + 3600


@pytest.mark.parametrize(("file", "content"), [("content", CONTENT), ("poster", STILL)])
async def test_a_link_plays_without_a_key_whole_and_in_parts(
    product: Product, video: Filed, file: str, content: bytes
) -> None:
    before = time.time()
    made = await product.post(f"{video.path}/links", video.user, json={"file": file})

    assert made.status_code == 201
    link = made.json()
    ends_at = datetime.fromisoformat(link["expires_at"]).astimezone(UTC).timestamp()
    assert before + 299 <= ends_at <= time.time() + 300
    assert link["url"].startswith(f"{product.origin}/v1/media/")
    async with a_caller() as stranger:
        whole = await stranger.get(link["url"])
        part = await stranger.get(link["url"], headers={"Range": "bytes=10-19"})
        head = await stranger.head(link["url"])
        saved = await stranger.get(f"{link['url']}?download=true")
    assert (whole.status_code, whole.content) == (200, content)
    assert (part.status_code, part.content) == (206, content[10:20])
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(content)))
    assert saved.headers["content-disposition"].startswith("attachment; ")
    assert whole.headers["referrer-policy"] == "no-referrer"


async def test_the_deployments_own_address_stands_in_its_links(
    api: Api, product: Product, video: Filed
) -> None:
    parts = replace(api.parts, public_url="https://video.example.com")
    async with api_of(parts) as origin:
        public = replace(product, origin=origin)
        link = (await public.post(f"{video.path}/links", video.user, json={})).json()
        reply = await api.http.get(origin + urlsplit(link["url"]).path)

    assert link["url"].startswith("https://video.example.com/v1/media/")
    assert reply.content == CONTENT


async def test_a_link_that_has_ended_says_so(api: Api, video: Filed) -> None:
    token = token_of(api.hash_key, Grant(video.asset_id, "content", int(time.time())))

    reply = await api.http.get(f"{api.origin}/v1/media/{token}")

    assert (reply.status_code, problem_in(reply)["kind"]) == (410, "link_ended")


async def test_a_link_that_we_did_not_make_is_none(api: Api, video: Filed) -> None:
    ours = token_of(api.hash_key, Grant(video.asset_id, "content", in_an_hour()))
    asset_id, file, ends_at, mac = ours.split(".")
    foreign = (
        token_of("another deployment's", Grant(video.asset_id, "content", in_an_hour())),
        ".".join((f"ast_{'a' * 26}", file, ends_at, mac)),
        f"{asset_id}.poster.{ends_at}.{mac}",
        ".".join((asset_id, file, f"{int(ends_at) + 1}", mac)),
        ".".join((asset_id, file, f"0{ends_at}", mac)),
        ".".join((asset_id, file, ends_at, mac[:-1])),
        ".".join((asset_id, file, ends_at, "é" * 43)),
        f"{ours}=",
        "x",
        "%00",
    )

    replies = [await api.http.get(f"{api.origin}/v1/media/{each}") for each in foreign]

    assert (await api.http.get(f"{api.origin}/v1/media/{ours}")).status_code == 200
    assert {reply.status_code for reply in replies} == {404}
    assert {problem_in(reply)["kind"] for reply in replies} == {"unknown_link"}


async def test_a_link_ends_with_its_asset(api: Api, product: Product) -> None:
    video = await filed(api, a_user())
    link = (await product.post(f"{video.path}/links", video.user, json={})).json()["url"]

    await product.ask("DELETE", video.path, video.user)

    assert (await api.http.get(link)).status_code == 404


@pytest.mark.parametrize(
    "asked",
    [
        {"expires_s": 0},
        {"expires_s": 7 * 24 * 3600 + 1},
        {"expires_s": "soon"},
        {"file": "thumbnail"},
        {"path": "/etc/passwd"},
    ],
)
async def test_a_link_that_can_not_be_is_refused(
    product: Product, video: Filed, asked: dict[str, object]
) -> None:
    reply = await product.post(f"{video.path}/links", video.user, json=asked)

    assert (reply.status_code, problem_in(reply)["kind"]) == (422, "invalid_request")


async def test_no_link_and_no_token_stands_in_the_log(
    api: Api, product: Product, video: Filed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    link = (await product.post(f"{video.path}/links", video.user, json={})).json()["url"]
    await api.http.get(link)
    lines: list[str] = []
    async with asyncio.timeout(WITHIN_S):
        # A request is logged when its route has ended: just after the last byte.
        while not any("/v1/media/" in line for line in lines):
            await asyncio.sleep(0.01)
            # The client of this test is not ours.
            ours = [one for one in caplog.records if not one.name.startswith(("httpx", "httpcore"))]
            lines = [each.getMessage() for each in ours]

    assert not any(link.rpartition("/")[2] in line for line in lines)


async def test_the_link_to_a_file_in_a_bucket_is_the_buckets_own(
    api: Api, product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_s3(tmp_path) as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        place = api.parts.place._replace(media=MediaSettings(media_url=MEDIA_URL))
        client = VideoClient(api.parts.temporal, api.parts.pool, place, AsyncExitStack())
        bucket = replace(api, parts=replace(api.parts, client=client))
        video = await filed(bucket, a_user())
        async with api_of(bucket.parts) as origin, a_caller() as stranger:
            there = replace(product, origin=origin)
            link = (await there.post(f"{video.path}/links", video.user, json={})).json()["url"]
            whole = await stranger.get(link)
            part = await stranger.get(link, headers={"Range": "bytes=10-19"})
            through_us = await there.get(
                f"{video.path}/content", video.user, headers={"Range": "bytes=-5"}
            )
            still = await there.get(f"{video.path}/poster", video.user)

    assert link.startswith(s3.url)
    assert (whole.content, part.content) == (CONTENT, CONTENT[10:20])
    assert (through_us.status_code, through_us.content) == (206, CONTENT[-5:])
    assert still.content == STILL
