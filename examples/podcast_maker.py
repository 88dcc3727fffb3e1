"""Podcast Maker: a scene is rendered while its page asks how far it is.

Run it against a running `stillmotion dev`: python examples/podcast_maker.py
"""

import argparse
import asyncio
from pathlib import Path

from running import options, run, tell

from starter import VideoClient
from workflows.contracts.results import Generation

HERE = Path(__file__).parent
SOURCE = "podcast_maker"
POLL_INTERVAL_S = 1.0

SCENE = {
    "scene_id": "scene_1",
    "title": "Waiting for a rocket",
    "image_prompt": "An astronaut in an orange suit in front of a flag",
    "lines": [{"speaker": "Mara", "text": "Welcome to the first evening."}],
}
EPISODE = {  # the names of the product's editor
    "bible": {"host_persona": "Mara, back on earth", "tone": "calm, close to the microphone"},
    "analysis": {"contentType": "conversation", "keyTakeaways": ["Who stays behind travels too"]},
}


async def start(client: VideoClient, user_id: str) -> str:
    """In place of POST /api/podcast/render/video; the id outlives every restart."""
    handle = await client.talking_avatar(
        HERE / "portrait.jpg",
        HERE / "speech.wav",
        user_id=user_id,
        source=SOURCE,
        idempotency_key="episode-12-scene-1",
        scene=SCENE,
        story_context=EPISODE,
        resolution="480p",
    )
    return handle.id


async def render(client: VideoClient, user_id: str, generation_id: str) -> Generation:
    """In place of GET /api/podcast/task/{task_id}/status, again and again; only its owner's."""
    handle = await client.get(generation_id, user_id=user_id)
    while not await handle.ended_or_parked():
        seen = await handle.progress()
        print(f"{seen.stage}  {seen.percent} %  {seen.message}")
        await asyncio.sleep(POLL_INTERVAL_S)
    return await handle.result()


async def make(client: VideoClient, given: argparse.Namespace) -> None:
    """Start one and poll it; a second run finds it and costs nothing."""
    generation_id = await start(client, given.user)
    await tell(client, await render(client, given.user, generation_id))


if __name__ == "__main__":
    run(options(__doc__), make)
