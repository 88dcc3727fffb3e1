"""Uploads: in two steps, in one, too large, and what a multipart body may look like."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.workers.sandbox.conftest import Provider, a_client, a_picture
from workers.sandbox import SandboxSettings, running
from workers.sandbox.multipart import MultipartError, boundary_of, stream_file


async def a_ticket(
    provider: Provider, content: bytes, filename: str = "picture.jpg"
) -> dict[str, Any]:
    body = {"filename": filename, "size": len(content), "content_type": "image/jpeg"}
    return await provider.data("POST", "media/uploads", body)


async def put(ticket: dict[str, Any], content: bytes, **headers: str) -> httpx.Response:
    step = ticket["upload"]
    async with httpx.AsyncClient(trust_env=False, verify=False) as anonymous:
        return await anonymous.put(
            step["url"], content=content, headers={**step["headers"], **headers}
        )


async def test_an_upload_in_two_steps_is_served_back_without_a_key(sandbox: Provider) -> None:
    content = a_picture()
    ticket = await a_ticket(sandbox, content)
    before = await sandbox.download(ticket["download_url"])

    filled = await put(ticket, content)

    after = await sandbox.download(ticket["download_url"])
    assert (ticket["type"], ticket["filename"], ticket["size"]) == (
        "image",
        "picture.jpg",
        len(content),
    )
    assert ticket["upload"]["method"] == "PUT"
    assert before.status_code == 404
    assert filled.status_code == 200
    assert (after.content, after.headers["content-type"]) == (content, "image/jpeg")


async def test_the_put_is_refused_with_a_key_with_other_headers_and_with_other_bytes(
    sandbox: Provider,
) -> None:
    content = a_picture()
    ticket = await a_ticket(sandbox, content)

    with_key = await put(ticket, content, Authorization="Bearer a-key")
    other_type = await put(ticket, content, **{"Content-Type": "image/png"})
    too_short = await put(ticket, content[:-1])
    forged = {"upload": {**ticket["upload"], "url": ticket["upload"]["url"][:-4]}}
    unsigned = await put(forged, content)

    refused = [with_key, other_type, too_short, unsigned]
    assert [each.status_code for each in refused] == [400, 403, 400, 403]
    assert (await sandbox.download(ticket["download_url"])).status_code == 404


async def test_an_upload_in_one_step_is_served_back(sandbox: Provider) -> None:
    content = a_picture()

    url = await sandbox.upload(content, "my picture.jpg")

    assert url.endswith("/my_picture.jpg")
    assert (await sandbox.download(url)).content == content


async def test_equal_uploads_get_urls_of_their_own(sandbox: Provider) -> None:
    content = a_picture()

    urls = {await sandbox.upload(content) for _ in range(2)}
    urls |= {(await a_ticket(sandbox, content))["download_url"] for _ in range(2)}

    assert len(urls) == 4


async def test_a_too_large_upload_is_refused_in_either_way_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    settings = SandboxSettings(data_dir=tmp_path, upload_bytes_max=1000)
    async with running(settings) as addresses, a_client() as http:
        ticket = await http.post(
            f"{addresses.provider}/media/uploads", json={"filename": "a.jpg", "size": 1001}
        )
        whole = await http.post(
            f"{addresses.provider}/media/upload/binary", files={"file": ("a.jpg", bytes(1001))}
        )

    assert (ticket.status_code, whole.status_code) == (413, 413)
    assert list((tmp_path / "uploads").iterdir()) == []


async def test_a_file_of_an_unknown_type_is_refused(sandbox: Provider) -> None:
    reply = await sandbox.call("POST", "media/uploads", {"filename": "a.exe", "size": 1})

    assert reply.status_code == 400


async def test_a_body_without_the_field_is_refused(sandbox: Provider) -> None:
    url = f"{sandbox.url}/media/upload/binary"

    wrong_field = await sandbox.http.post(url, files={"data": ("a.jpg", b"x")})
    wrong_type = await sandbox.http.post(url, json={})

    assert (wrong_field.status_code, wrong_type.status_code) == (400, 400)


async def test_deduplicated_uploads_share_a_url_until_their_contents_differ(
    sandbox: Provider,
) -> None:
    await sandbox.faults(upload={"kind": "deduplicated"})
    content = a_picture()
    other = content[:-1] + b"\x00"

    first = await sandbox.upload(content)
    again = await sandbox.upload(content, "another-name.jpg")
    ticket = await a_ticket(sandbox, content)
    filled = await put(ticket, content)
    mistaken = await put(await a_ticket(sandbox, other), other)
    own = await a_ticket(sandbox, other)

    assert first == again == ticket["download_url"]
    assert filled.status_code == 200
    assert mistaken.status_code == 409
    assert own["download_url"] != first
    assert (await sandbox.download(first)).content == content


async def chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


BODY = (
    b'--edge\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
    b"Content-Type: image/jpeg\r\n\r\nfirst\r\n--edgy\r\nsecond\r\n--edge--\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_a_multipart_file_is_read_whole_however_the_body_is_cut(size: int) -> None:
    boundary = boundary_of('multipart/form-data; boundary="edge"')
    got: list[bytes] = []

    part = await stream_file(chunks(BODY, size), boundary, "file", got.append)

    # `--edgy` only begins like the boundary does and belongs to the file.
    assert b"".join(got) == b"first\r\n--edgy\r\nsecond"
    assert (part.filename, part.content_type) == ("a.jpg", "image/jpeg")


async def test_a_multipart_body_that_ends_too_early_is_refused() -> None:
    got: list[bytes] = []

    with pytest.raises(MultipartError, match="too early"):
        await stream_file(chunks(BODY[:-20], 50), b"edge", "file", got.append)
