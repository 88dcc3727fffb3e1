"""Story Writer: a scene is animated, then spoken; one that is late is resumed.

Run it against a running `stillmotion dev`: python examples/story_writer.py
What is not finished in time is not lost:   python examples/story_writer.py --resume PREDICTION
"""

import argparse
from pathlib import Path

from running import options, run, tell

from starter import GenerationHandle, NotFinished, VideoClient

HERE = Path(__file__).parent
SOURCE = "story_writer"


async def preview(client: VideoClient, user_id: str) -> GenerationHandle:
    """In place of POST /api/story/animate-scene-preview; an LLM writes the prompt."""
    return await client.animate_scene(
        HERE / "chelsea.jpg",
        HERE / "scene.json",  # or the editor's own objects, as they are
        HERE / "story.json",
        user_id=user_id,
        source=SOURCE,
        idempotency_key="story-7-scene-3-preview",
        duration_s=5,
    )


async def voiceover(client: VideoClient, user_id: str) -> GenerationHandle:
    """In place of POST /api/story/animate-scene-voiceover; a rule makes the prompt."""
    return await client.talking_avatar(
        HERE / "portrait.jpg",
        HERE / "speech.wav",
        user_id=user_id,
        source=SOURCE,
        idempotency_key="story-7-scene-3-voiceover",
        scene=HERE / "scene.json",
        story_context=HERE / "story.json",
        resolution="720p",
    )


async def resume(client: VideoClient, user_id: str, prediction_id: str) -> GenerationHandle:
    """In place of POST /api/story/animate-scene-resume: only its owner's, and never paid twice."""
    handle = await client.get(prediction_id, user_id=user_id)
    await handle.resume()
    return handle


async def finish(client: VideoClient, handle: GenerationHandle) -> None:
    """Wait for the video; where it is late, say how to go on."""
    try:
        await tell(client, await handle.result())
    except NotFinished:
        known = await handle.read_generation()
        print("Late, but not lost. Go on with: --resume", known.prediction_id)
        raise


async def make(client: VideoClient, given: argparse.Namespace) -> None:
    """Make both, or go on with one that was late."""
    if given.resume is not None:
        await finish(client, await resume(client, given.user, given.resume))
        return
    await finish(client, await preview(client, given.user))
    await finish(client, await voiceover(client, given.user))


if __name__ == "__main__":
    parser = options(__doc__)
    parser.add_argument("--resume", metavar="PREDICTION", help="the provider's id of a late one")
    run(parser, make)
