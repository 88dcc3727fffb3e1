"""The Python client: start generations and follow them.

    async with await VideoClient.connect() as client:
        handle = await client.image_to_video("photo.jpg", "a slow zoom", user_id="ann")
        video = await handle.result()

Validation, quotes and reads are the code that the workers use; the database role can't touch money.
"""

import uuid
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.database.pool import STARTER_ROLE, DatabaseUnreachable, Pool, connect
from activities.generations import repository as generations
from activities.generations.reading import Event, Filters, Reader
from activities.ledger.catalogues import load_catalogue
from activities.ledger.pricing import checks, price, quote_by_role
from activities.ledger.repository import SQL as LEDGER
from activities.ledger.repository import plan_of
from activities.ledger.usage import Estimate, Usage, estimate_of, usage_of
from activities.library import repository as library
from activities.media.inputs import Inputs, Role
from starter.handles import GenerationHandle
from starter.places import (
    DATA_DIR,
    NotReachable,
    Place,
    connect_temporal,
    find_place,
    store_of,
)
from starter.sources import MediaSource, measure, to_reference, upload
from workflows.contracts import queues
from workflows.contracts.failures import FailureKind, RequestRefused, failure
from workflows.contracts.ids import generation_id_for
from workflows.contracts.media import AudioFacts, ImageFacts
from workflows.contracts.quoting import Quote, check_max_cost, choose, resolve
from workflows.contracts.requests import ImageToVideoRequest, Operation, Source
from workflows.contracts.results import Generation
from workflows.contracts.stages import TERMINAL, Stage, Status
from workflows.contracts.texts import summary_of

WORKFLOW_TYPES = {Operation.IMAGE_TO_VIDEO: "ImageToVideo"}


