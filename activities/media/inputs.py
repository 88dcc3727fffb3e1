"""A user's inputs: checked by decoding, stored once per owner and content, found by media id."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter

from activities.database.pool import Pool
from activities.database.statements import statements
from activities.generations.repository import user_hash
from activities.media.decoding import inspect
from activities.media.documents import parse_document, read_document, tell
from activities.media.errors import (
    DecoderCrashed,
    DecodingFailed,
    FetchError,
    FetchFailed,
    MediaInvalid,
    NotStored,
)
from activities.media.fetching import fetch, guarded_input_policy
from activities.media.keys import input_key
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.ids import media_id_for
from workflows.contracts.media import (
    AudioFacts,
    ImageFacts,
    InputFacts,
    MediaById,
    MediaFacts,
    MediaKind,
    MediaReference,
    Role,
    VideoFacts,
)
from workflows.contracts.stories import Telling

SQL = statements("activities.media", "queries.sql")

_SAID_FOR_GOOD = frozenset(range(400, 500)) - {408, 429}
"""A server that says 4xx says the same tomorrow; a timeout or a rate limit passes."""

_FACTS: TypeAdapter[MediaFacts] = TypeAdapter(MediaFacts)

KINDS: dict[Role, MediaKind] = {
    "image": "image",
    "audio": "audio",
    "mask_image": "image",
    "scene": "document",
    "story_context": "document",
}
"""What a file must be to stand in a role."""


class InputUnreachable(FetchFailed):
    """The server of an input's URL failed in a way that another try may mend."""


class Input(NamedTuple):
    """One checked input in the store."""

    media_id: str
    key: str
    facts: InputFacts


Check = Callable[[InputFacts], None]
"""Raises RequestRefused where a model doesn't take such a file."""


def accept_all(_: InputFacts) -> None:
    """For an upload that no model is known for yet."""


class Inputs:
    """Inputs of all users; every read and write is for one owner."""

    def __init__(self, pool: Pool, store: MediaStore, settings: MediaSettings) -> None:
        self.pool = pool
        self.decoding: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
        """Entered around each decoder: a process that takes many files lets it wait its turn."""
        self._store = store
        self._settings = settings

    async def add(self, user_id: str, path: Path, role: Role, check: Check = accept_all) -> Input:
        """Check a local file and store it for `user_id`; what `check` refuses is not stored.

        Raises:
            RequestRefused: `invalid_media`: it isn't what `role` needs, and why.
            MediaError: the store gave no answer.
        """
        facts = await self.measure(path, role)
        check(facts)
        return await self.keep(user_id, path, facts)

    async def keep(self, user_id: str, path: Path, facts: InputFacts) -> Input:
        """Store a local file for `user_id`, as what `measure` found it to be.

        Raises:
            MediaError: the store gave no answer.
        """
        async with self.pool.acquire() as connection:
            owner = await user_hash(connection, user_id)
        key = input_key(owner, facts.sha256)
        # The file first: a row promises that it is there.
        await self._store.put_file(path, key, mime_type=facts.mime_type)
        media_id = media_id_for(user_id, facts.sha256)
        await self.pool.execute(
            SQL["insert"], media_id, user_id, key, facts.model_dump(mode="json")
        )
        return Input(media_id, key, facts)

    async def measure(self, path: Path, role: Role) -> InputFacts:
        """What a local file is, by decoding it; nothing is stored.

        Raises:
            RequestRefused: `invalid_media`: it isn't what `role` needs, or takes more time or
                memory to decode than is allowed.
        """
        try:
            match KINDS[role]:
                case "document":
                    return await asyncio.to_thread(read_document, path, role)
                case "audio":
                    return await self._inspected("audio", path)
                case _:
                    return await self._inspected("image", path)
        except MediaInvalid as error:
            raise RequestRefused(FailureKind.INVALID_MEDIA, f"{role}: {error}.") from error
        except DecodingFailed as error:
            # The limits are the same tomorrow: tried again, one bomb would take a worker's day.
            told = f"{role}: {error}; allowed: what decodes within this deployment's limits."
            raise RequestRefused(FailureKind.INVALID_MEDIA, told) from error

    async def _inspected(
        self, kind: Literal["image", "audio"], path: Path
    ) -> ImageFacts | AudioFacts:
        async with self.decoding():
            try:
                return await inspect(kind, path, self._settings)
            except DecoderCrashed:
                # The machine may have been short of memory; what crashes twice would for ever.
                return await inspect(kind, path, self._settings)

    async def document(self, user_id: str, media_id: str, role: Role) -> dict[str, Any]:
        """The JSON object of a stored scene or story.

        Raises:
            RequestRefused: `invalid_media`: no such id of this owner, or it is something else.
            MediaError: the store gave no answer.
        """
        found = await self._find(user_id, media_id, role)
        stored = b"".join([chunk async for chunk in self._store.stream(found.key)])
        return parse_document(stored, role)

    async def told(self, user_id: str, media_id: str, role: Role) -> Telling:
        """The stored scene or story.

        Raises:
            RequestRefused: `invalid_media`: as `document`, it is gone, or it is none.
            MediaError: the store gave no answer.
        """
        try:
            return tell(await self.document(user_id, media_id, role), role)
        except (MediaInvalid, NotStored) as error:
            # No further try finds another file.
            raise RequestRefused(FailureKind.INVALID_MEDIA, f"{role}: {error}.") from error

    async def resolve(
        self, user_id: str, reference: MediaReference, role: Role, check: Check = accept_all
    ) -> Input:
        """The input that `reference` names; one at a URL is copied into the store first.

        Raises:
            RequestRefused: `invalid_media`: no such id of this owner, another kind of media, a
                URL that isn't fetched, a file that isn't what `role` needs.
            InputUnreachable: the URL's server failed in a way that another try may mend.
        """
        if isinstance(reference, MediaById):
            found = await self._find(user_id, reference.media_id, role)
            check(found.facts)
            return found
        with self._store.scratch() as folder:
            path = folder / role
            policy = guarded_input_policy(
                size_bytes_max=self._settings.input_size_bytes_max,
                allow_loopback=self._settings.allow_private_inputs,
            )
            try:
                await fetch(reference.url, path, policy=policy)
            except FetchFailed as error:
                if error.status not in _SAID_FOR_GOOD:
                    raise InputUnreachable(f"{role}: {error}", error.status) from error
                raise RequestRefused(FailureKind.INVALID_MEDIA, f"{role}: {error}") from error
            except FetchError as error:
                raise RequestRefused(FailureKind.INVALID_MEDIA, f"{role}: {error}") from error
            return await self.add(user_id, path, role, check)

    async def _find(self, user_id: str, media_id: str, role: Role) -> Input:
        row = await self.pool.fetchrow(SQL["use"], media_id, user_id)
        if row is None:
            raise RequestRefused(
                FailureKind.INVALID_MEDIA,
                f"{role}: {media_id} is not a media id of this user;"
                " `stillmotion upload FILE` makes one.",
            )
        facts = _FACTS.validate_python(row["facts"])
        wanted = KINDS[role]
        if facts.kind != wanted or isinstance(facts, VideoFacts):
            raise RequestRefused(
                FailureKind.INVALID_MEDIA, f"{role}: {media_id} is {facts.kind}; allowed: {wanted}."
            )
        return Input(media_id, row["key"], facts)
