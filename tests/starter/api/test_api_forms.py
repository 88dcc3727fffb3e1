"""A request and its files in one form: any order of parts, and nothing half-stored."""

from typing import Any

import pytest

from tests.starter.api.parts_of_forms import (
    AVATAR,
    WISH,
    a_part,
    files_on_their_way,
    the_picture,
    the_request,
    the_speech,
)
from tests.starter.api.products import Product, a_user, problem_in
from tests.starter.conftest import CHELSEA, COFFEE, NOTHING

FORM = ("/v1/generations", "/v1/estimates")


@pytest.mark.parametrize("request_is", ["first", "last"])
async def test_a_form_starts_a_generation_in_any_order_of_its_parts(
    product: Product, request_is: str
) -> None:
    user = a_user()
    parts = [the_request(**AVATAR), the_picture(file=COFFEE), the_speech()]
    files = parts if request_is == "first" else parts[::-1]

    reply = await product.post("/v1/generations", user, files=files)

    started = reply.json()
    assert (reply.status_code, started["operation"]) == (202, "talking-avatar")
    assert await product.stored(user) == {**NOTHING, "generations": 1, "media": 2}
    assert files_on_their_way(product) == []


async def test_the_same_form_again_is_the_same_generation(product: Product) -> None:
    user, key = a_user(), {"Idempotency-Key": "once"}
    files = [the_request(**WISH), the_picture()]

    replies = [
        await product.post("/v1/generations", user, headers=key, files=files) for _ in range(2)
    ]

    assert [reply.status_code for reply in replies] == [202, 200]
    assert len({reply.json()["generation_id"] for reply in replies}) == 1


async def test_a_scene_may_be_a_file_beside_an_id(product: Product) -> None:
    user = a_user()
    image = await product.uploaded(user, CHELSEA)
    scene = a_part("scene", b'{"title": "A cat looks up"}', "application/json")

    reply = await product.post(
        "/v1/generations",
        user,
        files=[the_request(operation="scene-animation", image=image), scene],
    )

    assert reply.status_code == 202, reply.text


async def test_an_estimate_of_files_stores_nothing(product: Product) -> None:
    user = a_user()

    reply = await product.post("/v1/estimates", user, files=[the_request(**WISH), the_picture()])

    assert (reply.status_code, reply.json()["allowed"]) == (200, True)
    assert reply.json()["quote"]["cost_usd_micros"] == 250_000
    assert await product.stored(user) == NOTHING
    assert files_on_their_way(product) == []


async def test_where_one_file_is_refused_none_is_stored(product: Product) -> None:
    user = a_user()
    silence = a_part("audio", b"RIFF of nothing", "audio/wav")

    reply = await product.post(
        "/v1/generations", user, files=[the_request(**AVATAR), the_picture(), silence]
    )

    assert (reply.status_code, problem_in(reply)["kind"]) == (422, "invalid_media")
    assert await product.stored(user) == NOTHING


MALFORMED: dict[str, tuple[list[tuple[str, Any]], str]] = {
    "unknown part": ([the_request(**WISH), the_picture("picture")], "'picture': no such part"),
    "no request": ([the_picture()], "request: the part is missing"),
    "no JSON": ([a_part("request", "{"), the_picture()], "request: not JSON"),
    "twice": ([the_request(**WISH), the_picture(), the_picture()], "image: the part came twice"),
    "both": (
        [the_request(**WISH, image={"media_id": "med_" + "a" * 26}), the_picture()],
        "image: it stands in request and comes as a part",
    ),
    "not taken": ([the_request(**WISH), the_picture(), the_picture("mask_image")], "mask_image: "),
    "no picture": ([the_request(**WISH)], "image: missing"),
    "no sound": ([the_request(**AVATAR), the_picture()], "audio: missing"),
}


@pytest.mark.parametrize("route", FORM)
@pytest.mark.parametrize(("files", "told"), MALFORMED.values(), ids=MALFORMED)
async def test_a_wrong_form_is_refused_by_the_parts_name_and_leaves_nothing(
    product: Product, route: str, files: list[tuple[str, Any]], told: str
) -> None:
    user = a_user()

    reply = await product.post(route, user, files=files)

    detail = problem_in(reply)["detail"]
    assert (reply.status_code, told in detail) == (422, True), detail
    assert await product.stored(user) == NOTHING
    assert files_on_their_way(product) == []


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ("multipart/form-data", b"--x\r\n"),
        (f"multipart/form-data; boundary={'b' * 71}", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"no part at all"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno name\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=a" + b"a" * 9000 + b"\r\n\r\n\r\n--x--",
        ),
        ("multipart/form-data; boundary*=idna''%ff", b"--x--"),
        (f"multipart/form-data; boundary*{'9' * 900}=x; boundary*1=x", b"--x--"),
        (f'multipart/form-data; more="{";" * 2000}"; boundary=x', b"--x\r\n\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name*" + b"9" * 5000 + b"=a\r\n\r\n\r\n--x--",
        ),
    ],
    ids=[
        *("no boundary", "a long boundary", "no part", "no name", "long headers"),
        *("an odd coding", "many pieces", "a long type", "many pieces of a name"),
    ],
)
async def test_what_is_no_form_is_refused(product: Product, said: str, body: bytes) -> None:
    headers = {"Content-Type": said}

    reply = await product.post("/v1/generations", a_user(), headers=headers, content=body)

    assert (reply.status_code, problem_in(reply)["kind"]) == (422, "invalid_request")


async def test_a_request_part_over_a_megabyte_is_refused(product: Product) -> None:
    large = the_request(**{**WISH, "prompt": "x" * 1024 * 1024})

    reply = await product.post("/v1/generations", a_user(), files=[large, the_picture()])

    assert (reply.status_code, problem_in(reply)["kind"]) == (413, "too_large")
    assert "request" in problem_in(reply)["detail"]
