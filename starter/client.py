"""The Python client: start generations and follow them.

    async with await VideoClient.connect() as client:
        handle = await client.image_to_video("photo.jpg", "a slow zoom", user_id="ann")
        video = await handle.result()

Validation, quotes and reads are the code that the workers use; the database role can't touch money.
"""

import os
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from temporalio.client import Client

from activities.database.pool import STARTER_ROLE, DatabaseUnreachable, Pool, connect
from activities.generations.reading import Event, Filters, Reader
from activities.ledger.catalogues import load_catalogue
from activities.ledger.daily import DAYS, DaySpend, spent_by_day
from activities.ledger.pricing import price
from activities.ledger.repository import SQL as LEDGER
from activities.ledger.usage import Estimate, UsageReport, estimate_of, report_of
from activities.library.repository import Asset
from activities.media.inputs import Inputs
from activities.prompts.writing import Prompt
from activities.provider.identity import provider_name
from starter.asking import Asking, operation_named
from starter.assets import Assets
from starter.batch_asking import BatchAsking, Items
from starter.batch_handles import BatchHandle
from starter.batches import Batches
from starter.callbacks import Callbacks
from starter.handles import GenerationHandle
from starter.launching import Launcher
from starter.places import (
    DATA_DIR,
    NotReachable,
    Place,
    connect_temporal,
    find_place,
    store_of,
)
from starter.previewing import prompt_of
from starter.sources import MediaSource, upload
from starter.tellings import StorySource
from workflows.contracts.failures import RequestRefused
from workflows.contracts.media import Role
from workflows.contracts.quoting import Quote, check_max_cost
from workflows.contracts.requests import GenerationRequest, Operation, Source
from workflows.contracts.results import Generation
from workflows.contracts.stages import Status


