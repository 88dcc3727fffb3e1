"""Gets the media that inputs point at: an upload of ours, a data URI, or any other URL."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import httpx
from pydantic import JsonValue

from workers.sandbox.catalogue import Model
from workers.sandbox.records import Upload

UNREACHABLE = 1402
"""The provider's code for media it can't fetch or read."""
_UPLOAD_PATH = re.compile(r"/media/([0-9a-f]{32})/[^/]+")


class MediaUnusable(Exception):
    """The run fails: an input can't be fetched, read or used. `code` is the provider's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Sources:
    """Fetches inputs. `find_upload` looks up an upload by the id in its URL."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        find_upload: Callable[[str], Upload | None],
        uploads: Path,
        size_bytes_max: int,
    ) -> None:
        self._client = client
        self._find_upload = find_upload
        self._uploads = uploads
        self._size_bytes_max = size_bytes_max

    async def fetch_all(
        self, model: Model, inputs: Mapping[str, JsonValue], folder: Path
    ) -> dict[str, Path]:
        """A file for each media input that was given, by the input's name.

        Raises:
            MediaUnusable: one can't be fetched.
        """
        names = [each.name for each in model.fields if each.media and each.name in inputs]
        return {name: await self._fetch(str(inputs[name]), folder / name) for name in names}

    async def _fetch(self, url: str, target: Path) -> Path:
        if url.startswith("data:"):
            return _written(target, _decoded(url))
        # By its path alone: after a restart on another port older URLs still name our uploads.
        ours = _UPLOAD_PATH.fullmatch(urlsplit(url).path)
        if ours and (upload := self._find_upload(ours[1])) and upload.sha256:
            return self._uploads / ours[1]
        try:
            await self._download(url, target)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise MediaUnusable(UNREACHABLE, "could not fetch the media") from error
        return target

    async def _download(self, url: str, target: Path) -> None:
        size_bytes = 0
        async with self._client.stream("GET", url, follow_redirects=True) as reply:
            reply.raise_for_status()
            with target.open("wb") as file:
                async for chunk in reply.aiter_bytes():
                    size_bytes += len(chunk)
                    if size_bytes > self._size_bytes_max:
                        raise MediaUnusable(UNREACHABLE, "the media is too large")
                    file.write(chunk)


def _written(target: Path, content: bytes) -> Path:
    target.write_bytes(content)
    return target


def _decoded(data_uri: str) -> bytes:
    header, comma, body = data_uri.partition(",")
    if not comma:
        raise MediaUnusable(UNREACHABLE, "the data URI holds no data")
    if not header.endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise MediaUnusable(UNREACHABLE, "the data URI is not base64") from error