class VideoClient:
    """Starts and follows generations. Get one from `connect`, and close it."""

    def __init__(self, temporal: Client, pool: Pool, place: Place, stack: AsyncExitStack) -> None:
        self.temporal = temporal
        self.store = store_of(place)
        self.reader = Reader(pool, self.store)
        self.inputs = Inputs(pool, self.store, place.media)
        self.catalogue = load_catalogue(place.ledger.catalogue)
        self.place = place
        self._pool = pool
        self._stack = stack

    @classmethod
    async def connect(cls, data_dir: Path = DATA_DIR) -> Self:
        """Connect by the environment, else to the `stillmotion dev` of `data_dir`.

        Raises:
            NotReachable: Temporal or PostgreSQL does not answer, or nothing says where they are.
            SettingWrong, pydantic.ValidationError: a setting can't be used; its name is told.
        """
        place = find_place(data_dir)
        async with AsyncExitStack() as stack:
            try:
                pool = await stack.enter_async_context(connect(place.database, role=STARTER_ROLE))
            except DatabaseUnreachable as error:
                raise NotReachable(f"{error} {place.remedy}") from error
            return cls(await connect_temporal(place), pool, place, stack.pop_all())
        raise AssertionError("the block returns or raises")

    async def close(self) -> None:
        """Close every connection."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Starting

    async def image_to_video(
        self,
        image: MediaSource,
        prompt: str,
        *,
        user_id: str,
        audio: MediaSource | None = None,
        **parameters: Any,  # noqa: ANN401 - the fields of the request
    ) -> GenerationHandle:
        """Start an image-to-video generation, or find the one that the same key names.

        Args:
            image: path, bytes, base64, data URI, https URL or media id.
            prompt: what should happen in the video.
            user_id: whose quota it takes.
            audio: like `image`; WAN models only.
            **parameters: the other fields of `ImageToVideoRequest`, None = the model's default.

        Raises:
            RequestRefused: what can't be done as written; nothing was reserved or submitted.
        """
        request = await self.image_to_video_request(
            image, prompt, user_id=user_id, audio=audio, **parameters
        )
        return await self.start(request)

    async def image_to_video_request(
        self,
        image: MediaSource,
        prompt: str,
        *,
        user_id: str,
        audio: MediaSource | None = None,
        **parameters: Any,  # noqa: ANN401 - the fields of the request
    ) -> ImageToVideoRequest:
        """The validated request, its files uploaded; nothing is started."""
        draft = _draft(prompt, user_id=user_id, audio=audio, **parameters)
        # Parameters first: a wrong one should not cost an upload.
        entry = choose(self.catalogue, draft)
        resolve(entry, draft)
        references = {
            role: await to_reference(self.inputs, user_id, source, role, checks(entry, role))
            for role, source in _given(image, audio).items()
        }
        return draft.model_copy(update={"audio": None, **references})

    async def ai_video_generate(
        self,
        operation_type: str,
        image: MediaSource,
        prompt: str,
        **parameters: Any,  # noqa: ANN401 - the fields of the request
    ) -> GenerationHandle:
        """The one entry for every operation; `image-to-video` for now.

        Raises:
            RequestRefused: another operation, by name; or as the operation itself.
        """
        if operation_type != Operation.IMAGE_TO_VIDEO:
            raise RequestRefused(
                FailureKind.INVALID_REQUEST,
                f"operation_type: {operation_type!r}; allowed: {Operation.IMAGE_TO_VIDEO.value}.",
            )
        return await self.image_to_video(image, prompt, **parameters)

    async def start(self, request: ImageToVideoRequest) -> GenerationHandle:
        """Start a request that is complete, once: the same key gives the same generation.

        Raises:
            RequestRefused: the key names another request.
            NotReachable: Temporal could not be asked; nothing was reserved.
        """
        key = request.idempotency_key or uuid.uuid4().hex
        request = request.model_copy(update={"idempotency_key": key})
        generation_id = generation_id_for(request.user_id, key)
        async with self._pool.acquire() as connection:
            # Who has no plan is refused before anything is recorded.
            plan = await plan_of(connection, request.user_id, self.place.ledger)
            user_hash = await generations.user_hash(connection, request.user_id)
            claimed = await generations.claim(connection, generation_id, request)
        first = claimed.generation_id
        if claimed.stage not in TERMINAL:
            await self._start_workflow(first, request, user_hash, plan.fairness_weight)
        return GenerationHandle(self, first, request.user_id)

    async def _start_workflow(
        self, generation_id: str, request: ImageToVideoRequest, user_hash: str, weight: float
    ) -> None:
        model = choose(self.catalogue, request).title
        summary = f"{model}: {request.prompt}"
        attributes = TypedSearchAttributes(
            [
                SearchAttributePair(queues.USER, user_hash),
                SearchAttributePair(queues.OPERATION, request.operation.value),
                SearchAttributePair(queues.SOURCE, request.source.value),
                SearchAttributePair(queues.STATUS, Status.RUNNING.value),
            ]
        )
        try:
            await self.temporal.start_workflow(
                WORKFLOW_TYPES[request.operation],
                request.model_dump(mode="json", exclude_none=True),
                id=generation_id,
                task_queue=queues.TaskQueue.GENERATIONS.value,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                # A refused or lost run may start over under its id; the ledger never pays twice.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                static_summary=summary_of(summary),
                search_attributes=attributes,
                priority=Priority(fairness_key=user_hash, fairness_weight=weight),
            )
        except WorkflowAlreadyStartedError:
            # It completed between the claim and the start: the claim's generation is the answer.
            return
        except RPCError as error:
            await self._start_failed(generation_id)
            raise NotReachable(f"Temporal did not take the start ({error.status.name}).") from error

    async def _start_failed(self, generation_id: str) -> None:
        """No list should show a start that nobody took; a workflow that did begin revives it."""
        told = failure(FailureKind.INTERNAL, "Temporal did not take the start.")
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(generations.SQL["lock"], generation_id)
            if row is not None and Stage(row["stage"]) is Stage.ACCEPTED:
                await generations.record(connection, generation_id, Stage.FAILED, failure=told)

    # Before spending

    async def estimate(self, request: ImageToVideoRequest) -> Estimate:
        """The quote, and whether it would be granted now, by the code that reserves. Holds nothing.

        Raises:
            RequestRefused: the model doesn't take the request, or the user is on no plan.
        """
        priced = await price(self.catalogue, self.inputs, request)
        return await self._judged(request, priced.quote)

    async def image_to_video_estimate(
        self,
        image: MediaSource,
        prompt: str,
        *,
        user_id: str,
        audio: MediaSource | None = None,
        **parameters: Any,  # noqa: ANN401 - the fields of the request
    ) -> Estimate:
        """`estimate` of what `image_to_video` takes: files are measured, not stored.

        Raises:
            RequestRefused: the model doesn't take the request, or the user is on no plan.
        """
        draft = _draft(prompt, user_id=user_id, audio=audio, **parameters)
        entry = choose(self.catalogue, draft)
        values = resolve(entry, draft)
        facts: dict[Role, ImageFacts | AudioFacts] = {
            role: await measure(self.inputs, self.place.media, user_id, source, role)
            for role, source in _given(image, audio).items()
        }
        return await self._judged(draft, quote_by_role(self.catalogue, entry, values, facts))

    async def _judged(self, request: ImageToVideoRequest, quoted: Quote) -> Estimate:
        """Whether the quote would be granted now: by the caller's own limit, the plan, the caps."""
        async with self._pool.acquire() as connection:
            judged = await estimate_of(connection, request.user_id, quoted, self.place.ledger)
        try:
            check_max_cost(request, quoted)
        except RequestRefused as error:
            return judged.model_copy(update={"allowed": False, "refusal": error.failure})
        return judged

    async def upload(self, source: str | Path | bytes, *, user_id: str, audio: bool = False) -> str:
        """Check and store a file for `user_id`; returns its media id."""
        return await upload(self.inputs, user_id, source, "audio" if audio else "image")

    # Reading

    async def get(self, generation_id: str, *, user_id: str | None = None) -> GenerationHandle:
        """A handle by id or unique beginning.

        Raises:
            UnknownGeneration: none, several, or another owner's.
        """
        return GenerationHandle(self, await self.reader.find_id(generation_id, user_id), user_id)

    async def generations(
        self,
        *,
        user_id: str | None = None,
        status: Status | None = None,
        operation: Operation | None = None,
        source: Source | None = None,
        since: datetime | None = None,
        limit: int = 100,
    ) -> list[Generation]:
        """Generations, newest first."""
        return await self.reader.find(Filters(user_id, status, operation, source, since, limit))

    async def assets(
        self,
        *,
        user_id: str | None = None,
        source: str | None = None,
        operation: str | None = None,
        words: str | None = None,
        limit: int = 100,
    ) -> list[library.Asset]:
        """Finished videos, newest first; `words` are searched in title, description and prompt."""
        return await library.find(
            self._pool,
            self.store,
            user_id=user_id,
            source=source,
            operation=operation,
            words=words,
            limit=limit,
        )

    async def asset(self, asset_id: str, *, user_id: str | None = None) -> library.Asset:
        """One asset, by id or unique beginning."""
        return await library.read(self._pool, self.store, asset_id, user_id)

    async def delete_asset(self, asset_id: str, *, user_id: str) -> None:
        """Delete an asset and its files; the ledger keeps what it cost."""
        await library.delete(self._pool, self.store, asset_id, user_id)

    async def asset_key(self, generation_id: str) -> str | None:
        """The store's key of a generation's video; None while there is none."""
        return await self._pool.fetchval(
            "SELECT key FROM assets WHERE generation_id = $1 AND deleted_at IS NULL", generation_id
        )

    async def events(self, generation_id: str, *, user_id: str | None = None) -> list[Event]:
        """What happened to a generation, in order."""
        await self.reader.read(generation_id, user_id)
        return await self.reader.events(generation_id)

    async def plans(self) -> list[dict[str, Any]]:
        """Every plan, the smallest first: `plan`, `title` and its limits, None = unlimited."""
        return [dict(row) for row in await self._pool.fetch(LEDGER["plans"])]

    async def usage(self, user_id: str) -> Usage:
        """Limit, reserved, settled and remaining of the user's present period."""
        async with self._pool.acquire() as connection:
            return await usage_of(connection, user_id, self.place.ledger)


def _given(image: MediaSource, audio: MediaSource | None) -> dict[Role, MediaSource]:
    return {"image": image} if audio is None else {"image": image, "audio": audio}


def _draft(
    prompt: str,
    *,
    user_id: str,
    audio: MediaSource | None,
    **parameters: Any,  # noqa: ANN401 - the fields of the request
) -> ImageToVideoRequest:
    """The request before its files are looked at, so that a wrong parameter costs no upload."""
    unknown = {"url": "https://not.checked.yet"}
    return _request(
        image=unknown,
        prompt=prompt,
        user_id=user_id,
        audio=unknown if audio is not None else None,
        **parameters,
    )


def _request(**fields: Any) -> ImageToVideoRequest:  # noqa: ANN401 - not checked yet
    try:
        return ImageToVideoRequest.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"]))
        value = repr(first["input"])
        told = f"{field}: {value if len(value) <= 100 else value[:97] + '...'}: {first['msg']}."  # noqa: PLR2004
        raise RequestRefused(FailureKind.INVALID_REQUEST, told) from error
