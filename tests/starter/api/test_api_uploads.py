"""Files over HTTP: streamed to the store, refused at the first byte over, and never half there."""

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from starter.api.intake import Intake
from starter.api.problems import Problem
from tests.starter.api.conftest import Api, api_of
from tests.starter.api.parts_of_forms import (
    WISH,
    a_part,
    files_on_their_way,
    media_folder,
    nothing_is_on_its_way,
    the_picture,
)
from tests.starter.api.products import Product, a_product, a_user, problem_in
from tests.starter.conftest import COFFEE, NOTHING, SPEECH

INPUT_SIZE_BYTES_MAX = 300_000
"""Of the narrow API."""


@pytest.fixture(scope="module")
async def narrow(api: Api) -> AsyncIterator[Product]:
    """The same, where files may be small only."""
    place = api.parts.place
    media = place.media.model_copy(update={"input_size_bytes_max": INPUT_SIZE_BYTES_MAX})
    parts = dataclasses.replace(api.parts, place=place._replace(media=media), intake=Intake())
    async with api_of(parts) as origin, a_product(api, origin=origin) as one:
        yield one


async def test_an_uploaded_picture_is_a_reference_for_its_user(product: Product) -> None:
    user = a_user()

    reply = await product.post(
        "/v1/uploads?role=image",
        user,
        headers={"Content-Type": "image/jpeg"},
        content=Path(COFFEE).read_bytes(),
    )

    stored = reply.json()
    assert (reply.status_code, stored["role"]) == (201, "image")
    assert stored["facts"]["mime_type"] == "image/jpeg"
    assert stored["facts"]["size_bytes"] == Path(COFFEE).stat().st_size
    wish = {**WISH, "image": {"media_id": stored["media_id"]}}
    assert (await product.post("/v1/generations", user, json=wish)).status_code == 202


async def test_the_same_bytes_get_the_same_id_as_a_body_or_as_a_form(product: Product) -> None:
    user = a_user()
    by_body = await product.uploaded(user)

    by_form = await product.post("/v1/uploads", user, files=[the_picture("file")])

    assert by_form.json()["media_id"] == by_body["media_id"]
    assert (await product.stored(user))["media"] == 1


@pytest.mark.parametrize(
    ("role", "content", "kind"),
    [
        ("audio", Path(SPEECH).read_bytes(), "audio"),
        ("mask_image", Path(COFFEE).read_bytes(), "image"),
        ("scene", b'{"title": "The lighthouse"}', "document"),
        ("story_context", b'{"plot": "It waits for rain."}', "document"),
    ],
)
async def test_every_role_has_its_kind_of_file(
    product: Product, role: str, content: bytes, kind: str
) -> None:
    reply = await product.post(f"/v1/uploads?role={role}", a_user(), content=content)

    assert (reply.status_code, reply.json()["facts"]["kind"]) == (201, kind)


@pytest.mark.parametrize(
    ("role", "content", "told"),
    [
        ("image", b"", "image"),
        ("image", b"GIF89a and so on", "image"),
        ("image", Path(COFFEE).read_bytes()[:40_000], "image"),
        ("image", Path(SPEECH).read_bytes(), "image"),
        ("audio", Path(COFFEE).read_bytes(), "audio"),
        ("scene", b"[]", "scene"),
        ("scene", b'{"narration": "hm"}', "scene: a title"),
        ("scene", b"{", "scene"),
    ],
    ids=["empty", "another format", "cut", "sound", "a picture", "a list", "untold", "no JSON"],
)
async def test_what_is_not_what_its_role_needs_is_refused_and_not_stored(
    product: Product, role: str, content: bytes, told: str
) -> None:
    user = a_user()

    reply = await product.post(f"/v1/uploads?role={role}", user, content=content)

    assert reply.status_code == 422
    assert told in problem_in(reply)["detail"]
    assert str(media_folder(product)) not in reply.text
    assert await product.stored(user) == NOTHING
    assert files_on_their_way(product) == []


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("image", "text/html"),
        ("image", "audio/wav"),
        ("audio", "image/png"),
        ("scene", "image/png"),
    ],
)
async def test_what_is_said_to_be_something_else_is_not_read(
    product: Product, role: str, said: str
) -> None:
    by_body = await product.post(
        f"/v1/uploads?role={role}", a_user(), headers={"Content-Type": said}, content=b"x"
    )
    by_form = await product.post(
        f"/v1/uploads?role={role}", a_user(), files=[a_part("file", b"x", said)]
    )

    for reply in (by_body, by_form):
        told = problem_in(reply)
        assert (reply.status_code, told["kind"]) == (415, "unsupported_media_type")
        assert said in told["detail"]


