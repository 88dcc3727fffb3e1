"""What stands in the pages: cards, one video in full, forms, usage; and whose."""

import html
import json
import re

import pytest

from activities.database.pool import Pool
from starter.api.pages.cards import CARDS
from tests.starter.api.conftest import Api
from tests.starter.api.holders import Holder, a_holder
from tests.starter.api.visitors import Visitor, a_visitor
from tests.starter.conftest import COFFEE

HOSTILE = "<script>alert(1)</script>\"' onload=x & {{ 7 * 7 }}"
"""What would run, if a page took it for its own."""


@pytest.fixture(scope="module")
async def holder(owners: Pool) -> Holder:
    return await a_holder(owners)


@pytest.fixture
def visitor(api: Api, holder: Holder) -> Visitor:
    return a_visitor(api, holder)


def cards_in(page: str) -> list[str]:
    """The ids of the generations that have cards, from the top."""
    return re.findall(r'<li class="card[^>]* data-generation="([^"]+)"', page)


async def test_the_gallery_of_a_new_user_says_how_to_begin(visitor: Visitor) -> None:
    page = await visitor.page("/")

    assert "Your first video starts with a picture" in page
    assert "data-generation" not in page


async def test_a_running_video_is_a_card_with_its_progress_and_its_picture(
    visitor: Visitor,
) -> None:
    generation_id = await visitor.started("a lighthouse blinks")

    page = await visitor.page("/")
    still = await visitor.get(f"/generations/{generation_id}/still")

    assert f'data-generation="{generation_id}"' in page
    assert "data-live-card" in page
    assert re.search(r'<progress max="100" value="\d+"', page)
    assert "a lighthouse blinks" in page
    assert (still.status_code, still.headers["content-type"]) == (200, "image/jpeg")
    assert still.content.startswith(b"\xff\xd8")
    assert "sandbox" in still.headers["content-security-policy"]


async def test_a_finished_video_has_its_title_its_star_and_its_length(visitor: Visitor) -> None:
    generation_id, asset_id = await visitor.finished("The blinking lighthouse")

    page = await visitor.page("/")
    card = await visitor.page(f"/cards/{generation_id}")

    assert "The blinking lighthouse" in page
    assert f'src="/v1/assets/{asset_id}/poster"' in page
    assert f'data-content="/v1/assets/{asset_id}/content"' in page
    assert '<span class="length">5 s</span>' in page
    assert 'aria-pressed="false"' in page
    assert card.strip().startswith("<li")
    assert card.strip() in page


async def test_what_the_provider_marked_is_veiled_until_somebody_asks_for_it(
    visitor: Visitor,
) -> None:
    generation_id, _ = await visitor.finished(nsfw=True)

    assert "veiled" in await visitor.page("/")
    assert "show it</button>" in await visitor.page(f"/generations/{generation_id}")


async def test_a_deleted_video_is_in_no_list_and_on_no_page(visitor: Visitor) -> None:
    kept, _ = await visitor.finished("Kept")
    gone, asset_id = await visitor.finished("Gone")
    await visitor.deleted(asset_id)

    for path in ("/", "/?status=completed", "/?q=rises"):
        page = await visitor.page(path)
        assert kept in page, path
        assert gone not in page, path
    for path in (f"/generations/{gone}", f"/cards/{gone}"):
        assert (await visitor.get(path)).status_code == 404


async def test_the_gallery_is_narrowed_by_words_operation_product_and_status(
    visitor: Visitor,
) -> None:
    running = await visitor.started("a calm sea", source="story_writer")
    finished, asset_id = await visitor.finished("The blinking lighthouse")

    async def shown(query: str) -> set[str]:
        return set(cards_in(await visitor.page(f"/?{query}")))

    assert await shown("") == {running, finished}
    assert await shown("q=blinking") == {finished}
    assert await shown("q=blinking+zebra") == set()
    assert await shown("status=running") == {running}
    assert await shown("status=completed") == {finished}
    assert await shown("status=favorite") == set()
    assert await shown("source=story_writer") == {running}
    assert await shown("operation=talking-avatar") == set()
    # What nobody knows is no filter, and no error.
    assert await shown("status=nonsense&source=podcast_maker&q=%00") == {running, finished}
    await visitor.api.stack.database.execute(
        "UPDATE assets SET favorite = true WHERE asset_id = $1", asset_id
    )
    assert await shown("status=favorite") == {finished}


async def test_a_long_gallery_goes_on_by_a_link_to_its_end(visitor: Visitor) -> None:
    image = await visitor.api.client.upload(COFFEE, user_id=visitor.user)
    started = [await visitor.started(f"wave {number}", image) for number in range(CARDS + 3)]
    path, seen = "/?source=api", list[str]()

    for _ in range(2):
        page = await visitor.page(path)
        seen += cards_in(page)
        more = re.search(r'href="([^"]+)" data-more', page)
        path = html.unescape(more[1]) if more else ""

    assert seen == started[::-1]
    assert path == ""


async def test_a_cursor_that_is_none_is_told_on_a_page(visitor: Visitor) -> None:
    reply = await visitor.get("/?cursor=nonsense!")

    assert reply.status_code == 422
    assert "To the gallery" in reply.text


