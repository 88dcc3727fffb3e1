"""From what a caller has to a validated request: parameters first, then files, then the story.

A wrong parameter should not cost an upload, so a draft is checked before any file is looked at.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from activities.callbacks.rules import require_callback
from activities.callbacks.settings import CallbackSettings
from activities.ledger.expectations import usual_s
from activities.ledger.pricing import checks, quote_by_role
from activities.media.inputs import Check, Inputs
from activities.media.scratch import scratch_folder
from activities.prompts.writing import Wish, wish_for
from activities.provider.identity import provider_name
from starter.refusing import refusal_of
from starter.sources import MediaSource, measure, to_references
from starter.tellings import stories_of
from workflows.contracts.catalogue import Catalogue, ModelEntry
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import (
    PROVIDER_ROLES,
    InputFacts,
    MediaById,
    Role,
)
from workflows.contracts.quoting import Parameters, Quote, choose, resolve
from workflows.contracts.requests import (
    REQUESTS,
    GenerationRequest,
    Operation,
)
from workflows.contracts.stories import (
    Telling,
)

_LATER = {"url": "https://not.checked.yet"}
_LATER_STORED = MediaById(media_id="med_" + "a" * 26)


class _Drafted(NamedTuple):
    """A request before its files are looked at, with what its model makes of it."""

    request: GenerationRequest
    entry: ModelEntry
    parameters: Parameters
    told: dict[Role, Telling | MediaById]
    """Scene and story as given."""
    large: list[Role]
    """Which of these are stored, not inline."""


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
        draft = self._drafted(operation, fields)
        await require_callback(self._inputs.pool, draft.request, self._callbacks)

    async def request(self, operation: Operation, fields: Mapping[str, Any]) -> GenerationRequest:
        """The validated request, its files uploaded; nothing is started.

        Raises:
            RequestRefused: what can't be done as written; nothing of it was stored.
        """
        request, entry, _, told, large = self._drafted(operation, fields)
        await require_callback(self._inputs.pool, request, self._callbacks)
        user_id, files = request.user_id, _files(fields)
        demands: dict[Role, Check] = {role: checks(entry, role) for role in files}
        stored: dict[str, Any] = {**await to_references(self._inputs, user_id, files, demands)}
        for role in large:
            stored[role] = await self._store(user_id, role, told[role])
        return request.model_copy(update=stored)

    async def measured(
        self, operation: Operation, fields: Mapping[str, Any]
    ) -> tuple[GenerationRequest, Quote]:
        """A draft of the request, and its quote: files are measured, not stored.

        Raises:
            RequestRefused: the model doesn't take the request.
        """
        draft, entry, values, _, large = self._drafted(operation, fields)
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
        draft, entry, values, told, _ = self._drafted(operation, fields)
        duration_s = values.get("duration_s")
        return await wish_for(
            self._inputs,
            draft.model_copy(update={**told}),
            duration_s=None if duration_s is None else float(duration_s),
            characters_max=entry.prompt_characters_max,
        )

    def _drafted(self, operation: Operation, fields: Mapping[str, Any]) -> _Drafted:
        """Everything that can be known without looking at a picture or sound."""
        told, large = stories_of(fields)
        request = _draft(operation, fields, told, large)
        entry = choose(self._catalogue, request)
        return _Drafted(request, entry, resolve(entry, request), told, large)

    async def _store(self, user_id: str, role: Role, told: Telling | MediaById) -> MediaById:
        assert isinstance(told, Telling), "only what is inline can be too large for it"
        with scratch_folder() as folder:
            path = folder / role
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


def _files(fields: Mapping[str, Any]) -> dict[Role, MediaSource]:
    return {role: fields[role] for role in PROVIDER_ROLES if fields.get(role) is not None}


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
        raise refusal_of(error, takes=sorted(model.model_fields.keys() - {"operation"})) from error