async def test_an_unknown_role_is_refused(product: Product) -> None:
    reply = await product.post("/v1/uploads?role=video", a_user(), content=b"x")

    assert reply.status_code == 422
    assert "role" in problem_in(reply)["detail"]


async def test_a_file_that_announces_too_much_is_refused_before_it_is_sent(
    narrow: Product,
) -> None:
    user = a_user()
    length = {"Content-Length": str(INPUT_SIZE_BYTES_MAX + 1), "Expect": "100-continue"}

    reply = await _answer_to(narrow, user, "/v1/uploads", length, b"")

    assert reply.startswith(b"HTTP/1.1 413 ")
    assert await narrow.stored(user) == NOTHING


@pytest.mark.parametrize("as_form", [False, True], ids=["body", "form"])
async def test_a_file_without_a_length_is_refused_at_the_first_byte_over(
    narrow: Product, *, as_form: bool
) -> None:
    user, body = a_user(), bytes(INPUT_SIZE_BYTES_MAX + 1)
    headers = {"Transfer-Encoding": "chunked"}
    if as_form:
        body = _head_of("image", "image/jpeg") + body
        headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
    path = "/v1/generations" if as_form else "/v1/uploads"

    # There is more to come, for all that the server knows.
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    reply = await _answer_to(narrow, user, path, headers, chunk)

    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b"image: too large; allowed: at most 300,000 bytes." in reply
    assert await narrow.stored(user) == NOTHING
    await nothing_is_on_its_way(narrow)


async def test_a_file_of_just_the_limit_is_read_to_its_end(narrow: Product) -> None:
    reply = await narrow.post("/v1/uploads", a_user(), content=bytes(INPUT_SIZE_BYTES_MAX))

    # Whatever it is: it is no picture.
    assert (reply.status_code, problem_in(reply)["kind"]) == (422, "invalid_media")


@pytest.mark.parametrize("as_form", [False, True], ids=["body", "form"])
async def test_of_an_upload_that_is_cut_nothing_is_left(product: Product, *, as_form: bool) -> None:
    user = a_user()
    half = Path(COFFEE).read_bytes()[:60_000]
    length = {"Content-Length": "500000"}
    if as_form:
        half = _head_of("image", "image/jpeg") + half
        length["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
    path = "/v1/generations" if as_form else "/v1/uploads"

    await _answer_to(product, user, path, length, half, hang_up=True)

    await nothing_is_on_its_way(product)
    assert await product.stored(user) == NOTHING


async def test_a_form_that_ends_too_early_is_refused(product: Product) -> None:
    user = a_user()
    body = _head_of("image", "image/jpeg") + Path(COFFEE).read_bytes()

    reply = await product.post(
        "/v1/generations",
        user,
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        content=body,
    )

    assert reply.status_code == 422
    assert "ends before its last part" in problem_in(reply)["detail"]
    assert await product.stored(user) == NOTHING


BOUNDARY = "an-odd-boundary"


def _head_of(name: str, typed: str) -> bytes:
    """A form up to the first byte of a file."""
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="a.jpg"\r\n'
        f"Content-Type: {typed}\r\n\r\n"
    ).encode()


async def _answer_to(
    product: Product,
    user: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    *,
    hang_up: bool = False,
) -> bytes:
    """What is answered to a body that is not sent to its end."""
    at = urlsplit(product.origin)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        fields = {"Host": "x", **product.holder.headers(user), **headers}
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        if hang_up:
            # Not before the server has begun to take it.
            async with asyncio.timeout(10):
                while not files_on_their_way(product):
                    await asyncio.sleep(0.01)
            return b""
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        length = re.search(rb"content-length: ([0-9]+)", head.lower())
        assert length is not None, head
        return head + await reader.readexactly(int(length[1]))
    finally:
        writer.close()


async def test_when_too_many_files_come_in_at_once_the_next_is_told_to_come_again(
    api: Api,
) -> None:
    parts = dataclasses.replace(api.parts, intake=Intake(uploads_max=0))
    async with api_of(parts) as origin, a_product(api, origin=origin) as product:
        reply = await product.post("/v1/uploads", a_user(), content=b"x")

    assert (reply.status_code, problem_in(reply)["kind"]) == (503, "overloaded")
    assert reply.headers["retry-after"].isdecimal()


async def test_one_key_leaves_room_for_the_files_of_others() -> None:
    intake = Intake(uploads_max=3, uploads_per_key_max=2)

    async with intake.upload("key_a"), intake.upload("key_a"):
        with pytest.raises(Problem) as refused:
            async with intake.upload("key_a"):
                pass
        async with intake.upload("key_b"):
            pass
    async with intake.upload("key_a"):
        pass

    assert refused.value.status == 503
