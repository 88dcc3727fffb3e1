"""From what a caller has to a validated request: parameters first, then files, then the story.

A wrong parameter should not cost an upload, so a draft is checked before any file is looked at.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from activities.callbacks.rules import require_callback
from activities.callbacks.settings import CallbackSettings
from activities.ledger.expectations import usual_s
from activities.ledger.pricing import checks, quote_by_role
from activities.media.documents import parse_document
from activities.media.errors import MediaInvalid
from activities.media.inputs import Inputs
from activities.prompts.writing import Wish, wish_for
from activities.provider.identity import provider_name
from starter.sources import MediaSource, is_media_id, measure, to_reference
from workflows.contracts.catalogue import Catalogue
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import (
    PROVIDER_ROLES,
    InputFacts,
    MediaById,
    Role,
)
from workflows.contracts.quoting import Quote, choose, resolve
from workflows.contracts.requests import (
    REQUESTS,
    GenerationRequest,
    Operation,
    SceneAnimationRequest,
    TalkingAvatarRequest,
)
from workflows.contracts.stories import (
    DOCUMENT_BYTES_MAX,
    INLINE_BYTES_MAX,
    Scene,
    StoryContext,
    Telling,
)
from workflows.contracts.texts import place_of

StorySource = Mapping[str, Any] | Telling | Path | MediaById | str
"""A scene or a story: its fields, a JSON file, or a media id."""

_TELLINGS: dict[Role, type[Telling]] = {"scene": Scene, "story_context": StoryContext}
_LATER = {"url": "https://not.checked.yet"}
_LATER_STORED = MediaById(media_id="med_" + "a" * 26)
_VALUE_CHARACTERS_MAX = 100


class Asking:
    """Makes requests of what people and backends have."""

    def __init__(
        self,
        inputs: Inputs,
        catalogue: Catalogue,
        provider_url: str,
        callbacks: CallbackSettings,
    ) -> None:
        self._inputs = inputs
        self._catalogue = catalogue
        self._provider = provider_name(provider_url)
        self._callbacks = callbacks

    async def check(self, operation: Operation, fields: Mapping[str, Any]) -> None:
        """Refuse what can be refused before any picture or sound is looked at; stores nothing.

        Raises:
            RequestRefused: what can't be done as written.
        """
        told, large = _stories(fields)
        draft = _draft(operation, fields, told, large)
        resolve(choose(self._catalogue, draft), draft)
        await require_callback(self._inputs.pool, draft, self._callbacks)

    async def request(self, operation: Operation, fields: Mapping[str, Any]) -> GenerationRequest:
        """The validated request, its files uploaded; nothing is started.

        Raises:
            RequestRefused: what can't be done as written; nothing of it was stored.
        """
        told, large = _stories(fields)
        draft = _draft(operation, fields, told, large)
        entry = choose(self._catalogue, draft)
        resolve(entry, draft)
        await require_callback(self._inputs.pool, draft, self._callbacks)
        user_id = draft.user_id
        stored: dict[str, Any] = {
            role: await to_reference(self._inputs, user_id, source, role, checks(entry, role))
            for role, source in _files(fields).items()
        }
        for role in large:
            stored[role] = await self._store(user_id, role, told[role])
        return draft.model_copy(update=stored)

    async def measured(
        self, operation: Operation, fields: Mapping[str, Any]
    ) -> tuple[GenerationRequest, Quote]:
        """A draft of the request, and its quote: files are measured, not stored.

        Raises:
            RequestRefused: the model doesn't take the request.
        """
        told, large = _stories(fields)
        draft = _draft(operation, fields, told, large)
        entry = choose(self._catalogue, draft)
        values = resolve(entry, draft)
        await require_callback(self._inputs.pool, draft, self._callbacks)
        facts: dict[Role, InputFacts] = {
            role: await measure(self._inputs, draft.user_id, source, role)
            for role, source in _files(fields).items()
        }
        for role, reference in draft.documents.items():
            if role not in large:
                await self._inputs.resolve(draft.user_id, reference, role)
        quoted = quote_by_role(self._catalogue, entry, values, facts)
        expected_s = await usual_s(self._inputs.pool, entry, quoted.duration_s, self._provider)
        return draft, quoted.model_copy(update={"expected_s": expected_s})

    async def wish(self, operation: Operation, fields: Mapping[str, Any]) -> Wish:
        """What the request's prompt would be made of; no file is looked at, nothing is stored.

        Raises:
            RequestRefused: the model doesn't take the request, or a stored scene or story is none.
        """
        told, large = _stories(fields)
        draft = _draft(operation, fields, told, large)
        entry = choose(self._catalogue, draft)
        duration_s = resolve(entry, draft).get("duration_s")
        return await wish_for(
            self._inputs,
            draft.model_copy(update={**told}),
            duration_s=None if duration_s is None else float(duration_s),
            characters_max=entry.prompt_characters_max,
        )

    async def _store(self, user_id: str, role: Role, told: Telling | MediaById) -> MediaById:
        assert isinstance(told, Telling), "only what is inline can be too large for it"
        with tempfile.TemporaryDirectory(prefix="stillmotion-") as folder:
            path = Path(folder) / role
            path.write_text(told.model_dump_json(), encoding="utf-8")
            return MediaById(media_id=(await self._inputs.add(user_id, path, role)).media_id)


def operation_named(name: str) -> Operation:
    """The operation of that name.

    Raises:
        RequestRefused: there is none (yet), by name.
    """
    try:
        return Operation(name)
    except ValueError:
        names = ", ".join(operation.value for operation in Operation)
        raise RequestRefused(
            FailureKind.INVALID_REQUEST, f"operation_type: {str(name)[:80]!r}; allowed: {names}."
        ) from None


def check_story_file(role: Role, path: Path) -> None:
    """Look whether a JSON file can be the scene or the story of a request, before it is stored.

    Raises:
        RequestRefused: it can't, and why.
    """
    told = _told(role, path)
    if isinstance(told, Scene) and not told.is_told():
        needed = "a title, a description or an image_prompt is needed"
        raise RequestRefused(FailureKind.INVALID_REQUEST, f"{role}: {needed}.")


def tellings_of(
    request: GenerationRequest,
) -> tuple[Scene | MediaById | None, StoryContext | MediaById | None]:
    """Scene and story of a request; None where its operation has none."""
    if isinstance(request, SceneAnimationRequest | TalkingAvatarRequest):
        return request.scene, request.story_context
    return None, None


def _files(fields: Mapping[str, Any]) -> dict[Role, MediaSource]:
    return {role: fields[role] for role in PROVIDER_ROLES if fields.get(role) is not None}


def _stories(
    fields: Mapping[str, Any],
) -> tuple[dict[Role, Telling | MediaById], list[Role]]:
    """Scene and story as given, and which of them are too large to stand in the request."""
    told: dict[Role, Telling | MediaById] = {
        role: _told(role, fields[role]) for role in _TELLINGS if fields.get(role) is not None
    }
    sizes: dict[Role, int] = {
        role: one.inline_bytes() for role, one in told.items() if isinstance(one, Telling)
    }
    large: list[Role] = []
    for role in sorted(sizes, key=lambda role: sizes[role], reverse=True):
        if sum(sizes.values()) <= INLINE_BYTES_MAX:
            break
        large.append(role)
        del sizes[role]
    return told, large


def _told(role: Role, source: StorySource) -> Telling | MediaById:
    match source:
        case Telling() | MediaById():
            return source
        case str() if is_media_id(source):
            return MediaById(media_id=source)
        case Path() | str():
            given: Any = _document(role, Path(source))
        case _:
            given = source
    try:
        return _TELLINGS[role].model_validate(given)
    except ValidationError as error:
        raise _refused(error, role) from error


def _document(role: Role, path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return parse_document(file.read(DOCUMENT_BYTES_MAX + 1), path.name)
    except (OSError, ValueError) as error:
        told = f"{role}: {str(path)[:120]!r} can't be read; allowed: a readable JSON file."
        raise RequestRefused(FailureKind.INVALID_MEDIA, told) from error
    except MediaInvalid as error:
        raise RequestRefused(FailureKind.INVALID_MEDIA, f"{role}: {error}.") from error


def _draft(
    operation: Operation,
    fields: Mapping[str, Any],
    told: Mapping[Role, Telling | MediaById],
    large: list[Role],
) -> GenerationRequest:
    """The request before its files are looked at."""
    given = {name: value for name, value in fields.items() if value is not None}
    given |= dict.fromkeys(_files(fields), _LATER)
    given |= dict(told)
    given |= dict.fromkeys(large, _LATER_STORED)
    model = REQUESTS[operation]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _refused(error, takes=sorted(model.model_fields.keys() - {"operation"})) from error


def _refused(
    error: ValidationError, role: str | None = None, takes: list[str] | None = None
) -> RequestRefused:
    """The first problem: the field, its value and what is allowed."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = place_of((*([role] if role else []), *first["loc"]))
    if first["type"] == "extra_forbidden" and takes is not None:
        told = f"{field}: it is not taken; allowed: {', '.join(takes)}."
        return RequestRefused(FailureKind.INVALID_REQUEST, told)
    message = first["msg"].removeprefix("Value error, ")
    value = repr(first["input"])
    shown = value if len(value) <= _VALUE_CHARACTERS_MAX else value[:97] + "..."
    told = f"{field}: {shown}: {message}."
    if first["type"] == "missing":
        told = f"{field}: missing."
    elif isinstance(first["input"], BaseModel):
        told = f"{field}: {message}."
    elif not first["loc"] and role is None:
        told = f"{message}."
    return RequestRefused(FailureKind.INVALID_REQUEST, told)
