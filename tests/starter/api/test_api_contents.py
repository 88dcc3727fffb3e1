"""Files over HTTP: whole, in parts, known already; under a name that any system takes."""

import asyncio
import resource
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from starter.api.contents import disposition_of
from starter.assets import AssetFile
from tests.starter.api.conftest import Api
from tests.starter.api.holders import owners_pool
from tests.starter.api.products import Product, a_user, problem_in
from tests.starter.api.shelves import CONTENT, STILL, Filed, filed

SIZE = len(CONTENT)


@pytest.fixture(scope="module")
async def video(api: Api) -> Filed:
    return await filed(api, a_user())


@pytest.mark.parametrize(
    ("tail", "content", "media_type"),
    [("/content", CONTENT, "video/mp4"), ("/poster", STILL, "image/jpeg")],
)
async def test_a_file_is_read_whole_and_its_head_says_the_same(
    product: Product, video: Filed, tail: str, content: bytes, media_type: str
) -> None:
    reply = await product.get(video.path + tail, video.user)
    head = await product.ask("HEAD", video.path + tail, video.user)

    assert (reply.status_code, reply.content) == (200, content)
    assert (head.status_code, head.content) == (200, b"")
    for headers in (reply.headers, head.headers):
        assert headers["content-type"] == media_type
        assert headers["content-length"] == str(len(content))
        assert headers["accept-ranges"] == "bytes"
        assert headers["content-disposition"].startswith("inline; ")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "private, no-cache"
    assert reply.headers["etag"] == head.headers["etag"]


async def test_the_etag_of_a_video_is_its_hash(product: Product, video: Filed) -> None:
    reply = await product.get(f"{video.path}/content", video.user)

    assert reply.headers["etag"] == f'"{video.sha256}"'


async def test_a_file_that_is_to_be_saved_says_so(product: Product, video: Filed) -> None:
    reply = await product.get(f"{video.path}/content?download=true", video.user)

    assert reply.headers["content-disposition"] == (
        "attachment; filename=\"a calm sea.mp4\"; filename*=UTF-8''a%20calm%20sea.mp4"
    )


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, SIZE),
        ("bytes=-100", SIZE - 100, SIZE),
        ("bytes=-999999", 0, SIZE),
        (f"bytes=10-{10**17}", 10, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("BYTES= 5-6", 5, 7),
    ],
)
async def test_a_part_is_what_was_asked_for(
    product: Product, video: Filed, asked: str, start: int, end: int
) -> None:
    reply = await product.get(f"{video.path}/content", video.user, headers={"Range": asked})

    assert (reply.status_code, reply.content) == (206, CONTENT[start:end])
    assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert reply.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0"])
async def test_a_part_beyond_the_end_is_refused_with_the_size(
    product: Product, video: Filed, asked: str
) -> None:
    reply = await product.get(f"{video.path}/content", video.user, headers={"Range": asked})

    assert (reply.status_code, problem_in(reply)["kind"]) == (416, "range_beyond_the_end")
    assert reply.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,5-6", "bytes=9-5", "bytes=-", "bytes=x-y", "bytes", "lines=0-5", f"bytes={9**30}-"],
)
async def test_what_is_no_single_part_gives_the_whole(
    product: Product, video: Filed, asked: str
) -> None:
    reply = await product.get(f"{video.path}/content", video.user, headers={"Range": asked})

    assert (reply.status_code, reply.content) == (200, CONTENT)
    assert "content-range" not in reply.headers


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        ("{etag}", 206),
        ('"another"', 200),
        ("W/{etag}", 200),
        ("Mon, 23 Nov 2026 00:00:00 GMT", 200),
    ],
)
async def test_a_part_of_another_file_than_the_reader_has_is_the_whole(
    product: Product, video: Filed, if_range: str, status: int
) -> None:
    headers = {"Range": "bytes=0-9", "If-Range": if_range.format(etag=f'"{video.sha256}"')}

    reply = await product.get(f"{video.path}/content", video.user, headers=headers)

    assert reply.status_code == status
    assert reply.content == (CONTENT[:10] if status == 206 else CONTENT)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("known", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),
        ('"another", {etag}', 304),
        ("*", 304),
        ('"another"', 200),
        ("{bare}", 200),
    ],
)
async def test_who_has_the_file_is_not_sent_it_again(
    product: Product, video: Filed, method: str, known: str, status: int
) -> None:
    etag = f'"{video.sha256}"'
    headers = {"If-None-Match": known.format(etag=etag, bare=video.sha256)}

    reply = await product.ask(method, f"{video.path}/content", video.user, headers=headers)

    assert reply.status_code == status
    assert reply.headers["etag"] == etag
    if status == 304:
        assert reply.content == b""


