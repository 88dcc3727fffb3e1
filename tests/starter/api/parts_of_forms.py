"""Parts of forms as clients send them, and the files of a store that are on their way."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from activities.media.scratch import PREFIX
from tests.starter.api.products import Product
from tests.starter.conftest import COFFEE, SPEECH

WISH = {"operation": "image-to-video", "prompt": "a calm sea", "resolution": "480p"}
AVATAR = {"operation": "talking-avatar", "resolution": "480p"}


def a_part(name: str, content: bytes | str, typed: str | None = None) -> tuple[str, Any]:
    """A part of a form, as httpx takes it: a file with a media type, or a text."""
    return (name, (None if typed is None else "file", content, typed))


def the_request(**given: Any) -> tuple[str, Any]:
    return a_part("request", json.dumps(given))


def the_picture(name: str = "image", file: str = COFFEE) -> tuple[str, Any]:
    return a_part(name, Path(file).read_bytes(), "image/jpeg")


def the_speech() -> tuple[str, Any]:
    return a_part("audio", Path(SPEECH).read_bytes(), "audio/wav")


def media_folder(product: Product) -> Path:
    return Path(unquote(urlsplit(product.stack.address.media).path))


def files_on_their_way(product: Product) -> list[Path]:
    return list(media_folder(product).glob(f"{PREFIX}*"))


async def nothing_is_on_its_way(product: Product) -> None:
    """What was on its way is gone, at once or as soon as the server sees that nobody is there."""
    async with asyncio.timeout(10):
        while files_on_their_way(product):
            await asyncio.sleep(0.02)
