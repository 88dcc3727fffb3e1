"""`resume`: what is parked goes on, what has ended says what to do instead."""

import pytest

from tests.starter.conftest import Cli, Stack, Start

LOCKED_OUT = {"poll": {"kind": "status", "code": 401}}
"""The provider takes a job, then refuses our key: the generation parks."""


ENDS = {
    "failed": ({"job": {"kind": "failed"}}, 1, "provider_failed", "Start it again."),
    "moderated": ({"job": {"kind": "moderated"}}, 1, "prompt_rejected", "change prompt or image"),
    "key refused": ({"any": {"kind": "refused"}}, 3, "provider_refused_key", "WAVESPEED_API_KEY"),
}


@pytest.mark.parametrize("case", ENDS)
async def test_what_has_failed_is_to_be_started_again_not_resumed(
    case: str, cli: Cli, stack: Stack, started: Start, user: str
) -> None:
    fault, code, kind, hint = ENDS[case]
    async with stack.faults(fault):
        generation_id = await started(user)
        assert (await cli("watch", generation_id)).code == code
    submits = await stack.submits()

    ran = await cli("resume", generation_id, "-o", "json")
    told = await cli("resume", generation_id, "--wait")

    assert (ran.code, told.code) == (code, code)
    error = ran.json.pop("error")
    assert ran.json | {"error": None} == {
        "generation_id": generation_id,
        "status": "failed",
        "resumed": False,
        "error": None,
    }
    assert error["kind"] == kind
    assert hint in error["hint"]
    assert hint in told.err
    sentence = f"{generation_id} has ended: failed. It can't be resumed, only started again.\n"
    assert told.out == sentence
    assert await stack.submits() == submits


async def test_a_cancelled_generation_that_is_resumed_ends_with_5(
    cli: Cli, stack: Stack, started: Start, user: str
) -> None:
    async with stack.faults({"job": {"kind": "hang"}}):
        generation_id = await started(user)
        await cli("cancel", generation_id, "--wait")

    ran = await cli("resume", generation_id, "-o", "json")

    assert (ran.code, ran.json["resumed"], ran.json["status"]) == (5, False, "cancelled")
    assert ran.json["error"]["kind"] == "cancelled"


async def test_a_parked_generation_says_what_to_do_and_goes_on_when_it_is_resumed(
    cli: Cli, stack: Stack, started: Start, user: str
) -> None:
    submits = await stack.submits()
    async with stack.faults(LOCKED_OUT):
        generation_id = await started(user)
        parked = await cli("watch", generation_id)
        shown = (await cli("show", generation_id, "-o", "json")).json

    resumed = await cli(*("resume", shown["prediction_id"], "--user", user, "--wait", "-o", "json"))

    assert parked.code == 6
    assert "WAVESPEED_API_KEY" in parked.err
    assert f"Watch: stillmotion watch {generation_id}" in parked.err
    assert (shown["status"], shown["money"]) == ("timed_out", "$0.25 stays reserved.")
    assert (resumed.code, resumed.json["status"]) == (0, "completed")
    assert resumed.json["generation_id"] == generation_id
    assert await stack.submits() == submits + 1


async def test_a_resume_that_is_not_waited_for_says_how_to_watch(
    idle_cli: Cli, accepted: Start, user: str
) -> None:
    generation_id = await accepted(user)

    ran = await idle_cli("resume", generation_id)

    assert (ran.code, ran.out) == (0, f"{generation_id} looks again.\n")
    assert f"How it goes on: stillmotion watch {generation_id}" in ran.err
