"""`list`, `show`, `watch`, `cancel`, `download`, `open`: by id or beginning, of one owner."""

from typing import Any

from tests.starter.conftest import Cli, Path, Stack, Start


async def test_a_list_holds_the_generations_of_a_user_newest_first(
    idle_cli: Cli, accepted: Start, user: str
) -> None:
    first = await accepted(user)
    second = await accepted(user, "--seed", "2")

    ran = await idle_cli("list", "--user", user, "-o", "json")

    assert ran.code == 0
    assert [each["generation_id"] for each in ran.json] == [second, first]
    assert sorted(ran.json[0]) == sorted(
        [
            "generation_id",
            "operation",
            "status",
            "stage",
            "user_id",
            "source",
            "model",
            "provider",
            "prediction_id",
            "prompt",
            "prompt_by",
            "duration_s",
            "resolution",
            "width",
            "height",
            "file_size_bytes",
            "sha256",
            "mime_type",
            "file_path",
            "poster_path",
            "url",
            "cost_usd_micros",
            "quoted_usd_micros",
            "asset_id",
            "created_at",
            "completed_at",
            "warnings",
            "error",
        ]
    )


async def test_filters_of_the_list_hold_together(cli: Cli, finished: dict[str, Any]) -> None:
    mine = ("list", "--user", "owner", "-o", "quiet")
    expected = finished["generation_id"] + "\n"

    assert (await cli(*mine, "--status", "completed")).out == expected
    assert (await cli(*mine, "--status", "timed_out")).out == ""
    assert (await cli(*mine, "--source", "video_studio", "--since", "1h")).out == expected
    assert (await cli(*mine, "--source", "story_writer")).out == ""
    assert (await cli(*mine, "--operation", "image-to-video", "--limit", "1")).out == expected
    assert (await cli(*mine, "--since", "2099-01-01T00:00")).out == ""


async def test_json_lines_are_one_value_a_line(idle_cli: Cli, accepted: Start, user: str) -> None:
    await accepted(user)
    await accepted(user, "--seed", "2")

    ran = await idle_cli("list", "--user", user, "-o", "jsonl")

    assert len(ran.out.splitlines()) == 2
    assert all(line.startswith('{"generation_id": "gen_') for line in ran.out.splitlines())


async def test_a_list_for_people_is_a_table(cli: Cli, finished: dict[str, Any]) -> None:
    ran = await cli("list", "--user", "owner")

    headings, row = ran.out.splitlines()
    names = ("id status operation model video cost user started", "prompt by", "prompt")
    assert " ".join(headings.split()) == " ".join(names)
    assert row.split()[:2] == [finished["generation_id"], "completed"]
    assert "  image-to-video  " in row
    assert "5.0 s 720x480 (480p)  $0.25  owner" in row
    assert row.rstrip().endswith("caller     a kettle boils")


async def test_show_finds_by_a_beginning_and_tells_stages_money_and_page(
    cli: Cli, stack: Stack, finished: dict[str, Any]
) -> None:
    generation_id = finished["generation_id"]

    ran = await cli("show", generation_id[:12], "-o", "json")

    shown = ran.json
    extra = {name: shown.pop(name) for name in ("money", "stages", "web_ui")}
    assert shown == finished
    assert extra["money"] == "$0.25 was booked."
    assert [each["stage"] for each in extra["stages"]][:2] == ["accepted", "reserving"]
    assert extra["stages"][-1]["stage"] == "completed"
    page = f"{stack.address.temporal_ui}/namespaces/default/workflows/{generation_id}"
    assert extra["web_ui"] == page


async def test_show_for_people_has_every_line(cli: Cli, finished: dict[str, Any]) -> None:
    ran = await cli("show", finished["generation_id"])

    lines = [line.split(maxsplit=1) for line in ran.out.splitlines()]
    told = {words[0]: words[1] for words in lines if len(words) == 2}
    assert told["status"] == "completed"
    assert told["user"] == "owner (video_studio)"
    assert told["video"] == "5.0 s 720x480 (480p)"
    assert told["file"] == finished["file_path"]
    assert told["money"] == "$0.25 was booked."
    assert "stage        at                   took" in ran.out


async def test_an_ambiguous_beginning_is_refused(idle_cli: Cli, accepted: Start, user: str) -> None:
    await accepted(user)
    await accepted(user, "--seed", "2")

    ran = await idle_cli("show", "gen_", "--user", user)

    assert ran.code == 2
    assert "several generations begin with 'gen_'" in ran.err


