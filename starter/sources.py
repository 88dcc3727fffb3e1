"""Media as callers have it: a path, bytes, base64, a data URI, an https URL, a media id.

Everything but ids and URLs is checked and stored first, so that no request carries bytes.
"""

import base64
import binascii
import re
import tempfile
from pathlib import Path

from activities.media.inputs import Check, Inputs, Role, accept_all
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import MediaById, MediaByUrl, MediaReference

MediaSource = str | Path | bytes | MediaById | MediaByUrl

_MEDIA_ID = re.compile(r"med_[a-z0-9]{26}")
_DATA_URI = re.compile(r"data:[\w.+-]+/[\w.+-]+(;[\w=.+-]+)*;base64,", re.IGNORECASE)
_BASE64_CHARACTERS_MIN = 256
"""A shorter string without a file of that name is a mistyped path, not a picture."""


async def to_reference(
    inputs: Inputs, user_id: str, source: MediaSource, role: Role, check: Check
) -> MediaReference:
    """The reference for a request; a file is uploaded for `user_id` (the same bytes give the same id).

    Raises:
        RequestRefused: `invalid_media`: no such file, not base64, or not what `role` needs.
    """
    if isinstance(source, MediaById | MediaByUrl):
        return source
    if isinstance(source, str):
        if _MEDIA_ID.fullmatch(source):
            return MediaById(media_id=source)
        if source.startswith("https://"):
            return MediaByUrl(url=source)
        if source.startswith("http://"):
            raise _refused(role, "the URL is not https", "https URLs, files, base64")
    return MediaById(media_id=await upload(inputs, user_id, source, role, check))


async def upload(
    inputs: Inputs, user_id: str, source: str | Path | bytes, role: Role, check: Check = accept_all
) -> str:
    """Check and store a file or bytes; returns the media id.

    Raises:
        RequestRefused: as `to_reference`.
    """
    data = _bytes_of(source, role)
    if data is None:
        path = Path(str(source))
        if not path.is_file():
            raise _refused(role, f"{str(source)[:120]!r} is not a file", "a readable file")
        return (await inputs.add(user_id, path, role, check)).media_id
    with tempfile.TemporaryDirectory(prefix="stillmotion-") as folder:
        path = Path(folder) / role
        path.write_bytes(data)
        return (await inputs.add(user_id, path, role, check)).media_id


def _bytes_of(source: str | Path | bytes, role: Role) -> bytes | None:
    """The bytes that `source` is; None where it names a file."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, Path):
        return None
    prefix = _DATA_URI.match(source[:200])
    if prefix is None and (len(source) < _BASE64_CHARACTERS_MIN or "\n" not in source[:100] and "." in source[-10:]):
        return None
    try:
        return base64.b64decode("".join(source[prefix.end() if prefix else 0 :].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(role, "the text is not base64", "a file, base64, a data URI, an https URL") from error


def _refused(role: str, reason: str, allowed: str) -> RequestRefused:
    return RequestRefused(FailureKind.INVALID_MEDIA, f"{role}: {reason}; allowed: {allowed}.")
