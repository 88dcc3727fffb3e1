"""The pages in Chromium, as people use them: by mouse, by keyboard, on a phone, in the dark."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from starter.handles import GenerationFailed
from tests.pages.conftest import Person, Site, a_site, browse
from tests.starter.conftest import CHELSEA, COFFEE, PORTRAIT, SPEECH

pytestmark = [pytest.mark.tools("chromium", "node"), pytest.mark.timeout(600)]

CARDS = 30
"""More than a page."""


@pytest.fixture(scope="module")
async def site() -> AsyncIterator[Site]:
    """Where a video takes long enough to be watched."""
    async with a_site("--sandbox-work-s", "4") as running:
        yield running


@pytest.fixture(scope="module")
async def waiting_site() -> AsyncIterator[Site]:
    """Where nothing gets on."""
    async with a_site("--no-workers") as running:
        yield running


async def test_a_person_makes_watches_plays_finds_and_deletes_a_video(
    node: Path, site: Site
) -> None:
    await browse(node, "person.mjs", site, await site.person(), PICTURE=COFFEE)


async def test_everything_is_reached_by_the_keyboard(node: Path, waiting_site: Site) -> None:
    person = await waiting_site.person()
    client = waiting_site.client
    image = await client.upload(COFFEE, user_id=person.user)
    for number in range(CARDS):
        await client.image_to_video(image, f"wave {number}", user_id=person.user)

    await browse(node, "keyboard.mjs", waiting_site, person)


async def test_no_page_has_a_serious_finding_in_light_in_dark_or_on_a_phone(
    node: Path, site: Site
) -> None:
    person = await site.person()
    video = await a_full_gallery(site, person)
    # On its way for as long as the pages are looked at.
    async with site.stack.faults({"job": {"kind": "hang"}}):
        await site.client.image_to_video(
            COFFEE, "A spoon stirs the coffee", user_id=person.user, resolution="480p"
        )
        await browse(node, "looks.mjs", site, person, GENERATION=video)


async def a_full_gallery(site: Site, person: Person) -> str:
    """Videos of every operation, and one that failed; the id of a finished one."""
    client, user = site.client, person.user
    started = [
        await client.image_to_video(
            COFFEE, "Steam rises from the cup", user_id=user, resolution="480p"
        ),
        await client.animate_scene(
            CHELSEA, {"title": "The cat looks up", "scene_number": 3}, user_id=user
        ),
        await client.talking_avatar(PORTRAIT, SPEECH, user_id=user, source="podcast_maker"),
    ]
    finished = await asyncio.gather(*(handle.result(timeout=120) for handle in started))
    async with site.stack.faults({"job": {"kind": "failed"}}):
        handle = await client.image_to_video(
            COFFEE, "The cup turns slowly", user_id=user, source="image_studio"
        )
        with pytest.raises(GenerationFailed):
            await handle.result(timeout=120)
    return finished[0].generation_id
