"""Media as callers have it: a path, bytes, base64, a data URI, an https URL, a media id.

Everything but ids and URLs is checked and stored first, so that no request carries bytes.
"""

import base64
import binascii
import os
import re
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from activities.media.inputs import Check, Inputs, accept_all
from activities.media.scratch import scratch_folder
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import InputFacts, MediaById, MediaByUrl, MediaReference, Role

MediaSource = str | Path | bytes | MediaById | MediaByUrl | Mapping[str, str]

_REFERENCE: TypeAdapter[MediaReference] = TypeAdapter(MediaReference)
_FORMS = "a file, bytes, base64, a data URI, an https URL, a media id"
_MEDIA_ID = re.compile(r"med_[a-z0-9]{26}")
_DATA_URI = re.compile(r"data:[\w.+-]+/[\w.+-]+(;[\w=.+-]+)*;base64,", re.IGNORECASE)
_BASE64_CHARACTERS_MIN = 256
"""A shorter string without a file of that name is a mistyped path, not a picture."""


async def to_references(
    inputs: Inputs,
    user_id: str,
    sources: Mapping[Role, MediaSource],
    checks: Mapping[Role, Check],
) -> dict[Role, MediaReference]:
    """The references for a request; its files are uploaded for `user_id` once all are found good.

    The same bytes get the same id.

    Raises:
        RequestRefused: `invalid_media`: no such file, not base64, or not what its role needs.
    """
    named: dict[Role, MediaReference | None] = {
        role: _reference(source, role) for role, source in sources.items()
    }
    with ExitStack() as stack:
        paths: dict[Role, Path] = {
            role: stack.enter_context(_file(_content(sources[role]), role))
            for role, reference in named.items()
            if reference is None
        }
        facts: dict[Role, InputFacts] = {}
        for role, path in paths.items():
            facts[role] = await inputs.measure(path, role)
            checks[role](facts[role])
        for role, path in paths.items():
            kept = await inputs.keep(user_id, path, facts[role])
            named[role] = MediaById(media_id=kept.media_id)
    return {role: reference for role, reference in named.items() if reference is not None}


async def measure(inputs: Inputs, user_id: str, source: MediaSource, role: Role) -> InputFacts:
    """What decoding `source` shows. A file or bytes are not stored; what a URL gives is.

    Raises:
        RequestRefused: as `to_references`.
    """
    reference = _reference(source, role)
    if reference is not None:
        return (await inputs.resolve(user_id, reference, role)).facts
    with _file(_content(source), role) as path:
        return await inputs.measure(path, role)


async def upload(
    inputs: Inputs, user_id: str, source: str | Path | bytes, role: Role, check: Check = accept_all
) -> str:
    """Check and store a file or bytes; returns the media id.

    Raises:
        RequestRefused: as `to_references`.
    """
    with _file(source, role) as path:
        return (await inputs.add(user_id, path, role, check)).media_id


def checked(source: MediaSource, role: Role) -> MediaSource:
    """The reference that `source` is, else `source` itself; no byte of it is read or stored.

    Raises:
        RequestRefused: `invalid_media`: it can't be media, whatever stands in it.
    """
    reference = _reference(source, role)
    if reference is not None:
        return reference
    if isinstance(source, Path):
        _require_readable(source, role)
    return source


def is_media_id(text: str) -> bool:
    """Whether `text` is a media id, not the name of a file."""
    return _MEDIA_ID.fullmatch(text) is not None


def _reference(source: MediaSource, role: Role) -> MediaReference | None:
    """The reference that `source` is already; None for a file, bytes, base64."""
    if isinstance(source, MediaById | MediaByUrl):
        return source
    if isinstance(source, Mapping):
        return _by_name(source, role)
    if not isinstance(source, str | Path | bytes):  # pyright: ignore[reportUnnecessaryIsInstance] - a caller's
        raise _refused(role, repr(source)[:80], _FORMS)
    if not isinstance(source, str):
        return None
    if is_media_id(source):
        return MediaById(media_id=source)
    if source.startswith("http://"):
        raise _refused(role, "the URL is not https", "https URLs, files, base64")
    if not source.startswith("https://"):
        return None
    try:
        return MediaByUrl(url=source)
    except ValidationError as error:
        raise _refused(
            role, "the URL is malformed", "https URLs of up to 2048 characters"
        ) from error


def _by_name(source: Mapping[str, str], role: Role) -> MediaReference:
    """The reference in the form that it has on the wire."""
    try:
        return _REFERENCE.validate_python(dict(source))
    except ValidationError as error:
        raise _refused(
            role, repr(source)[:80], '{"media_id": "med_…"}, {"url": "https://…"}'
        ) from error


def _content(source: MediaSource) -> str | Path | bytes:
    assert isinstance(source, str | Path | bytes), "a reference names everything else"
    return source


@contextmanager
def _file(source: str | Path | bytes, role: Role) -> Generator[Path]:
    """`source` as a file, for the time of the block."""
    data = _bytes_of(source, role)
    if data is None:
        path = Path(str(source))
        _require_readable(path, role)
        yield path
        return
    with scratch_folder() as folder:
        path = folder / role
        path.write_bytes(data)
        yield path


def _require_readable(path: Path, role: Role) -> None:
    try:
        is_readable = path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):
        # Too long for a name, or with a NUL in it.
        is_readable = False
    if not is_readable:
        raise _refused(role, f"{str(path)[:120]!r} is not a file", "a readable file")


def _bytes_of(source: str | Path | bytes, role: Role) -> bytes | None:
    """The bytes that `source` is; None where it names a file."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, Path):
        return None
    prefix = _DATA_URI.match(source[:200])
    if prefix is None and (
        len(source) < _BASE64_CHARACTERS_MIN or ("\n" not in source[:100] and "." in source[-10:])
    ):
        return None
    try:
        return base64.b64decode(
            "".join(source[prefix.end() if prefix else 0 :].split()), validate=True
        )
    except (binascii.Error, ValueError) as error:
        raise _refused(
            role, "the text is not base64", "a file, base64, a data URI, an https URL"
        ) from error


def _refused(role: str, reason: str, allowed: str) -> RequestRefused:
    return RequestRefused(FailureKind.INVALID_MEDIA, f"{role}: {reason}; allowed: {allowed}.")
