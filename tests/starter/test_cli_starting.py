"""`image-to-video` and `estimate`: starting once, stopping at limits, waiting and not waiting."""

import asyncio
import signal
from typing import Any

from starter import VideoClient
from tests.starter.conftest import (
    A_VIDEO,
    COFFEE,
    KANDINSKY,
    NOTHING,
    OWNERS_VIDEO,
    SPEECH,
    WAN,
    Cli,
    Path,
    Stack,
    Start,
    start_cli,
)


async def test_detached_it_prints_id_and_status(idle_cli: Cli, user: str) -> None:
    ran = await idle_cli(*A_VIDEO, "--user", user, "--detach", "-o", "json")

    assert ran.code == 0
    assert sorted(ran.json) == ["generation_id", "status"]
    assert ran.json["generation_id"].startswith("gen_")
    assert ran.json["status"] == "running"
    assert f"stillmotion watch {ran.json['generation_id']}" in ran.err


async def test_elsewhere_than_on_a_terminal_it_detaches_by_itself(idle_cli: Cli, user: str) -> None:
    ran = await idle_cli(*A_VIDEO, "--user", user, "-o", "json")

    assert (ran.code, ran.json["status"]) == (0, "running")


async def test_a_finished_video_is_told_with_every_field(finished: dict[str, Any]) -> None:
    assert finished | {"generation_id": "", "asset_id": ""} == {
        "generation_id": "",
        "asset_id": "",
        "operation": "image-to-video",
        "status": "completed",
        "stage": "completed",
        "user_id": "owner",
        "source": "video_studio",
        "model": WAN,
        "provider": "sandbox",
        "prediction_id": finished["prediction_id"],
        "prompt": "a kettle boils",
        "prompt_by": "caller",
        "duration_s": 5.0,
        "resolution": "480p",
        "width": 720,
        "height": 480,
        "file_size_bytes": Path(finished["file_path"]).stat().st_size,
        "sha256": finished["sha256"],
        "mime_type": "video/mp4",
        "file_path": finished["file_path"],
        "poster_path": finished["poster_path"],
        "url": Path(finished["file_path"]).as_uri(),
        "cost_usd_micros": 250_000,
        "quoted_usd_micros": 250_000,
        "created_at": finished["created_at"],
        "completed_at": finished["completed_at"],
        "warnings": [],
        "error": None,
    }


async def test_a_repeat_under_its_id_finds_the_first_and_pays_nothing(
    cli: Cli, stack: Stack, finished: dict[str, Any]
) -> None:
    submits = await stack.submits()

    again = await cli(*OWNERS_VIDEO, "-o", "json")

    assert (again.code, again.json) == (0, finished)
    assert f"{finished['generation_id']} was started before." in again.err
    assert await stack.submits() == submits
    assert (await stack.rows_of("owner"))["generations"] == 1


async def test_another_request_under_the_same_id_is_refused(idle_cli: Cli, user: str) -> None:
    await idle_cli(*A_VIDEO, "--user", user, "--id", "order-8")

    ran = await idle_cli(*A_VIDEO, "--user", user, "--id", "order-8", "--seed", "5")

    assert ran.code == 2
    assert "--id: 'order-8' already names gen_" in ran.err
    assert "Use a new --id for a new request" in ran.err


async def test_the_same_id_of_another_user_is_another_generation(
    accepted: Start, user: str
) -> None:
    mine = await accepted(user, "--id", "order-9")
    theirs = await accepted(f"{user}-other", "--id", "order-9")

    assert mine != theirs


async def test_a_quote_over_the_limit_is_refused_before_anything_is_stored(
    cli: Cli, stack: Stack, user: str
) -> None:
    ran = await cli(*A_VIDEO, "--user", user, "--max-cost", "0.20")

    assert ran.code == 4
    assert "--max-cost: the quote is $0.25, the limit $0.20. Nothing was charged." in ran.err
    assert await stack.rows_of(user) == NOTHING


async def test_a_used_up_quota_is_refused_by_the_name_of_the_plan(
    cli: Cli, stack: Stack, client: VideoClient, started: Start, user: str
) -> None:
    async with stack.faults({"job": {"kind": "hang"}}):
        first = await started(user, "--id", "first")
        second = await started(user, "--id", "second")
        while (await client.usage(user)).videos_remaining:
            await asyncio.sleep(0.05)
        submits = await stack.submits()

        refused = await cli(*A_VIDEO, "--user", user, "--id", "third", "-o", "json")
        repeated = await started(user, "--id", "first")

        assert refused.code == 4
        assert refused.json["error"]["kind"] == "quota_exceeded"
        told = "videos: 2 of the 2 of plan Free are used or reserved; the period ends "
        assert refused.json["error"]["message"].startswith(told)
        assert repeated == first
        assert (await stack.rows_of(user))["generations"] == 2
        assert await stack.submits() <= submits + 2
        for generation_id in (first, second):
            await cli("cancel", generation_id, "--wait")


async def test_the_deployments_cap_is_refused_by_its_name(cli: Cli, user: str) -> None:
    ran = await cli(*A_VIDEO, "--user", user, STILLMOTION_SPEND_LIMIT_USD_DAY="0.01")

    assert ran.code == 4
    assert "$0.25 more would pass this deployment's $0.01 for this day" in ran.err


async def test_no_plan_is_refused_where_there_is_no_default(cli: Cli, user: str) -> None:
    ran = await cli(*A_VIDEO, "--user", user, STILLMOTION_DEFAULT_PLAN="none")

    assert ran.code == 4
    assert "is on no plan" in ran.err


