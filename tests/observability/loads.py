"""A load like the demo's: each operation once, one that is refused and one that fails."""

import asyncio
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from stacks import SMALL, SPEECH, Stack, at_stage, until

from starter import GenerationHandle
from workflows.contracts.stages import Stage

PROMPT = "a prompt that is told nowhere"
USER = "a-user-who-is-told-nowhere"
FILE = "a-name-that-is-told-nowhere.jpg"


def a_free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def metrics_settings(address: str) -> dict[str, str]:
    return {"STILLMOTION_METRICS_ADDRESS": address, "STILLMOTION_REPORT_INTERVAL_S": "1"}


async def scrape(address: str) -> str:
    """What Prometheus would read."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"http://{address}/metrics")).raise_for_status().text


async def run_load(stack: Stack, picture: Path) -> dict[str, GenerationHandle]:
    """All of it, each handle by what became of it."""
    await stack.faults(
        {
            "output": SMALL,
            "job": {"kind": "failed", "message": "no", "match": "fail this"},
            "submit": {"kind": "lost_reply", "match": "lose this", "times": 1},
            "poll": {"kind": "status", "code": 503, "times": 1},
        }
    )
    client, user = stack.client, {"user_id": USER}
    await _on_pro(stack)
    video, scene, avatar, lost, failed = await asyncio.gather(
        client.image_to_video(picture, PROMPT, resolution="480p", **user),
        client.animate_scene(picture, {"title": PROMPT}, story_context={"plot": PROMPT}, **user),
        client.talking_avatar(picture, SPEECH, prompt=PROMPT, **user),
        client.image_to_video(picture, f"{PROMPT} lose this", resolution="480p", **user),
        client.image_to_video(picture, f"{PROMPT} fail this", resolution="480p", **user),
    )
    refused = await _start_without_looking(stack, picture)
    done = {"video": video, "scene": scene, "avatar": avatar, "lost": lost}
    ended = {"failed": failed, "refused": refused}
    await asyncio.gather(*(at_stage(each, Stage.COMPLETED) for each in done.values()))
    await asyncio.gather(*(at_stage(each, Stage.FAILED) for each in ended.values()))
    return done | ended


async def _on_pro(stack: Stack) -> None:
    code, _, said = await stack.cli("plans", "assign", USER, "pro")
    assert code == 0, said


async def _start_without_looking(stack: Stack, picture: Path) -> GenerationHandle:
    """A wire caller's request that costs more than it allows."""
    media_id = await stack.client.upload(picture, user_id=USER)
    request: Mapping[str, Any] = {
        "user_id": USER,
        "image": {"media_id": media_id},
        "prompt": PROMPT,
        "max_cost_usd_micros": 1,
    }
    await stack.client.temporal.start_workflow(
        "ImageToVideo", request, id="refused-by-cost", task_queue=stack.address.task_queue
    )

    async def found() -> GenerationHandle | None:
        try:
            return await stack.client.get("refused-by-cost")
        except LookupError:
            return None

    return await until(found)


def events(log: str) -> list[dict[str, Any]]:
    """The lines of a JSON log."""
    return [json.loads(line) for line in log.splitlines()]
