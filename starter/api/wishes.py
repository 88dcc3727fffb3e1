"""What a caller asks for: JSON, or JSON and files, as the fields that the client takes.

Media stands in JSON by reference alone. The client also takes paths, bytes and base64, since it
runs on its caller's own machine; here a text in place of a reference is refused, or it would name a
file of ours.
"""

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from activities.media.settings import MediaSettings
from starter.api.bodies import BODY_SIZE_BYTES_MAX
from starter.api.callers import Caller
from starter.api.forms import Allowed, media_type_of, read_form
from starter.api.multipart import MEDIA_TYPE as MULTIPART
from starter.api.parts import Parts
from starter.api.problems import Problem
from starter.api.refusals import forbidden_source
from starter.batch_asking import operation_of
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import PROVIDER_ROLES, MediaById, MediaReference, Role
from workflows.contracts.requests import REQUESTS, Operation, Source
from workflows.contracts.stories import DOCUMENT_BYTES_MAX

JSON = "application/json"

REQUEST = "request"
"""The part of a form that is JSON: what the body is where there are no files."""

_DOCUMENTS: tuple[Role, ...] = ("scene", "story_context")
ROLES: tuple[Role, ...] = (*PROVIDER_ROLES, *_DOCUMENTS)
"""Every part of a form that is a file."""

_PICTURES = ("image/",)
# Phones and some programs call sound in an MP4 a video.
_SOUNDS = ("audio/", "video/", "application/ogg")
_TEXTS = (JSON, "text/")
_REFERENCE: TypeAdapter[MediaReference] = TypeAdapter(MediaReference)
_STORED: TypeAdapter[MediaById] = TypeAdapter(MediaById)
_NAME_CHARACTERS_MAX = 80


class Wish(NamedTuple):
    """What is asked for, before the client has looked at it."""

    operation: Operation
    fields: dict[str, Any]
    """Of its request; files by their paths."""


def allowed_for(role: Role, settings: MediaSettings) -> Allowed:
    """What a file in this role may be, before it is looked at."""
    if role in _DOCUMENTS:
        return Allowed(DOCUMENT_BYTES_MAX, _TEXTS)
    types = _SOUNDS if role == "audio" else _PICTURES
    return Allowed(settings.input_size_bytes_max, types)


@asynccontextmanager
async def wish_of(request: Request, caller: Caller, parts: Parts) -> AsyncGenerator[Wish]:
    """The wish in a request's body. Its files are there for the time of the block.

    Raises:
        RequestRefused: what can't be asked for, by the place in the body.
        Problem: 403: another product's source. 413, 415: as `forms.read_form`. 503: too many files
            come in at once.
        ClientDisconnect: the sender has gone.
    """
    if media_type_of(request) != MULTIPART:
        yield wish_in(await json_of(request), caller)
        return
    settings = parts.place.media
    allowed = {REQUEST: Allowed(BODY_SIZE_BYTES_MAX, _TEXTS, is_file=False)}
    allowed |= {role: allowed_for(role, settings) for role in ROLES}
    async with parts.intake.upload(caller.key_id):
        with parts.client.store.scratch() as folder:
            form = await read_form(request, folder, allowed)
            if REQUEST not in form.texts:
                raise _refused(f"{REQUEST}: the part is missing; allowed: JSON in a part so named")
            document = parsed(form.texts[REQUEST], REQUEST)
            yield wish_in(document, caller, form.files)


async def json_of(request: Request) -> dict[str, Any]:
    """The object that a JSON body is.

    Raises:
        RequestRefused: it is none.
        Problem: 415: it is said to be something else.
    """
    said = media_type_of(request)
    if said != JSON:
        shown = said[:_NAME_CHARACTERS_MAX] or "missing"
        detail = f"Content-Type: {shown}; allowed: {JSON}, or {MULTIPART} where files are taken."
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, kind="unsupported_media_type")
    return parsed(await request.body(), "body")


def parsed(content: bytes, name: str) -> dict[str, Any]:
    """The JSON object in `content`, which errors call `name`.

    Raises:
        RequestRefused: it is none.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise _refused(f"{name}: not JSON; allowed: a JSON object") from None
    if not isinstance(found, dict):
        raise _refused(f"{name}: no object; allowed: a JSON object")
    return found


def wish_in(
    document: Mapping[str, Any], caller: Caller, files: Mapping[str, Path] | None = None
) -> Wish:
    """The wish that a document and the files beside it are.

    Raises:
        RequestRefused: a field that isn't taken, or holds no reference where media is needed.
        Problem: 403: another product's source.
    """
    fields = {name: value for name, value in document.items() if value is not None}
    operation = operation_of(fields.pop("operation", None))
    beside: Mapping[str, Path] = files or {}
    taken = REQUESTS[operation].model_fields.keys() - {"user_id"}
    require_taken([*document, *beside], taken)
    for name in beside:
        if name in fields:
            raise _refused(f"{name}: it stands in {REQUEST} and comes as a part; allowed: one")
    source = source_of(caller, fields.get("source"))
    media = {role: _media(role, fields[role]) for role in ROLES if role in fields}
    return Wish(
        operation, {**fields, **media, **beside, "source": source, "user_id": caller.user_id}
    )


def source_of(caller: Caller, named: object) -> Source:
    """The product that asks: the key's first one unless another one of the key's is named.

    Raises:
        RequestRefused: there is no such product.
        Problem: 403: the key is not that product's.
    """
    allowed = ", ".join(caller.sources)
    if named is None:
        return caller.sources[0]
    for source in Source:
        if source.value == named:
            if source not in caller.sources:
                raise forbidden_source(source.value, allowed)
            return source
    raise _refused(f"source: {str(named)[:_NAME_CHARACTERS_MAX]!r}; allowed: {allowed}")


def require_taken(names: Iterable[str], taken: Iterable[str]) -> None:
    """Refuse the first name that is no field.

    Raises:
        RequestRefused: by the name, and with what there is.
    """
    known = sorted(taken)
    for name in names:
        if name == "user_id":
            raise _refused("user_id: no field here; the header Stillmotion-User names the user")
        if name not in known:
            # A key of JSON may hold half a character, which no message can.
            shown = name[:_NAME_CHARACTERS_MAX].encode(errors="backslashreplace").decode()
            raise _refused(f"{shown}: it is not taken; allowed: {', '.join(known)}")


def _media(role: Role, value: object) -> object:
    """A reference; a scene or a story may stand there itself."""
    inline = role in _DOCUMENTS
    if inline and isinstance(value, Mapping) and "media_id" not in value:
        return dict(value)
    form: TypeAdapter[Any] = _STORED if inline else _REFERENCE
    try:
        return form.validate_python(value)
    except ValidationError:
        forms = '{"media_id": "med_…"}'
        forms += ", or the object itself" if inline else ' or {"url": "https://…"}'
        told = f"{role}: no reference to media; allowed: {forms}, or a part of that name."
        raise RequestRefused(FailureKind.INVALID_MEDIA, told) from None


def _refused(told: str) -> RequestRefused:
    return RequestRefused(FailureKind.INVALID_REQUEST, f"{told}.")
