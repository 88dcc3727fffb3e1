"""Whatever can't be asked for is refused with a sentence about its place, and leaves nothing."""

import json
from typing import Any

import pytest

from tests.starter.api.products import Product, a_user, problem_in
from tests.starter.conftest import NOTHING

ROUTES = ("/v1/generations", "/v1/estimates")
NO_MEDIA = {"media_id": "med_" + "a" * 26}
FINE: dict[str, Any] = {"operation": "image-to-video", "image": NO_MEDIA, "prompt": "a calm sea"}
SCENE: dict[str, Any] = {
    "operation": "scene-animation",
    "image": NO_MEDIA,
    "scene": {"title": "The lighthouse"},
}


WRONG: dict[str, tuple[dict[str, Any], int, str]] = {
    "no operation": ({**FINE, "operation": None}, 422, "operation: missing"),
    "unknown operation": (
        {**FINE, "operation": "text-to-video"},
        422,
        "operation: 'text-to-video'",
    ),
    "unknown field": ({**FINE, "fps": 24}, 422, "fps: it is not taken; allowed: audio, "),
    "unknown field of nothing": ({**FINE, "fps": None}, 422, "fps: it is not taken"),
    "a field with half a character": ({**FINE, "\ud800": 1}, 422, "\\ud800: it is not taken"),
    "a user": ({**FINE, "user_id": "bob"}, 422, "Stillmotion-User"),
    "no prompt": ({**FINE, "prompt": None}, 422, "prompt"),
    "a prompt with NUL": ({**FINE, "prompt": "a\x00b"}, 422, "prompt"),
    "another duration": ({**FINE, "duration_s": 7}, 422, "duration_s: 7; allowed: one of 5, 10"),
    "another type": ({**FINE, "duration_s": "5"}, 422, "duration_s: '5'"),
    "another model": ({**FINE, "model": "sora"}, 422, "model: 'sora'"),
    "no source": (
        {**FINE, "source": "nobody"},
        422,
        "source: 'nobody'; allowed: api, story_writer",
    ),
    "another product's source": (
        {**FINE, "source": "podcast_maker"},
        403,
        "source: 'podcast_maker'",
    ),
    "no picture": ({**FINE, "image": None}, 422, "image"),
    "a path": ({**FINE, "image": "/etc/hostname"}, 422, "image: no reference"),
    "base64": ({**FINE, "image": "iVBORw0KGgo" * 50}, 422, "image: no reference"),
    "a URL as text": ({**FINE, "image": "https://example.com/a.jpg"}, 422, "image: no reference"),
    "a list": ({**FINE, "image": [NO_MEDIA]}, 422, "image: no reference"),
    "no id": ({**FINE, "image": {"media_id": "../../x"}}, 422, "image: no reference"),
    "both references": (
        {**FINE, "image": {**NO_MEDIA, "url": "https://example.com/a.jpg"}},
        422,
        "image: no reference",
    ),
    "http": ({**FINE, "image": {"url": "http://example.com/a.jpg"}}, 422, "image: no reference"),
    "a file's URL": (
        {**FINE, "image": {"url": "file:///etc/hostname"}},
        422,
        "image: no reference",
    ),
    "nobody's media": (FINE, 422, "image: med_aaaaaaaaaaaaaaaaaaaaaaaaaa is not a media id"),
    "a scene's path": ({**SCENE, "scene": "/etc/hostname"}, 422, "scene: no reference"),
    "a scene's path as an id": (
        {**SCENE, "scene": {"media_id": "/etc/hostname"}},
        422,
        "scene: no reference",
    ),
    "an id and more": ({**SCENE, "scene": {**NO_MEDIA, "title": "x"}}, 422, "scene: no reference"),
    "a scene of nothing": ({**SCENE, "scene": {"narration": "hm"}}, 422, "scene"),
    "what another operation takes": ({**SCENE, "prompt": "x"}, 422, "prompt: it is not taken"),
    "a callback to nowhere": (
        {**FINE, "callback_url": "https://169.254.169.254/told"},
        422,
        "callback_url: the URL names",
    ),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("wish", "status", "told"), WRONG.values(), ids=WRONG)
async def test_a_wrong_wish_is_refused_by_its_place_and_leaves_nothing(
    product: Product, route: str, wish: dict[str, Any], status: int, told: str
) -> None:
    user = a_user()
    headers = {"Content-Type": "application/json"}

    reply = await product.post(route, user, headers=headers, content=json.dumps(wish))

    detail = problem_in(reply)["detail"]
    assert (reply.status_code, told in detail) == (status, True), detail
    assert len(detail) <= 1000
    assert "stillmotion " not in reply.text
    assert await product.stored(user) == NOTHING


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"image"',
        b"null",
        b"\xff\xfe\x00",
        b'{"operation": "image-to-video", "seed": ' + b"9" * 5000 + b"}",
        b'{"a":' * 100_000,
    ],
    ids=["nothing", "half", "a list", "a text", "null", "no text", "digits", "depth"],
)
async def test_what_is_no_json_object_is_refused(product: Product, body: bytes) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}

    reply = await product.post("/v1/generations", a_user(), headers=headers, content=body)

    assert (reply.status_code, problem_in(reply)["kind"]) == (422, "invalid_request")


@pytest.mark.parametrize("said", ["text/plain", "application/x-www-form-urlencoded", "image/png"])
async def test_a_body_of_another_media_type_is_refused(product: Product, said: str) -> None:
    headers = {"Content-Type": said}

    reply = await product.post("/v1/generations", a_user(), headers=headers, content=b"{}")

    told = problem_in(reply)
    assert (reply.status_code, told["kind"]) == (415, "unsupported_media_type")
    assert said in told["detail"]


async def test_a_body_over_a_megabyte_is_refused(product: Product) -> None:
    wish = {**FINE, "prompt": "x" * 1024 * 1024}

    reply = await product.post("/v1/generations", a_user(), json=wish)

    assert (reply.status_code, problem_in(reply)["kind"]) == (413, "too_large")


async def test_a_name_of_any_length_is_told_in_a_few_words(product: Product) -> None:
    reply = await product.post("/v1/generations", a_user(), json={**FINE, "x" * 100_000: 1})

    assert reply.status_code == 422
    assert len(problem_in(reply)["detail"]) <= 1000


async def test_somebody_elses_media_looks_like_nobodys(product: Product) -> None:
    owner, stranger = a_user(), a_user()
    theirs = await product.uploaded(owner)

    taken = await product.post("/v1/generations", stranger, json={**FINE, "image": theirs})
    nobodys = await product.post("/v1/generations", stranger, json=FINE)

    told = problem_in(taken)["detail"].replace(theirs["media_id"], NO_MEDIA["media_id"])
    assert (taken.status_code, told) == (422, problem_in(nobodys)["detail"])
    assert await product.stored(stranger) == NOTHING


async def test_media_of_another_kind_is_refused(product: Product) -> None:
    user = a_user()
    wish = {**SCENE, "scene": await product.uploaded(user), "image": await product.uploaded(user)}

    reply = await product.post("/v1/generations", user, json=wish)

    assert (reply.status_code, problem_in(reply)["kind"]) == (422, "invalid_media")
    assert "scene" in problem_in(reply)["detail"]
    assert (await product.stored(user))["generations"] == 0
