"""`upload`, `assets`, `usage`, `plans`, `models`, `pause`: the library, the quota, the switch."""

from typing import Any

from tests.starter.conftest import (
    COFFEE,
    KANDINSKY,
    NOTHING,
    SPEECH,
    WAN,
    Cli,
    Path,
    Pictures,
    Stack,
    Start,
)


async def test_an_upload_gives_the_same_id_for_the_same_bytes(
    cli: Cli, stack: Stack, user: str
) -> None:
    first = await cli("upload", COFFEE, "--user", user, "-o", "json")
    again = await cli("upload", COFFEE, "--user", user, "-o", "quiet")

    assert first.json["media_id"].startswith("med_")
    assert again.out.strip() == first.json["media_id"]
    assert (await stack.rows_of(user))["media"] == 1


async def test_an_uploaded_sound_and_picture_are_inputs_by_their_ids(cli: Cli, user: str) -> None:
    picture = (await cli("upload", COFFEE, "--user", user, "-o", "quiet")).out.strip()
    sound = (await cli("upload", SPEECH, "--audio", "--user", user, "-o", "quiet")).out.strip()

    ran = await cli(
        *("image-to-video", picture, "--audio", sound, "--prompt", "x", "--user", user),
        *("--dry-run", "-o", "json"),
    )

    assert (ran.code, ran.json["allowed"]) == (0, True)


async def test_a_json_file_is_stored_as_scene_or_story(
    cli: Cli, stack: Stack, user: str, pictures: Pictures
) -> None:
    scene = pictures.json("scene.json", {"title": "The lighthouse"})
    story = pictures.json("story.txt", {"setting": "an island"})

    by_suffix = await cli("upload", scene, "--user", user, "-o", "quiet")
    by_flag = await cli("upload", scene, "--scene", "--user", user, "-o", "quiet")
    other = await cli("upload", story, "--story", "--user", user, "-o", "json")

    assert by_suffix.out.startswith("med_")
    assert by_flag.out == by_suffix.out
    assert other.json["media_id"] != by_suffix.out.strip()
    kinds = await stack.database.fetch(
        "SELECT facts::jsonb ->> 'kind' AS kind FROM media WHERE user_id = $1", user
    )
    assert [row["kind"] for row in kinds] == ["document", "document"]


async def test_what_is_no_scene_is_not_stored(
    cli: Cli, stack: Stack, user: str, pictures: Pictures
) -> None:
    empty = pictures.json("empty.json", {"setting": "an island"})

    untold = await cli("upload", empty, "--scene", "--user", user)
    picture = await cli("upload", COFFEE, "--story", "--user", user)
    broken = await cli("upload", pictures.file("x.json", b"{"), "--user", user)

    assert (untold.code, picture.code, broken.code) == (2, 2, 2)
    assert "--scene: a title, a description or an image_prompt is needed." in untold.err
    assert "--story: coffee.jpg is not JSON" in picture.err
    assert "--scene: x.json is not JSON" in broken.err
    assert await stack.rows_of(user) == NOTHING


async def test_a_file_is_one_thing_only(cli: Cli, user: str) -> None:
    ran = await cli("upload", COFFEE, "--audio", "--scene", "--user", user)

    assert ran.code == 2
    assert "A file is one of them; allowed: --audio, --scene or --story." in ran.err


async def test_a_picture_is_no_sound(cli: Cli, user: str) -> None:
    ran = await cli("upload", COFFEE, "--audio", "--user", user)

    assert ran.code == 2
    assert "coffee.jpg is not sound" in ran.err


async def test_assets_are_listed_found_by_words_and_shown(
    cli: Cli, finished: dict[str, Any]
) -> None:
    asset_id = finished["asset_id"]

    listed = await cli("assets", "list", "--user", "owner", "-o", "quiet")
    found = await cli("assets", "search", "kettle", "--user", "owner", "-o", "quiet")
    missed = await cli("assets", "search", "submarine", "--user", "owner")
    shown = await cli("assets", "show", asset_id[:10], "-o", "json")

    assert asset_id in listed.out.split()
    assert found.out == asset_id + "\n"
    assert missed.out == "No assets.\n"
    assert shown.json["generation_id"] == finished["generation_id"]
    assert shown.json["file_path"] == finished["file_path"]