async def test_a_file_that_is_not_in_the_store_is_a_problem_before_the_reply_begins(
    api: Api, product: Product
) -> None:
    user = a_user()
    video, without = await filed(api, user), await filed(api, user, still=None)
    await api.parts.client.store.delete(video.key)

    for method, path in (
        ("GET", f"{video.path}/content"),
        ("HEAD", f"{video.path}/content"),
        ("GET", f"{without.path}/poster"),
    ):
        reply = await product.ask(method, path, user)
        assert reply.status_code == 404, path
        if method == "GET":
            assert problem_in(reply)["kind"] == "unknown_file"


def _is_open(path: Path) -> bool:
    """Whether this process, which serves the API too, has the file open."""
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            if descriptor.readlink() == path:
                return True
        except OSError:
            continue
    return False


async def test_a_reader_who_goes_away_ends_the_read(api: Api, product: Product) -> None:
    user = a_user()
    video = await filed(api, user, content=bytes(32 * 1024 * 1024))
    path = api.parts.client.store.local_path(video.key)
    assert path is not None
    at = urlsplit(product.origin)
    sent = {"Host": "x", **product.holder.headers(user)}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())

    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(f"GET {video.path}/content HTTP/1.1\r\n{head}\r\n".encode())
    await reader.readexactly(100_000)
    was_open = _is_open(path.resolve())
    writer.close()

    assert was_open
    async with asyncio.timeout(20):
        while _is_open(path.resolve()):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("title", "old", "encoded"),
    [
        ("a calm sea", "a calm sea", "a%20calm%20sea"),
        ("../../etc/passwd", "etc passwd", "etc%20passwd"),
        ('a "quoted"\r\nSet-Cookie: x', "a quoted Set-Cookie x", "a%20quoted%20Set-Cookie%20x"),
        ("Straße über Meer", "Strae uber Meer", "Stra%C3%9Fe%20%C3%BCber%20Meer"),
        ("海の夜", "ast_one", "%E6%B5%B7%E3%81%AE%E5%A4%9C"),
        ("🌊", "ast_one", "ast_one"),
        (" .hidden. ", "hidden", "hidden"),
        ("a" * 200, "a" * 80, "a" * 80),
    ],
)
def test_a_file_name_is_made_of_the_title_and_safe(title: str, old: str, encoded: str) -> None:
    file = AssetFile("ast_one", "outputs/one.mp4", "video/mp4", 7, "0" * 64, title)

    told = disposition_of(file, download=False)

    assert told == f"inline; filename=\"{old}.mp4\"; filename*=UTF-8''{encoded}.mp4"


@pytest.mark.tools
async def test_a_large_file_is_never_whole_in_memory(api: Api, product: Product) -> None:
    user, size = a_user(), 1024**3
    video = await filed(api, user)
    path = api.parts.client.store.local_path(video.key)
    assert path is not None
    with path.open("r+b") as file:
        file.truncate(size)
    async with owners_pool(api.stack) as pool:
        await pool.execute(
            "UPDATE assets SET facts = facts || jsonb_build_object('size_bytes', $2::bigint)"
            " WHERE asset_id = $1",
            video.asset_id,
            size,
        )
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    read = 0
    url, headers = f"{product.origin}{video.path}/content", product.holder.headers(user)
    async with product.http.stream("GET", url, headers=headers) as reply:
        async for block in reply.aiter_bytes():
            read += len(block)

    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    assert read == size
    assert grown_kb < 64 * 1024
