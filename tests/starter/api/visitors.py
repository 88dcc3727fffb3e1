"""Visitors of the pages: somebody who signed in with a browser, with videos in any state."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

import httpx

from tests.starter.api.conftest import Api
from tests.starter.api.holders import Browser, Holder, a_browser
from tests.starter.conftest import COFFEE

FACTS = {
    "kind": "video",
    "size_bytes": 1_500_000,
    "sha256": "ab" * 32,
    "duration_s": 5.0,
    "width": 854,
    "height": 480,
    "codec": "h264",
    "frames": 120,
}


@dataclass(frozen=True)
class Visitor:
    """One user's browser."""

    api: Api
    browser: Browser
    user: str

    async def get(self, path: str) -> httpx.Response:
        return await self.api.http.get(self.api.origin + path, headers=self.browser.headers())

    async def page(self, path: str) -> str:
        """A page that is there."""
        reply = await self.get(path)
        assert reply.status_code == 200, reply.text
        return reply.text

    async def started(self, prompt: str = "a calm sea", image: str = COFFEE, **given: Any) -> str:
        """A generation of this visitor's that waits for a worker; its id."""
        given = {"user_id": self.user, "resolution": "480p", **given}
        return (await self.api.client.image_to_video(image, prompt, **given)).id

    async def finished(self, title: str = "Steam", *, nsfw: bool = False) -> tuple[str, str]:
        """One that stands finished in the books, without a file; its id and its asset's."""
        generation_id, asset_id = await self.started("it rises"), f"ast_{secrets.token_hex(13)}"
        database = self.api.stack.database
        await database.execute(
            "INSERT INTO assets (asset_id, generation_id, user_id, source, operation, model, key,"
            " facts, nsfw, title, prompt) SELECT $1, generation_id, user_id, source, operation,"
            " 'a/model', 'outputs/' || $1, $3, $4, $5, 'it rises' FROM generations"
            " WHERE generation_id = $2",
            asset_id,
            generation_id,
            json.dumps(FACTS),
            nsfw,
            title,
        )
        await database.execute(
            "UPDATE generations SET stage = 'completed', completed_at = now()"
            " WHERE generation_id = $1",
            generation_id,
        )
        return generation_id, asset_id

    async def deleted(self, asset_id: str) -> None:
        """Take a finished video away."""
        await self.api.stack.database.execute(
            "UPDATE assets SET deleted_at = now() WHERE asset_id = $1", asset_id
        )


def a_visitor(api: Api, holder: Holder, user: str | None = None) -> Visitor:
    """Somebody who signed in with this key; a user whom nobody has seen unless one is named."""
    user = user or f"user-{secrets.token_hex(6)}"
    return Visitor(api, a_browser(api.parts, holder.key.key_id, user), user)
