"""Inputs on their own: a file becomes a media id, which requests for the same user name."""

from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request

from activities.media.documents import TELLINGS
from starter.api.bodies import UPLOADS
from starter.api.callers import CallerOf
from starter.api.documents import UploadDocument
from starter.api.forms import Allowed, media_type_of, read_file, read_form
from starter.api.multipart import MEDIA_TYPE as MULTIPART
from starter.api.parts import PartsOf
from starter.api.responses import problems
from starter.api.schemas import FILE, UPLOAD
from starter.api.wishes import allowed_for
from starter.tellings import check_story_file
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import Role

router = APIRouter(tags=["uploads"])

InRole = Annotated[
    Role, Query(description="What the file will be: the name of the field it is for.")
]


@router.post(
    UPLOADS,
    status_code=HTTPStatus.CREATED,
    summary="Upload an input",
    response_description="It is stored; one that nobody uses is deleted after a week.",
    responses=problems(408, 413, 415),
    openapi_extra=UPLOAD,
)
async def upload(
    request: Request, caller: CallerOf, parts: PartsOf, role: InRole = "image"
) -> UploadDocument:
    """Check a file and store it. The body is the file, or a form with the part `file`.

    The same bytes of the same user get the same id. Nothing is stored of what is refused, or of
    what ends before its end.
    """
    allowed = allowed_for(role, parts.place.media)
    async with parts.intake.upload(caller.key_id):
        with parts.client.store.scratch() as folder:
            path = await _received(request, folder / role, allowed)
            if role in TELLINGS:
                check_story_file(role, path)
            kept = await parts.client.inputs.add(caller.user_id, path, role)
    return UploadDocument(media_id=kept.media_id, role=role, facts=kept.facts)


async def _received(request: Request, path: Path, allowed: Allowed) -> Path:
    """The file, at `path`: errors call it by that name."""
    if media_type_of(request) != MULTIPART:
        await read_file(request, path, allowed)
        return path
    form = await read_form(request, path.parent, {FILE: allowed})
    if FILE not in form.files:
        raise RequestRefused(FailureKind.INVALID_REQUEST, f"{FILE}: the part is missing.")
    return form.files[FILE].rename(path)