class VideoClient:
    """Starts and follows generations. Get one from `connect`, and close it."""

    def __init__(self, temporal: Client, pool: Pool, place: Place, stack: AsyncExitStack) -> None:
        self.temporal = temporal
        self.store = store_of(place)
        self.reader = Reader(pool, self.store)
        self.library = Assets(pool, self.store)
        self.inputs = Inputs(pool, self.store, place.media)
        self.catalogue = load_catalogue(place.ledger.catalogue)
        self.asking = Asking(self.inputs, self.catalogue, place.provider_url, place.callbacks)
        self.launcher = Launcher(temporal, pool, self.catalogue, place.ledger, place.callbacks)
        self.callbacks = Callbacks(temporal, pool)
        items = BatchAsking(self.asking, self.inputs, self.catalogue, place.provider_url)
        self.batches = Batches(temporal, pool, self.store, items, place.ledger)
        self.place = place
        self._pool = pool
        self._stack = stack

    @classmethod
    async def connect(cls, data_dir: Path | None = None) -> Self:
        """Connect by the environment, else to the `stillmotion dev` of `data_dir`.

        Without one it is STILLMOTION_DATA_DIR, else `.stillmotion`.

        Raises:
            NotReachable: Temporal or PostgreSQL does not answer, or nothing says where they are.
            SettingWrong, pydantic.ValidationError: a setting can't be used; its name is told.
        """
        place = find_place(data_dir or Path(os.environ.get("STILLMOTION_DATA_DIR") or DATA_DIR))
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
        given = {"image": image, "prompt": prompt, "user_id": user_id, "audio": audio}
        return await self._start(Operation.IMAGE_TO_VIDEO, given | parameters)

    async def animate_scene(
        self,
        image: MediaSource,
        scene: StorySource,
        story_context: StorySource | None = None,
        *,
        user_id: str,
        **parameters: Any,  # noqa: ANN401 - the fields of the request
    ) -> GenerationHandle:
        """Start a scene animation; an LLM writes its prompt from scene and story.

        Args:
            image: the scene's picture, in any form of `image_to_video`.
            scene: its fields (`contracts.stories.Scene`), a JSON file or a media id.
            story_context: the story's fields (`StoryContext`), a JSON file or a media id.
            user_id: whose quota it takes.
            **parameters: the other fields of `SceneAnimationRequest`, None = the model's default.

        Raises:
            RequestRefused: what can't be done as written; nothing was reserved or submitted.
        """
        given = {"image": image, "scene": scene, "story_context": story_context}
        return await self._start(
            Operation.SCENE_ANIMATION, {**given, "user_id": user_id, **parameters}
        )

    async def talking_avatar(
        self,
        image: MediaSource,
        audio: MediaSource,
        *,
        user_id: str,
        **parameters: Any,  # noqa: ANN401 - the fields of the request
    ) -> GenerationHandle:
        """Start a talking avatar: the picture speaks the sound, for as long as that lasts.

        Args:
            image: the face, in any form of `image_to_video`.
            audio: the voice, in the same forms.
            user_id: whose quota it takes.
            **parameters: the other fields of `TalkingAvatarRequest` (`mask_image` in any form of
                `image`, `scene` and `story_context` as in `animate_scene`).

        Raises:
            RequestRefused: what can't be done as written; nothing was reserved or submitted.
        """
        given = {"image": image, "audio": audio, "user_id": user_id}
        return await self._start(Operation.TALKING_AVATAR, given | parameters)

    async def ai_video_generate(
        self,
        operation_type: str,
        image: MediaSource | None = None,
        prompt: str | None = None,
        *,
        user_id: str,
        **parameters: Any,  # noqa: ANN401 - the fields of the request
    ) -> GenerationHandle:
        """The one entry for every operation, by its name; the fields are those of its request.

        Raises:
            RequestRefused: another operation, by name; or as the operation itself.
        """
        given = {"image": image, "prompt": prompt, "user_id": user_id}
        return await self._start(operation_named(operation_type), given | parameters)

    async def request(
        self,
        operation: Operation,
        **fields: Any,  # noqa: ANN401 - the fields of the request
    ) -> GenerationRequest:
        """The validated request, its files uploaded; nothing is started.

        Raises:
            RequestRefused: what can't be done as written; nothing of it was stored.
        """
        return await self.asking.request(operation, fields)

    async def start(self, request: GenerationRequest) -> GenerationHandle:
        """Start a request that is complete, once: the same key gives the same generation.

        Raises:
            RequestRefused: the key names another request.
            NotReachable: Temporal could not be asked; nothing was reserved.
        """
        begun = await self.launcher.start(request)
        return GenerationHandle(self, begun.generation_id, request.user_id)

    async def _start(self, operation: Operation, fields: dict[str, Any]) -> GenerationHandle:
        return await self.start(await self.asking.request(operation, fields))

    async def batch(
        self,
        items: Items,
        *,
        user_id: str,
        source: Source | str = Source.API,
        **options: Any,  # noqa: ANN401 - of the batch itself, as below
    ) -> BatchHandle:
        """Start up to 500 generations as one, or go on with what the same key names.

        Every item is checked before the first file is uploaded. Quota for the whole is reserved at
        once, or the whole is refused (`BatchHandle.result`); an item that fails leaves the others.

        Args:
            items: dicts of `operation` and the fields of its request; media in any form of
                `image_to_video`; an `idempotency_key` of its own names that item's generation.
            user_id: whose quota it takes.
            source: the product that asks; an item may name another.
            **options: `idempotency_key` of the whole; `max_cost_usd_micros`: refuse when the sum
                is higher; `max_parallel`: 1 to 100 at a time, 5 unless given.

        Raises:
            ItemRefused: an item that can't be done as written, by its position from 1.
            RequestRefused: what is wrong with the batch; nothing was reserved or submitted.
        """
        return await self.batches.make(items, user_id=user_id, source=source, **options)

    async def redo(
        self,
        batch_id: str,
        *,
        user_id: str | None = None,
        **options: Any,  # noqa: ANN401 - of the batch itself, as in `batch`
    ) -> BatchHandle:
        """Start what failed or was cancelled in a batch that has ended, as a new batch.

        New generations with reservations of their own. Without a key in `options`, a second redo of
        the same batch is the first one; its own failures are redone from it.

        Raises:
            UnknownBatch: none, several, or another owner's.
            RequestRefused: the batch goes on, or nothing of it is to be done again.
        """
        return await self.batches.redo(batch_id, user_id=user_id, **options)

    # Before spending

    async def estimate(self, request: GenerationRequest) -> Estimate:
        """The quote, and whether it would be granted now, by the code that reserves. Holds nothing.

        Raises:
            RequestRefused: the model doesn't take the request, or the user is on no plan.
        """
        name = provider_name(self.place.provider_url)
        priced = await price(self.catalogue, self.inputs, request, name)
        return await self._judged(request, priced.quote)

    async def estimate_for(
        self,
        operation: Operation,
        **fields: Any,  # noqa: ANN401 - the fields of the request
    ) -> Estimate:
        """`estimate` of what `request` takes: files are measured, not stored.

        Raises:
            RequestRefused: the model doesn't take the request, or the user is on no plan.
        """
        return await self._judged(*await self.asking.measured(operation, fields))

    async def prompt_for(
        self,
        operation: Operation,
        **fields: Any,  # noqa: ANN401 - the fields of the request
    ) -> Prompt:
        """The prompt that a worker would make of what `request` takes, without spending.

        Nothing is uploaded, stored or started; pictures and sound are not looked at. A scene's is
        written anew at each call by the LLM of the environment or the stack, which is asked once;
        by rule where that gives none, and `warnings` say why. The caller's own words come back
        trimmed. `prompt` and `prompt_by` are None where a talking avatar needs none.

        Raises:
            RequestRefused: the model doesn't take the request, or a stored scene or story is none.
            pydantic.ValidationError: a setting of the LLM can't be used; its name is told.
        """
        return await prompt_of(await self.asking.wish(operation, fields), self.place)

    async def _judged(self, request: GenerationRequest, quoted: Quote) -> Estimate:
        """Whether the quote would be granted now: by the caller's own limit, the plan, the caps."""
        async with self._pool.acquire() as connection:
            judged = await estimate_of(connection, request.user_id, quoted, self.place.ledger)
        try:
            check_max_cost(request, quoted)
        except RequestRefused as error:
            return judged.model_copy(update={"allowed": False, "refusal": error.failure})
        return judged

    async def upload(
        self, source: str | Path | bytes, *, user_id: str, role: Role = "image"
    ) -> str:
        """Check and store a file for `user_id`, as what it will be used; returns its media id."""
        return await upload(self.inputs, user_id, source, role)

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
        tag: str | None = None,
        limit: int = 100,
    ) -> list[Asset]:
        """Finished videos, newest first.

        `words` are searched in title, description and prompt; `tag` is one whole tag: `scene_3`.
        """
        return await self.library.find(
            user_id=user_id, source=source, operation=operation, words=words, tag=tag, limit=limit
        )

    async def asset(self, asset_id: str, *, user_id: str | None = None) -> Asset:
        """One asset, by id or unique beginning."""
        return await self.library.read(asset_id, user_id=user_id)

    async def delete_asset(self, asset_id: str, *, user_id: str) -> None:
        """Delete an asset and its files; the ledger keeps what it cost."""
        await self.library.delete(asset_id, user_id=user_id)

    async def asset_key(self, generation_id: str, *, user_id: str | None = None) -> str | None:
        """The store's key of a generation's video; None where this owner has none."""
        return await self.library.key_of(generation_id, user_id=user_id)

    async def events(self, generation_id: str, *, user_id: str | None = None) -> list[Event]:
        """What happened to a generation, in order."""
        await self.reader.read(generation_id, user_id)
        return await self.reader.events(generation_id)

    async def plans(self) -> list[dict[str, Any]]:
        """Every plan, the smallest first: `plan`, `title` and its limits, None = unlimited."""
        return [dict(row) for row in await self._pool.fetch(LEDGER["plans"])]

    async def usage(self, user_id: str) -> UsageReport:
        """Limit, reserved, settled and remaining of the user's present period.

        `shares` says it by model and source; `stopped_by` is the limit that refuses the next video.
        """
        async with self._pool.acquire() as connection:
            return await report_of(connection, user_id, self.place.ledger, self.catalogue)

    async def usage_by_day(self, user_id: str, *, days: int = DAYS) -> list[DaySpend]:
        """What the last days' videos cost a user, by day, model and product; the oldest first."""
        return await spent_by_day(self._pool, user_id, days=days)
