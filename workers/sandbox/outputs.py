"""Output files: spoiled on disk where a fault asks for it, served under URLs that may expire."""

import hmac
import struct
from pathlib import Path

from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from workers.sandbox.faults import (
    BigFault,
    CutConnectionFault,
    CutFileFault,
    ExpiredFault,
    HtmlFault,
    NsfwFault,
    ObjectOutputsFault,
    SeveralOutputsFault,
)
from workers.sandbox.records import Prediction
from workers.sandbox.replies import Refusal, cut

CHUNK_BYTES = 256 * 1024
_FREE_HEADER = struct.Struct(">I4sQ")
"""An MP4 box with a 64-bit size: 1 in the short size field, the type, the size."""


class VideoResponse(FileResponse):
    """A file with Content-Length and byte ranges, in chunks that suit large videos."""

    chunk_size = CHUNK_BYTES


class CutResponse(Response):
    """The headers of a whole file, a part of its bytes, then a closed connection."""

    def __init__(self, path: Path, fraction: float) -> None:
        super().__init__(media_type="video/mp4")
        self._path = path
        self._size_bytes = path.stat().st_size
        self._cut_at = int(self._size_bytes * fraction)
        self.headers["content-length"] = str(self._size_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the part and closes the connection."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        left = self._cut_at
        with self._path.open("rb") as file:
            while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await cut(scope, receive)


def spoil(path: Path, prediction: Prediction) -> None:
    """Pads or cuts the rendered file, as the job's faults say."""
    if big := prediction.fault(BigFault):
        _pad(path, big.size_bytes)
    if cut_file := prediction.fault(CutFileFault):
        with path.open("r+b") as file:
            file.truncate(int(path.stat().st_size * cut_file.fraction))


def output_list(prediction: Prediction, origin: str, secret: str) -> list[JsonValue]:
    """The prediction's `outputs` as the provider shows them."""
    if not prediction.has_output:
        return []
    version = prediction.url_version
    query = f"version={version}&signature={_signature(prediction.id, version, secret)}"
    urls = [
        f"{origin}/outputs/{prediction.id}/{index}.mp4?{query}"
        for index in range(_count(prediction))
    ]
    if prediction.fault(ObjectOutputsFault):
        return [{"type": "video", "url": url} for url in urls]
    return [*urls]


def nsfw_flags(prediction: Prediction) -> list[JsonValue]:
    """One flag for each output."""
    if not prediction.has_output:
        return []
    return [prediction.fault(NsfwFault) is not None] * _count(prediction)


def signed_version(request: Request, prediction_id: str, secret: str) -> int:
    """The version in the URL.

    Raises:
        Refusal: 403, the URL wasn't signed by this sandbox.
    """
    version = request.query_params.get("version", "")
    given = request.query_params.get("signature", "")
    if not version.isdecimal():
        raise Refusal(403, "access denied")
    if not hmac.compare_digest(given, _signature(prediction_id, int(version), secret)):
        raise Refusal(403, "access denied")
    return int(version)


def is_expired(prediction: Prediction, version: int) -> bool:
    """Whether URLs of this version no longer work."""
    fault = prediction.fault(ExpiredFault)
    return fault is not None and version <= fault.urls


def video_response(path: Path, prediction: Prediction) -> Response:
    """The file, or what the job's faults put in its place."""
    if prediction.fault(HtmlFault):
        return HTMLResponse("<!doctype html><title>Sign in</title><p>Please sign in to continue.")
    broken = prediction.fault(CutConnectionFault)
    if broken and (broken.downloads is None or prediction.downloads < broken.downloads):
        return CutResponse(path, broken.fraction)
    return VideoResponse(path, media_type="video/mp4")


def _count(prediction: Prediction) -> int:
    several = prediction.fault(SeveralOutputsFault)
    return several.count if several else 1


def _signature(prediction_id: str, version: int, secret: str) -> str:
    return hmac.digest(secret.encode(), f"{prediction_id}/{version}".encode(), "sha256").hex()[:32]


def _pad(path: Path, size_bytes: int) -> None:
    """Appends an empty `free` box, which every player skips; it takes no room on disk."""
    padding = size_bytes - path.stat().st_size
    if padding < _FREE_HEADER.size:
        return
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(_FREE_HEADER.pack(1, b"free", padding))
        file.truncate(size_bytes)
