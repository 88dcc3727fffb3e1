"""What a body names is its caller's: media above all, or a video would be made of another's."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from starter.api.wishes import ROLES
from tests.starter.api.belongings import Belongings, belongings_of, counts_of, state_of
from tests.starter.api.conftest import Api
from tests.starter.api.owned_routes import STARTING, like_nobodys, seen
from tests.starter.api.products import Product, a_product, a_user, problem_in
from tests.starter.conftest import NOTHING, SPEECH
from workflows.contracts.media import Role


def a_wish(role: Role, reference: dict[str, str], own: Mapping[str, str]) -> dict[str, Any]:
    """A wish with this media in that role, and with the caller's own in the others."""
    image, audio = {"media_id": own["image"]}, {"media_id": own["audio"]}
    if role in {"scene", "story_context"}:
        scene = {"operation": "scene-animation", "image": image, "scene": {"title": "The stairs"}}
        return {**scene, role: reference}
    if role in {"audio", "mask_image"}:
        avatar = {"operation": "talking-avatar", "image": image, "audio": audio}
        return {**avatar, "resolution": "480p", role: reference}
    return {"operation": "image-to-video", "prompt": "a calm sea", role: reference}


def body_at(route: str, wish: dict[str, Any]) -> dict[str, Any]:
    return {"items": [wish]} if route == "POST /v1/batches" else wish


@dataclass(frozen=True)
class Meeting:
    """An owner, and somebody who knows the ids of all that the owner has."""

    api: Api
    product: Product
    owner: Belongings
    user: str
    own: Mapping[str, str]
    """A picture and a voice of that other one's."""

    async def post(self, route: str, wish: Any, user: str | None = None) -> httpx.Response:
        """Ask as the other one, unless a user is named."""
        path = route.removeprefix("POST ")
        return await self.product.post(path, user or self.user, json=body_at(route, wish))

    async def state(self) -> list[Any]:
        """What there is of the owner, and how much of the other one."""
        return [await state_of(self.api, self.owner), await counts_of(self.api.stack, self.user)]


@pytest.fixture(scope="module")
async def meeting(api: Api) -> AsyncIterator[Meeting]:
    async with a_product(api) as product:
        user = a_user()
        own = {
            "image": (await product.uploaded(user))["media_id"],
            "audio": (await product.uploaded(user, SPEECH, "audio"))["media_id"],
        }
        yield Meeting(api, product, await belongings_of(api, product, a_user()), user, own)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", STARTING)
async def test_media_of_the_owners_is_refused_in_the_words_for_media_that_there_is_not(
    meeting: Meeting, route: str, role: Role
) -> None:
    theirs = meeting.owner.media[role]
    before = await meeting.state()

    replies = [
        await meeting.post(route, a_wish(role, {"media_id": media_id}, meeting.own))
        for media_id in (theirs, like_nobodys(theirs))
    ]

    told = seen(replies[0], theirs)
    assert told == seen(replies[1], like_nobodys(theirs))
    assert (told[0], problem_in(replies[0])["kind"]) == (422, "invalid_media")
    assert await meeting.state() == before


@pytest.mark.parametrize("role", ROLES)
async def test_the_same_media_is_taken_of_its_owner(meeting: Meeting, role: Role) -> None:
    owner = meeting.owner
    own = {"image": owner.media["image"], "audio": owner.media["audio"]}
    wish = a_wish(role, {"media_id": owner.media[role]}, own)

    reply = await meeting.post("POST /v1/estimates", wish, owner.user)

    assert (reply.status_code, reply.json()["allowed"]) == (200, True)


@pytest.mark.parametrize("route", [each for each in STARTING if each != "POST /v1/batches"])
async def test_media_of_the_owners_is_refused_beside_a_file_as_well(
    meeting: Meeting, route: str
) -> None:
    user, theirs = a_user(), meeting.owner.media["image"]

    replies = list[httpx.Response]()
    for media_id in (theirs, like_nobodys(theirs)):
        wish = {"operation": "talking-avatar", "image": {"media_id": media_id}}
        parts = {
            "request": ("request", json.dumps(wish).encode(), "application/json"),
            "audio": ("speech.wav", Path(SPEECH).read_bytes(), "audio/wav"),
        }
        replies.append(await meeting.product.post(route.removeprefix("POST "), user, files=parts))

    assert seen(replies[0], theirs) == seen(replies[1], like_nobodys(theirs))
    assert (replies[0].status_code, problem_in(replies[0])["kind"]) == (422, "invalid_media")
    # The sender's own file came before anything was known to be wrong with the other one: it may
    # stay for the week that an input stays which nobody uses.
    own = (await meeting.product.stored(user))["media"]
    assert own <= 1
    assert await meeting.product.stored(user) == {**NOTHING, "media": own}


@pytest.mark.parametrize("route", STARTING)
async def test_no_body_names_a_user_or_what_was_made_before(meeting: Meeting, route: str) -> None:
    owner = meeting.owner
    fields = {
        "user_id": owner.user,
        "generation_id": owner.generations[0],
        "again": owner.generations[0],
        "asset_id": owner.assets[0],
        "batch_id": owner.batches[0],
        "redo": owner.batches[0],
        "redo_of": owner.batches[0],
    }
    wish = a_wish("image", {"media_id": meeting.own["image"]}, meeting.own)
    path, before = route.removeprefix("POST "), await meeting.state()

    for name, value in fields.items():
        # At the top, and within an item where there are items.
        for body in ({**body_at(route, wish), name: value}, body_at(route, {**wish, name: value})):
            reply = await meeting.product.post(path, meeting.user, json=body)
            detail = problem_in(reply)["detail"].removeprefix("item 1: ")
            assert (reply.status_code, detail.partition(":")[0]) == (422, name)
            assert owner.found_in(reply.text, meeting.user) == []

    assert await meeting.state() == before


async def test_an_idempotency_key_of_the_owners_is_a_new_one_for_anybody_else(
    meeting: Meeting,
) -> None:
    before = await state_of(meeting.api, meeting.owner)

    started = await meeting.product.started(a_user(), idempotency_key=meeting.owner.idempotency_key)

    assert meeting.owner.found_in(json.dumps(started), started["user_id"]) == []
    assert await state_of(meeting.api, meeting.owner) == before