async def test_a_dry_run_quotes_and_stores_nothing(cli: Cli, stack: Stack, user: str) -> None:
    ran = await cli(*A_VIDEO, "--user", user, "--dry-run", "-o", "json")

    assert ran.code == 0
    assert ran.json["allowed"] is True
    assert ran.json["quote"]["cost_usd_micros"] == 250_000
    assert await stack.rows_of(user) == NOTHING


async def test_a_dry_run_that_would_be_refused_says_why_and_ends_with_4(
    cli: Cli, user: str
) -> None:
    ran = await cli(*A_VIDEO, "--user", user, "--max-cost", "0.10", "--dry-run")

    assert ran.code == 4
    assert "allowed        no" in ran.out
    assert "--max-cost: the quote is $0.25, the limit $0.10." in ran.out


async def test_an_estimate_takes_its_sound_in_either_place(cli: Cli, user: str) -> None:
    words = ("--prompt", "x", "--resolution", "480p", "--user", user, "-o", "json")

    by_place = await cli("estimate", COFFEE, SPEECH, *words)
    by_flag = await cli("estimate", COFFEE, "--audio", SPEECH, *words)

    assert (by_place.code, by_flag.code) == (0, 0)
    assert by_place.json == by_flag.json


async def test_an_estimate_without_its_prompt_is_refused(cli: Cli, user: str) -> None:
    ran = await cli("estimate", COFFEE, "--user", user)

    assert ran.code == 2
    assert "--prompt: missing. Nothing was charged." in ran.err


async def test_an_estimate_names_the_true_size(cli: Cli, user: str) -> None:
    ran = await cli(
        *("estimate", COFFEE, "--prompt", "x", "--model", KANDINSKY, "--resolution", "720p"),
        *("--user", user, "-o", "json"),
    )

    assert ran.code == 0
    quote = ran.json["quote"]
    assert (quote["resolution"], quote["width"], quote["height"]) == ("1024p", 1536, 1024)
    assert quote["cost_usd_micros"] == 600_000
    assert ran.json["usage"]["videos_remaining"] == 2


async def test_a_saved_video_is_the_stored_one(
    cli: Cli, finished: dict[str, Any], outside: Path
) -> None:
    ran = await cli(*OWNERS_VIDEO, "--save", str(outside), "-o", "json")

    assert ran.code == 0
    (saved,) = outside.iterdir()
    assert saved.name == f"{finished['generation_id']}.mp4"
    assert saved.read_bytes() == Path(finished["file_path"]).read_bytes()


async def test_after_the_timeout_it_goes_on_and_the_next_command_is_named(
    cli: Cli, stack: Stack, user: str
) -> None:
    async with stack.faults({"job": {"kind": "hang"}}):
        ran = await cli(*A_VIDEO, "--user", user, "--timeout", "0.5", "-o", "json")

    assert (ran.code, ran.json["status"]) == (6, "running")
    assert f"Watch: stillmotion watch {ran.json['generation_id']}" in ran.err
    assert (await cli("watch", ran.json["generation_id"])).code == 0


async def test_ctrl_c_detaches_and_says_how_to_watch_and_to_cancel(
    cli: Cli, stack: Stack, user: str
) -> None:
    async with stack.faults({"job": {"kind": "hang"}}):
        process = await start_cli(
            *(*A_VIDEO, "--user", user, "--wait", "-o", "json"),
            *("--data-dir", str(stack.data_dir)),
        )
        assert process.stderr is not None
        while b"generating" not in await process.stderr.readline():
            pass

        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        (listed,) = (await cli("list", "--user", user, "-o", "json")).json
        generation_id = listed["generation_id"]
        cancelled = await cli("cancel", generation_id, "--wait", "-o", "json")

    assert process.returncode == 6
    assert listed["status"] == "running"
    assert cancelled.json["status"] == "cancelled"
    assert out.decode() == f'{{"generation_id": "{generation_id}", "status": "running"}}\n'
    assert f"{generation_id} goes on. Watch: stillmotion watch {generation_id}" in err.decode()
    assert f"Cancel: stillmotion cancel {generation_id}" in err.decode()


async def test_a_failed_generation_ends_with_1_and_says_what_became_of_the_money(
    cli: Cli, stack: Stack, user: str
) -> None:
    async with stack.faults({"job": {"kind": "moderated"}}):
        ran = await cli(*A_VIDEO, "--user", user, "--wait")

    assert ran.code == 1
    assert "moderation" in ran.err
    assert "Error: " in ran.err
    assert "change prompt or image" in ran.err
    usage = (await cli("usage", user, "-o", "json")).json
    assert (usage["settled_usd_micros"], usage["reserved_usd_micros"]) == (0, 0)


async def test_a_key_that_the_provider_refuses_ends_with_3(
    cli: Cli, stack: Stack, user: str
) -> None:
    submits = (await stack.sandbox.get("/sandbox/log")).json()["accepted"]
    async with stack.faults({"any": {"kind": "refused"}}):
        ran = await cli(*A_VIDEO, "--user", user, "--wait", "-o", "json")

    assert ran.code == 3
    assert ran.json["status"] == "failed"
    assert ran.json["error"]["kind"] == "provider_refused_key"
    assert "WAVESPEED_API_KEY" in ran.json["error"]["hint"]
    assert (await stack.sandbox.get("/sandbox/log")).json()["accepted"] == submits


async def test_without_a_stack_the_user_must_be_named(stack: Stack, cli: Cli) -> None:
    ran = await cli(
        *A_VIDEO,
        STILLMOTION_DATABASE_URL=stack.address.database,
        STILLMOTION_MEDIA_URL=stack.address.media,
        TEMPORAL_ADDRESS=stack.address.temporal,
    )

    assert ran.code == 2
    assert "--user: missing" in ran.err
