"""Sending a generation's inputs to the provider, under URLs that no other generation has."""

import secrets

import structlog
from pydantic import JsonValue

from activities.database.pool import Pool
from activities.generations.repository import Work, work_of
from activities.media.nonces import with_nonce
from activities.media.store import MediaStore
from activities.provider.errors import NotFound
from activities.provider.submissions import StagedUrlTaken, Submissions
from activities.provider.wavespeed import WaveSpeed
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.ids import generation_digest
from workflows.contracts.media import PROVIDER_ROLES
from workflows.contracts.texts import dollars

_SUFFIXES = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/ogg": "ogg",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
}
_TRIES = 3

log = structlog.get_logger()


class Staging:
    """Uploads from the media store to the provider."""

    def __init__(
        self,
        pool: Pool,
        store: MediaStore,
        client: WaveSpeed,
        submissions: Submissions,
        *,
        price_check: bool = False,
    ) -> None:
        self._pool = pool
        self._store = store
        self._client = client
        self._submissions = submissions
        self._price_check = price_check
        self._unpriced = set[str]()

    async def stage(self, generation_id: str) -> int:
        """Upload pictures and sound and write the submission down; returns how many there are.

        The image's URL is the mark by which a lost prediction is found, so it must be this
        generation's alone: where the provider gives it twice, the image goes again with a nonce
        inside. Idempotent.

        Raises:
            StagedUrlTaken: the provider gave a URL of another generation three times.
            RequestRefused: `price_above_quote`, where the price is checked.
        """
        async with self._pool.acquire() as connection:
            work = await work_of(connection, generation_id)
        # The story's documents made the prompt; the provider gets pictures and sound.
        roles = [role for role in PROVIDER_ROLES if role in work.inputs]
        if await self._submissions.read(generation_id) is not None:
            return len(roles)
        urls = {role: await self._upload(work, role) for role in roles if role != "image"}
        for attempt in range(_TRIES):
            urls["image"] = await self._upload(work, "image", apart=attempt > 0)
            body = {**work.body, **urls}
            if work.prompt is not None:
                body["prompt"] = work.prompt
            if self._price_check:
                await self._check_price(work, body)
            try:
                await self._submissions.prepare(
                    generation_id, work.terms.provider_path, urls["image"], body
                )
            except StagedUrlTaken:
                if attempt == _TRIES - 1:
                    raise
            else:
                break
        return len(urls)

    async def _check_price(self, work: Work, body: dict[str, JsonValue]) -> None:
        """Refuse what would cost more than was reserved.

        The provider measures the sound itself, so it is asked with the uploaded inputs.

        Raises:
            RequestRefused: `price_above_quote`.
            ProviderError: it could not be asked; nothing is sent unchecked.
        """
        path, quoted = work.terms.provider_path, work.terms.quote.cost_usd_micros
        try:
            price = await self._client.price(path, body)
        except NotFound:
            if path not in self._unpriced:
                self._unpriced.add(path)
                log.warning("the provider tells no price: it is not checked", model=path)
            return
        if price > quoted:
            raise RequestRefused(
                FailureKind.PRICE_ABOVE_QUOTE,
                f"price: the provider asks {dollars(price)} now;"
                f" allowed: the {dollars(quoted)} that was quoted.",
            )

    async def _upload(self, work: Work, role: str, *, apart: bool = False) -> str:
        row = await self._pool.fetchrow(
            "SELECT key, facts FROM media WHERE media_id = $1 AND user_id = $2",
            work.inputs[role],
            work.user_id,
        )
        assert row is not None, "an input of a reserved generation stays in the store"
        mime_type = row["facts"]["mime_type"]
        nonce = secrets.token_hex(8)
        digest = generation_digest(work.terms.generation_id)
        name = f"{digest}-{nonce}-{role}.{_SUFFIXES[mime_type]}"
        with self._store.scratch() as folder:
            path = folder / name
            await self._store.fetch_to(row["key"], path)
            if apart:
                path.write_bytes(with_nonce(path.read_bytes(), mime_type, nonce))
            return await self._client.upload(path, filename=name, content_type=mime_type)
