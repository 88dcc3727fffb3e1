"""Uploads on a real socket: two steps, one step, and what must not leave with the bytes."""

from pathlib import Path

import pytest
from pydantic import JsonValue

from activities.provider import errors
from activities.provider.wavespeed import WaveSpeed
from tests.activities.provider.conftest import KEY, OddServer, envelope, http

PICTURE = bytes(range(256)) * 4096
URL = "https://cdn.example/u/gen_1-image.jpg?signature=s"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "private name.jpg"
    path.write_bytes(PICTURE)
    return path


def a_ticket(odd: OddServer, **given: JsonValue) -> bytes:
    upload: dict[str, JsonValue] = {
        "method": "PUT",
        "url": f"http://127.0.0.1:{odd.port}/bucket/key?signature=abc",
        "headers": {"Content-Type": "image/jpeg", "x-meta": "1", "authorization": "theirs"},
    }
    return envelope({"download_url": URL, "upload": upload | given})


async def test_the_bytes_go_to_the_ticket_with_its_headers_and_without_our_key(
    odd: OddServer, provider: WaveSpeed, picture: Path
) -> None:
    odd.will(a_ticket(odd), http(""))

    url = await provider.upload(picture, filename="gen_1-image.jpg", content_type="image/jpeg")

    ask, put = odd.received
    assert url == URL
    assert (ask.method, ask.target) == ("POST", "/api/v3/media/uploads")
    assert ask.headers["authorization"] == f"Bearer {KEY}"
    size: JsonValue = len(PICTURE)
    assert ask.json == {"filename": "gen_1-image.jpg", "size": size, "content_type": "image/jpeg"}
    assert (put.method, put.target) == ("PUT", "/bucket/key?signature=abc")
    assert put.body == PICTURE
    assert (put.headers["content-type"], put.headers["x-meta"]) == ("image/jpeg", "1")
    assert put.headers["content-length"] == str(len(PICTURE))
    assert "authorization" not in put.headers
    assert "transfer-encoding" not in put.headers


@pytest.mark.parametrize("status", [404, 405])
async def test_a_provider_without_the_two_steps_gets_a_form(
    odd: OddServer, provider: WaveSpeed, picture: Path, status: int
) -> None:
    odd.will(http("no route", status), envelope({"download_url": URL}))

    url = await provider.upload(picture, filename="gen_1-image.jpg", content_type="image/jpeg")

    form = odd.received[1]
    assert url == URL
    assert form.target == "/api/v3/media/upload/binary"
    assert form.headers["authorization"] == f"Bearer {KEY}"
    assert b'name="file"; filename="gen_1-image.jpg"\r\nContent-Type: image/jpeg' in form.body
    assert PICTURE in form.body
    assert b"private name" not in form.body


@pytest.mark.parametrize(
    ("status", "leaf"),
    [
        (403, errors.Unavailable),
        (404, errors.Unavailable),
        (500, errors.Unavailable),
        (307, errors.Unavailable),
        (413, errors.TooLarge),
        (429, errors.Overloaded),
    ],
)
async def test_a_refusal_by_the_storage_host_is_no_word_about_our_account(
    odd: OddServer, provider: WaveSpeed, picture: Path, status: int, leaf: type[Exception]
) -> None:
    odd.will(a_ticket(odd), http("<Error>signature abc</Error>", status))

    with pytest.raises(errors.ProviderError) as raised:
        await provider.upload(picture, filename="gen_1.jpg", content_type="image/jpeg")

    assert type(raised.value) is leaf
    assert raised.value.http_status == status
    assert raised.value.provider_message == ""
    assert len(odd.received) == 2


@pytest.mark.parametrize(
    "given",
    [
        {"method": "POST"},
        {"url": "ftp://host/key"},
        {"url": None},
        {"url": "http://127.0.0.1:99999/key"},
        {"url": "http://[::1/key"},
        {"headers": {"x": 1}},
        {"headers": {"x": "ü"}},
        {"headers": ["x"]},
    ],
)
async def test_a_ticket_that_can_not_be_used_is_malformed(
    odd: OddServer, provider: WaveSpeed, picture: Path, given: dict[str, JsonValue]
) -> None:
    odd.will(a_ticket(odd, **given))

    with pytest.raises(errors.MalformedReply):
        await provider.upload(picture, filename="gen_1.jpg", content_type="image/jpeg")

    assert len(odd.received) == 1


async def test_an_answer_without_a_download_url_is_malformed(
    odd: OddServer, provider: WaveSpeed, picture: Path
) -> None:
    odd.will(http("", 404), envelope({"download_url": "key"}))

    with pytest.raises(errors.MalformedReply):
        await provider.upload(picture, filename="gen_1.jpg", content_type="image/jpeg")


@pytest.mark.parametrize("filename", ["", "../a.jpg", "a/b.jpg", 'a".jpg', "a\r\n.jpg", ".hidden"])
async def test_a_file_name_that_could_be_misread_is_refused_before_anything_is_sent(
    odd: OddServer, provider: WaveSpeed, picture: Path, filename: str
) -> None:
    with pytest.raises(errors.InputRefused):
        await provider.upload(picture, filename=filename, content_type="image/jpeg")

    assert odd.connections == 0


async def test_a_file_that_is_not_there_is_an_os_error(
    odd: OddServer, provider: WaveSpeed, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        await provider.upload(tmp_path / "none", filename="a.jpg", content_type="image/jpeg")

    assert odd.connections == 0
