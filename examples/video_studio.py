"""Video Studio: a picture becomes a video, by another model; a portrait speaks.

Run it against a running `stillmotion dev`: python examples/video_studio.py
"""

import argparse
from pathlib import Path

from running import options, run, tell

from starter import VideoClient
from workflows.contracts.results import Generation

HERE = Path(__file__).parent
SOURCE = "video_studio"


async def transform(client: VideoClient, user_id: str) -> Generation:
    """In place of POST /api/video-studio/transform; the model is named, never replaced."""
    handle = await client.ai_video_generate(
        "image-to-video",
        HERE / "rocket.jpg",
        "The camera moves slowly towards the rocket on its pad",
        user_id=user_id,
        source=SOURCE,
        idempotency_key="video-studio-transform-1",
        model="wavespeed/kandinsky5-pro/image-to-video",
        resolution="480p",
    )
    return await handle.result(on_progress=show)


async def avatar(client: VideoClient, user_id: str) -> Generation:
    """In place of POST /api/video-studio/avatar/create-async and the page that polls its task."""
    handle = await client.talking_avatar(
        HERE / "portrait.jpg",
        HERE / "speech.wav",
        user_id=user_id,
        source=SOURCE,
        idempotency_key="video-studio-avatar-1",
        resolution="720p",
    )
    return await handle.result(on_progress=show)


def show(percent: float, message: str) -> None:
    """Take what the old progress callback took."""
    print(f"{percent:3.0f} %  {message}")


async def make(client: VideoClient, given: argparse.Namespace) -> None:
    """Make both, one after the other; a second run finds them and costs nothing."""
    await tell(client, await transform(client, given.user))
    await tell(client, await avatar(client, given.user))


if __name__ == "__main__":
    run(options(__doc__), make)
