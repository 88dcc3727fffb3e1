"""Finished videos in the library of a stack without workers, with real files behind them."""

import hashlib
import secrets
from typing import NamedTuple

from activities.generations import repository as generations
from activities.library import repository as library
from activities.media.keys import output_key, poster_key
from tests.activities.conftest import a_generation
from tests.starter.api.conftest import Api
from tests.starter.api.holders import owners_pool
from workflows.contracts.ids import generation_digest
from workflows.contracts.media import VideoFacts
from workflows.contracts.results import StoredVideo
from workflows.contracts.stages import Stage

OWNER = "0123456789abcdef" * 2
CONTENT = bytes(range(256)) * 40
"""10,240 bytes: nobody decodes them here."""
STILL = b"\xff\xd8\xff" + bytes(500)


class Filed(NamedTuple):
    """A video in the library."""

    asset_id: str
    generation_id: str
    user: str
    key: str
    poster_key: str | None
    sha256: str

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"/v1/assets/{self.asset_id}"


async def filed(
    api: Api,
    user: str,
    *,
    content: bytes = CONTENT,
    still: bytes | None = STILL,
    source: str = "api",
) -> Filed:
    """A finished video of a user's."""
    generation_id = f"gen_{secrets.token_hex(13)}"
    digest, sha256 = generation_digest(generation_id), hashlib.sha256(content).hexdigest()
    stills_key = (
        None if still is None else poster_key(OWNER, digest, hashlib.sha256(still).hexdigest())
    )
    video = StoredVideo(
        key=output_key(OWNER, digest, sha256, ".mp4"),
        poster_key=stills_key,
        facts=VideoFacts(
            size_bytes=len(content),
            sha256=sha256,
            duration_s=5,
            width=854,
            height=480,
            codec="h264",
            frames=120,
        ),
    )
    store = api.parts.client.store
    await store.put_bytes(content, video.key, mime_type="video/mp4")
    if still is not None and stills_key is not None:
        await store.put_bytes(still, stills_key, mime_type="image/jpeg")
    async with owners_pool(api.stack) as pool:
        await a_generation(pool, generation_id, user_id=user, stage=Stage.SAVING)
        await pool.execute(
            "UPDATE generations SET source = $2 WHERE generation_id = $1", generation_id, source
        )
        async with pool.acquire() as connection, connection.transaction():
            asset_id = await library.save(connection, generation_id, video)
            assert await generations.record(connection, generation_id, Stage.COMPLETED)
    return Filed(asset_id, generation_id, user, video.key, video.poster_key, sha256)