async def test_everything_of_somebody_elses_is_404_as_if_it_were_not_there(
    visitor: Visitor, api: Api, holder: Holder, owners: Pool
) -> None:
    generation_id = await visitor.started()
    other = await a_holder(owners, sources=["podcast_maker"])
    strangers = (
        a_visitor(api, holder),
        a_visitor(api, other, visitor.user),
    )

    for path in (
        f"/generations/{generation_id}",
        f"/generations/{generation_id}/still",
        f"/cards/{generation_id}",
        f"/new?like={generation_id}",
        f"/new?again={generation_id}",
    ):
        assert (await visitor.get(path)).status_code == 200, path
        for stranger in strangers:
            reply = await stranger.get(path)
            missing = await stranger.get(path.replace(generation_id, "gen_none"))
            assert reply.status_code == 404, path
            assert reply.text == missing.text, path
    for stranger in strangers:
        assert generation_id not in await stranger.page("/")


async def test_whatever_stands_in_a_prompt_or_a_title_is_text(visitor: Visitor) -> None:
    running = await visitor.started(HOSTILE)
    finished, _ = await visitor.finished(HOSTILE)

    full = (f"/generations/{running}", f"/generations/{finished}")
    for path in ("/", *full, f"/new?like={running}"):
        page = await visitor.page(path)
        assert "<script>alert" not in page, path
        assert "&lt;script&gt;alert(1)" in page, path
        assert "{{ 7 * 7 }}" in page, path


async def test_one_video_in_full_says_what_is_known_of_it(visitor: Visitor) -> None:
    generation_id, _ = await visitor.finished("Steam over a cup")

    page = await visitor.page(f"/generations/{generation_id}")

    for told in (
        "Steam over a cup",
        "854x480",
        "1.4 MB",
        "ab" * 32,
        generation_id,
        f"/namespaces/default/workflows/{generation_id}",
        "Download",
        "Use this prompt",
        "Delete",
    ):
        assert told in page, told
    assert "Cancel</button>" not in page


async def test_a_parked_video_says_why_where_the_money_is_and_what_to_press(
    visitor: Visitor,
) -> None:
    generation_id = await visitor.started()
    failure = {
        "kind": "deadline_passed",
        "message": "The provider took too long.",
        "hint": f"It looks again by itself; at once: stillmotion resume {generation_id}",
        "money": "$0.25 is reserved.",
    }
    await visitor.api.stack.database.execute(
        "UPDATE generations SET stage = 'timed_out', failure = $2 WHERE generation_id = $1",
        generation_id,
        json.dumps(failure),
    )

    page = html.unescape(await visitor.page(f"/generations/{generation_id}"))

    assert "The provider took too long." in page
    assert "$0.25 is reserved." in page
    assert "at once: press “Look now”" in page
    assert 'data-act="resume"' in page
    assert "stillmotion resume" not in page


async def test_the_form_shows_what_the_model_takes_and_nothing_else(visitor: Visitor) -> None:
    wan = await visitor.page("/new/parameters?model=alibaba/wan-2.5/image-to-video")
    kandinsky = await visitor.page("/new/parameters?model=wavespeed/kandinsky5-pro/image-to-video")
    avatar = await visitor.page("/new?operation=talking-avatar")

    assert 'name="seed"' in wan
    assert 'data-takes="image audio"' in wan
    assert 'name="seed"' not in kandinsky
    assert 'data-takes="image"' in kandinsky
    assert 'value="10"' not in kandinsky
    # A text that we write is no field of the form.
    assert 'name="prompt"' not in await visitor.page("/new?operation=scene-animation")
    assert 'data-field="mask_image" >' in avatar
    assert 'name="duration_s"' not in avatar


async def test_a_prompt_is_used_again_and_a_video_made_again(visitor: Visitor) -> None:
    generation_id = await visitor.started("a calm sea", seed=7, negative_prompt="birds")

    like = await visitor.page(f"/new?like={generation_id}")
    again = await visitor.page(f"/new?again={generation_id}")

    for page in (like, again):
        assert ">a calm sea</textarea>" in page
        assert 'value="7"' in page
        assert ">birds</textarea>" in page
        assert re.search(r'value="480p"[^>]*checked', page)
    assert "data-media-id" not in like
    assert re.search(r'data-drop="image" data-media-id="med_[a-z0-9]{26}"', again)
    assert f'data-preview="/generations/{generation_id}/still"' in again


async def test_a_scene_is_made_again_with_all_that_was_told_of_it(visitor: Visitor) -> None:
    scene = {"title": "The gate", "description": "It opens.", "key_events": 'A "bell" rings'}
    handle = await visitor.api.client.animate_scene(
        COFFEE, scene, {"setting": "A harbour", "premise": "Storms"}, user_id=visitor.user
    )

    page = await visitor.page(f"/new?again={handle.id}")
    kept = re.search(r'data-kept="([^"]*)"', page)

    assert ">The gate</textarea>" in page
    assert ">A harbour</textarea>" in page
    assert kept is not None
    told = json.loads(html.unescape(kept[1]))
    assert told["scene"]["key_events"] == 'A "bell" rings'
    assert told["story_context"]["premise"] == "Storms"


async def test_the_usage_page_tells_plan_limits_and_what_is_left(visitor: Visitor) -> None:
    page = await visitor.page("/usage")

    assert "Free plan" in page
    assert '<p class="big">0 <small>of 2</small></p>' in page
    assert "of $2.00" in page
    assert "nothing was spent." in page
    assert "Nothing was spent." in page