async def test_another_user_sees_and_steers_nothing(
    cli: Cli, finished: dict[str, Any], user: str
) -> None:
    generation_id = finished["generation_id"]

    for verb in ("show", "watch", "resume", "cancel", "download", "open"):
        ran = await cli(verb, generation_id, "--user", user)

        assert ran.code == 2, verb
        assert "no generation begins with" in ran.err


async def test_watch_ends_with_the_video(cli: Cli, started: Start, user: str) -> None:
    generation_id = await started(user)

    ran = await cli("watch", generation_id, "--user", user)

    assert ran.code == 0
    assert f"{generation_id}  completed  100 %" in ran.err
    assert "status      completed" in ran.out


async def test_watch_as_json_lines_tells_each_step_and_then_the_generation(
    cli: Cli, started: Start, user: str
) -> None:
    import json

    ran = await cli("watch", await started(user), "-o", "jsonl")

    *steps, last = [json.loads(line) for line in ran.out.splitlines()]
    percents = [step["percent"] for step in steps]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert last["status"] == "completed"


async def test_a_cancelled_generation_ends_with_5(
    cli: Cli, stack: Stack, started: Start, user: str
) -> None:
    async with stack.faults({"job": {"kind": "hang"}}):
        generation_id = await started(user)

        asked = await cli("cancel", generation_id, "--wait", "-o", "json")
        watched = await cli("watch", generation_id, "-o", "json")

    assert asked.code == 0
    assert asked.json == {
        "generation_id": generation_id,
        "status": "cancelled",
        "cancel_requested": True,
    }
    assert watched.code == 5
    assert watched.json["error"]["kind"] == "cancelled"


async def test_what_has_ended_is_neither_cancelled_nor_resumed(
    cli: Cli, finished: dict[str, Any]
) -> None:
    generation_id = finished["generation_id"]

    cancelled = await cli("cancel", generation_id, "-o", "json")
    resumed = await cli("resume", generation_id, "-o", "json")

    assert cancelled.json["cancel_requested"] is False
    assert resumed.json == {
        "generation_id": generation_id,
        "status": "completed",
        "resumed": False,
        "error": None,
    }


async def test_what_is_not_unresolved_can_not_be_resolved(
    cli: Cli, finished: dict[str, Any]
) -> None:
    ran = await cli("resolve", finished["generation_id"], "--give-up")

    assert ran.code == 2
    assert "is completed, not unresolved." in ran.err


async def test_a_download_is_whole_and_replaces_what_was_there(
    cli: Cli, finished: dict[str, Any], outside: Path
) -> None:
    target = outside / "mine.mp4"
    target.write_bytes(b"old")

    ran = await cli("download", finished["generation_id"], "--to", str(target), "-o", "quiet")

    assert (ran.code, ran.out) == (0, f"{target}\n")
    assert target.read_bytes() == Path(finished["file_path"]).read_bytes()
    assert [path.name for path in outside.iterdir()] == ["mine.mp4"]


async def test_open_prints_the_file_and_the_page(cli: Cli, finished: dict[str, Any]) -> None:
    ran = await cli("open", finished["generation_id"], "-o", "json")

    assert ran.json["file"] == finished["file_path"]
    assert ran.json["web_ui"].endswith(finished["generation_id"])


async def test_what_has_no_video_yet_is_not_downloaded(
    cli: Cli, stack: Stack, started: Start, user: str, outside: Path
) -> None:
    async with stack.faults({"job": {"kind": "hang"}}):
        generation_id = await started(user)
        ran = await cli("download", generation_id, "--to", str(outside))
        await cli("cancel", generation_id, "--wait")

    assert ran.code == 6
    assert "has no video yet" in ran.err
    assert list(outside.iterdir()) == []


async def test_every_verb_takes_the_predictions_id_of_its_owner(
    cli: Cli, finished: dict[str, Any], user: str, outside: Path
) -> None:
    prediction = finished["prediction_id"]

    for verb in ("show", "watch", "resume", "cancel", "download", "open", "resolve"):
        extra = {"download": ("--to", str(outside)), "resolve": ("--give-up",)}.get(verb, ())
        ran = await cli(verb, prediction, *extra, "--user", "owner", "-o", "json")
        denied = await cli(verb, prediction, *extra, "--user", user)

        if verb == "resolve":
            assert f"{finished['generation_id']} is completed, not unresolved." in ran.out
        else:
            assert ran.code == 0, ran
        if verb != "open":
            assert finished["generation_id"] in ran.out
        assert (denied.code, denied.out) == (2, ""), verb
        assert "no generation begins with" in denied.err


async def test_a_part_of_a_predictions_id_names_nothing(cli: Cli, finished: dict[str, Any]) -> None:
    ran = await cli("show", finished["prediction_id"][:-1], "--user", "owner")

    assert ran.code == 2
