"""Endpoints that take inputs in, in two steps or in one, and serve them back."""

import hashlib
import hmac
import mimetypes
import re
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self
from urllib.parse import quote

from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response

from workers.sandbox.faults import DeduplicatedFault
from workers.sandbox.multipart import MultipartError, boundary_of, stream_file
from workers.sandbox.outputs import VideoResponse
from workers.sandbox.records import Upload, new_id
from workers.sandbox.replies import Refusal, json_object, origin, success
from workers.sandbox.sandbox import Sandbox, sandbox_of

_FORMATS = """
    jpg jpeg png webp gif bmp tiff
    mp4 avi mov wmv flv webm mkv 3gp ogv
    mp3 wav ogg aac flac m4a opus
"""
FORMATS = frozenset(_FORMATS.split())
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


async def announce(request: Request) -> Response:
    """`POST /media/uploads`: a ticket that says where to PUT the bytes and what URL they get."""
    sandbox = sandbox_of(request)
    body = await json_object(request)
    filename, size = body.get("filename"), body.get("size")
    if not isinstance(filename, str) or not filename:
        raise Refusal(400, "property 'filename' is missing", 1400)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Refusal(400, "property 'size' must be a number of bytes", 1401)
    _check_size(sandbox, size)
    content_type = _content_type(filename, body.get("content_type"))
    upload = Upload(
        id=new_id(), filename=_safe(filename), content_type=content_type, size_bytes=size
    )
    if sandbox.board.take("upload", DeduplicatedFault, filename):
        upload = _sharing(sandbox, upload)
    sandbox.store.save_upload(upload)
    put: dict[str, JsonValue] = {
        "method": "PUT",
        "url": f"{origin(request)}/media/{upload.id}?signature={_signature(sandbox, upload)}",
        "headers": {"Content-Type": content_type},
    }
    return success({**_document(request, upload), "upload": put})


async def fill(request: Request) -> Response:
    """`PUT /media/{id}`: the bytes, with the headers of the ticket and without Authorization."""
    sandbox = sandbox_of(request)
    upload = _announced(request, sandbox)
    with _Sink(
        sandbox.uploads / upload.id, min(upload.size_bytes, sandbox.settings.upload_bytes_max)
    ) as sink:
        async for chunk in request.stream():
            sink.write(chunk)
        if sink.size_bytes != upload.size_bytes:
            raise Refusal(400, f"{upload.size_bytes} bytes were announced", 1401)
    filled = upload.model_copy(update={"sha256": sink.sha256})
    shared = sandbox.store.upload(upload.shared_id) if upload.shared_id else None
    if shared is not None and shared.sha256 != filled.sha256:
        # Only now the content shows that the URL of the ticket belongs to another file.
        sandbox.store.save_upload(filled.model_copy(update={"conflict": True}))
        raise Refusal(409, "another file is stored under this URL")
    sandbox.store.save_upload(filled)
    return Response(status_code=200)


async def upload_whole(request: Request) -> Response:
    """`POST /media/upload/binary`: multipart, field `file`."""
    sandbox = sandbox_of(request)
    upload_id = new_id()
    target = sandbox.uploads / upload_id
    try:
        boundary = boundary_of(request.headers.get("content-type", ""))
        with _Sink(target, sandbox.settings.upload_bytes_max) as sink:
            part = await stream_file(request.stream(), boundary, "file", sink.write)
    except MultipartError as error:
        raise Refusal(400, str(error), 1401) from None
    upload = Upload(
        id=upload_id,
        filename=_safe(part.filename),
        content_type=_content_type(part.filename, part.content_type),
        size_bytes=sink.size_bytes,
        sha256=sink.sha256,
    )
    if sandbox.board.take("upload", DeduplicatedFault, part.filename):
        upload = _same_content(sandbox, upload)
    sandbox.store.save_upload(upload)
    return success(_document(request, upload))


async def serve(request: Request) -> Response:
    """`GET /media/{id}/{filename}`: open to everybody who has the URL."""
    sandbox = sandbox_of(request)
    upload = sandbox.store.upload(request.path_params["upload_id"])
    if upload is None or upload.sha256 is None:
        raise Refusal(404, "file not found")
    return VideoResponse(sandbox.uploads / upload.id, media_type=upload.content_type)


class _Sink:
    """A file that appears when it is complete, with its hash; more bytes than allowed are a 413."""

    def __init__(self, target: Path, size_bytes_max: int) -> None:
        self._target = target
        self._part = target.with_suffix(".part")
        self._size_bytes_max = size_bytes_max
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def __enter__(self) -> Self:
        self._file = self._part.open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()
        if error is None:
            self._part.replace(self._target)
        else:
            self._part.unlink()

    def write(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        if self.size_bytes > self._size_bytes_max:
            raise Refusal(413, f"the file is over {self._size_bytes_max} bytes")
        self._hash.update(chunk)
        self._file.write(chunk)


def _announced(request: Request, sandbox: Sandbox) -> Upload:
    upload = sandbox.store.upload(request.path_params["upload_id"])
    if upload is None:
        raise Refusal(404, "upload not found")
    given = request.query_params.get("signature", "")
    if not hmac.compare_digest(given, _signature(sandbox, upload)):
        raise Refusal(403, "access denied")
    if "authorization" in request.headers:
        raise Refusal(400, "the upload URL is signed: send no Authorization header")
    if request.headers.get("content-type") != upload.content_type:
        raise Refusal(403, "the headers differ from the ticket's")
    return upload


def _sharing(sandbox: Sandbox, upload: Upload) -> Upload:
    """Takes over the URL of an earlier upload that looks equal before the bytes are known."""
    like = sandbox.store.uploads_like(
        size_bytes=upload.size_bytes, content_type=upload.content_type
    )
    filled = [each for each in like if each.sha256 and not each.shared_id]
    if not filled or any(each.conflict for each in like):
        return upload
    return upload.model_copy(update={"shared_id": filled[0].id})


def _same_content(sandbox: Sandbox, upload: Upload) -> Upload:
    like = sandbox.store.uploads_like(
        size_bytes=upload.size_bytes, content_type=upload.content_type
    )
    same = [each for each in like if each.sha256 == upload.sha256 and not each.shared_id]
    return upload.model_copy(update={"shared_id": same[0].id}) if same else upload


def _document(request: Request, upload: Upload) -> dict[str, JsonValue]:
    sandbox = sandbox_of(request)
    named = sandbox.store.upload(upload.url_id) or upload
    url = f"{origin(request)}/media/{named.id}/{quote(named.filename)}"
    return {
        "type": upload.content_type.partition("/")[0],
        "download_url": url,
        "filename": upload.filename,
        "size": upload.size_bytes,
    }


def _check_size(sandbox: Sandbox, size_bytes: int) -> None:
    if size_bytes > sandbox.settings.upload_bytes_max:
        raise Refusal(413, f"the file is over {sandbox.settings.upload_bytes_max} bytes")


def _content_type(filename: str, given: JsonValue) -> str:
    suffix = PurePosixPath(filename).suffix.removeprefix(".").lower()
    if suffix and suffix not in FORMATS:
        raise Refusal(400, f"files of type {suffix!r} are not taken", 1401)
    if isinstance(given, str) and given:
        return given
    return mimetypes.guess_type(filename)[0] or "application/octet-stream"


def _safe(filename: str) -> str:
    return _UNSAFE.sub("_", PurePosixPath(filename).name)[-120:] or "upload"


def _signature(sandbox: Sandbox, upload: Upload) -> str:
    return hmac.digest(sandbox.secret.encode(), upload.id.encode(), "sha256").hex()[:32]