async def test_only_its_owner_deletes_an_asset_and_its_file_goes_too(
    cli: Cli, started: Start, user: str
) -> None:
    made = (await cli("watch", await started(user), "-o", "json")).json

    denied = await cli("assets", "delete", made["asset_id"], "--user", f"{user}-other")
    assert Path(made["file_path"]).exists()
    deleted = await cli("assets", "delete", made["asset_id"], "--user", user, "-o", "json")

    assert denied.code == 2
    assert deleted.json == {"asset_id": made["asset_id"], "deleted": True}
    assert not Path(made["file_path"]).exists()
    shown = await cli("show", made["generation_id"], "-o", "json")
    assert (shown.json["asset_id"], shown.json["cost_usd_micros"]) == (None, 250_000)


async def test_usage_tells_what_is_left(cli: Cli, started: Start, user: str) -> None:
    await cli("watch", await started(user))

    ran = await cli("usage", user, "-o", "json")

    assert ran.json["plan"] == "free"
    assert (ran.json["videos_settled"], ran.json["videos_remaining"]) == (1, 1)
    assert (ran.json["settled_usd_micros"], ran.json["remaining_usd_micros"]) == (
        250_000,
        1_750_000,
    )
    (share,) = ran.json["shares"]
    assert (share["model"], share["source"], share["videos_settled"]) == (WAN, "api", 1)
    assert ran.json["stopped_by"] is None
    lines = (await cli("usage", user)).out.splitlines()
    assert "videos       1 of 2" in lines
    assert "cost left    $1.75" in lines
    assert lines[-1].split() == [WAN, "api", "1", "0", "$0.25", "$0.00"]


async def test_usage_names_the_limit_that_refuses_the_next_start(cli: Cli, user: str) -> None:
    capped = {"STILLMOTION_SPEND_LIMIT_USD_DAY": "0.01"}

    told = (await cli("usage", user, "-o", "json", **capped)).json["stopped_by"]
    line = (await cli("usage", user, **capped)).out.splitlines()[-1]

    assert told["kind"] == "spend_limit_reached"
    assert line.startswith(f"stopped by   {told['message']} An operator can raise ")


async def test_a_plan_is_assigned_at_once(cli: Cli, user: str) -> None:
    ran = await cli("plans", "assign", user, "basic")

    assert (ran.code, ran.out) == (0, f"{user} is on plan basic.\n")
    assert (await cli("usage", user, "-o", "json")).json["videos_limit"] == 10


async def test_the_plans_are_listed_with_their_limits(cli: Cli) -> None:
    ran = await cli("plans", "-o", "json")

    assert [plan["plan"] for plan in ran.json] == ["free", "basic", "pro", "enterprise"]
    assert ran.json[0]["videos_limit"] == 2
    assert ran.json[3]["videos_limit"] is None


async def test_the_catalogue_is_told_with_defaults_limits_and_prices(cli: Cli) -> None:
    entries = {entry["model"]: entry for entry in (await cli("models", "-o", "json")).json}
    table = (await cli("models")).out

    assert entries[WAN]["default"] is True
    assert entries[WAN]["parameters"]["resolution"]["allowed"] == ["480p", "720p", "1080p"]
    assert entries[WAN]["image"]["side_px_min"] == 360
    assert entries[KANDINSKY]["price"]["usd_micros"] == {"512p": 200_000, "1024p": 600_000}
    assert "duration_s 5*|10" in table


async def test_while_paused_nothing_is_submitted_and_afterwards_it_goes_on(
    cli: Cli, stack: Stack, started: Start, user: str
) -> None:
    submits = await stack.submits()

    assert (await cli("pause")).out == "Submits are paused.\n"
    try:
        generation_id = await started(user)
        waiting = await cli("watch", generation_id, "--timeout", "1", "-o", "json")
    finally:
        assert (await cli("unpause")).code == 0

    assert (waiting.code, waiting.json["stage"]) == (6, "submitting")
    assert await stack.submits() == submits
    await cli("cancel", generation_id)
