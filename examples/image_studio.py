"""Image Studio: a picture becomes a video, a portrait speaks.

Run it against a running `stillmotion dev`: python examples/image_studio.py
"""

import argparse
from pathlib import Path

from running import options, run, tell

from starter import VideoClient
from workflows.contracts.results import Generation

HERE = Path(__file__).parent
SOURCE = "image_studio"


async def transform(client: VideoClient, user_id: str) -> Generation:
    """In place of POST /api/image-studio/transform/image-to-video."""
    handle = await client.image_to_video(
        HERE / "coffee.jpg",  # or bytes, base64, a data URI, an https URL, a media id
        "Steam rises slowly from the cup while the light of the morning wanders over it",
        user_id=user_id,
        source=SOURCE,
        idempotency_key="image-studio-transform-1",
        negative_prompt="people, text",
        resolution="720p",
        duration_s=5,
        seed=7,
    )
    return await handle.result(on_progress=show)


async def avatar(client: VideoClient, user_id: str) -> Generation:
    """In place of POST /api/image-studio/transform/talking-avatar; as long as its sound."""
    handle = await client.talking_avatar(
        HERE / "portrait.jpg",
        HERE / "speech.wav",
        user_id=user_id,
        source=SOURCE,
        idempotency_key="image-studio-avatar-1",
        prompt="She speaks calmly into the camera",
        resolution="480p",
        seed=7,
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
