"""From a completed prediction to a verified video in the store."""

from pathlib import Path

from activities.media.decoder_processes import start_process
from activities.media.decoding import StartDecoder, inspect_with_poster
from activities.media.errors import (
    DecodingFailed,
    FetchError,
    FetchExpired,
    MediaError,
    MediaInvalid,
)
from activities.media.fetching import fetch, output_policy
from activities.media.keys import output_key, poster_key
from activities.media.settings import MediaSettings
from activities.media.store import MediaStore
from activities.provider.models import Prediction
from activities.provider.wavespeed import WaveSpeed
from activities.tracing.spans import call_span
from workflows.contracts.ids import generation_digest
from workflows.contracts.media import ImageFacts, VideoFacts
from workflows.contracts.quoting import Quote
from workflows.contracts.results import StoredVideo
from workflows.contracts.terms import Terms

OUTPUTS_MAX = 4
"""More outputs of one prediction than this are left at the provider."""

DURATION_TOLERANCE_S = 0.5
"""A larger difference from what was asked is a warning (design §4.6)."""

SIZE_TOLERANCE_PX = 16
"""Encoders round to their block size, which is no difference that a person sees."""


class Downloads:
    """Copies outputs into the store, and trusts none of them before it was decoded to its end."""

    def __init__(
        self,
        client: WaveSpeed,
        store: MediaStore,
        settings: MediaSettings,
        *,
        start_decoder: StartDecoder = start_process,
    ) -> None:
        self._client = client
        self._store = store
        self._settings = settings
        self._start_decoder = start_decoder

    async def download(self, terms: Terms, prediction_id: str) -> StoredVideo:
        """Store the first playable output, further ones beside it, and a poster.

        Idempotent: keys hold the content's hash. An expired URL is read again from the prediction
        once.

        Raises:
            MediaInvalid: no output is a playable video.
            FetchError, StoreError, DecodingFailed, ProviderError: as their docstrings say.
        """
        prediction = await self._client.prediction(prediction_id)
        with self._store.scratch() as folder:
            try:
                return await self._store_outputs(terms, prediction, folder)
            except FetchExpired:
                prediction = await self._client.prediction(prediction_id)
                return await self._store_outputs(terms, prediction, folder)

    async def _store_outputs(
        self, terms: Terms, prediction: Prediction, folder: Path
    ) -> StoredVideo:
        if not prediction.outputs:
            raise MediaInvalid("The prediction", "is completed without an output", "a video")
        kept: list[tuple[str, VideoFacts]] = []
        poster: str | None = None
        refused: MediaError | None = None
        lost = 0
        for number, url in enumerate(prediction.outputs[:OUTPUTS_MAX]):
            path = folder / f"output-{number}.mp4"
            try:
                key, facts, poster_facts = await self._store_one(terms, url, path)
            except (MediaInvalid, DecodingFailed) as error:
                refused = refused or error
                continue
            except FetchError:
                if not kept:
                    raise
                # The asset is there; what can't be had beside it is no reason to wait.
                lost += 1
                continue
            finally:
                # Stored or refused, it needs its room here no longer: it may have 2 GiB.
                path.unlink(missing_ok=True)
            if poster is None and poster_facts is not None:
                poster = await self._store_poster(terms, _poster_path(path), poster_facts)
            kept.append((key, facts))
        if not kept:
            assert refused is not None, "every output was kept or refused"
            raise refused
        (key, facts), *extra = kept
        return StoredVideo(
            key=key,
            facts=facts,
            poster_key=poster,
            extra_keys=tuple(extra_key for extra_key, _ in extra),
            nsfw=prediction.has_nsfw,
            warnings=differences(terms.quote, facts, nsfw=prediction.has_nsfw)
            + (f"Further outputs that could not be fetched: {lost}.",) * bool(lost),
        )

    async def _store_one(
        self, terms: Terms, url: str, path: Path
    ) -> tuple[str, VideoFacts, ImageFacts | None]:
        """Its key, its facts, and those of its poster where one could be made."""
        policy = output_policy(
            self._settings.download_hosts,
            self._client.base_url,
            size_bytes_max=self._settings.output_size_bytes_max,
        )
        with call_span("GET /{output}", http_request_method="GET", url_template="/{output}"):
            await fetch(url, path, policy=policy)
        with call_span("decode"):
            facts, poster = await inspect_with_poster(
                path, _poster_path(path), self._settings, start=self._start_decoder
            )
        digest = generation_digest(terms.generation_id)
        key = output_key(terms.user_hash, digest, facts.sha256, ".mp4")
        with call_span("store", size_bytes=facts.size_bytes):
            await self._store.put_file(path, key, mime_type=facts.mime_type)
        return key, facts, poster

    async def _store_poster(self, terms: Terms, path: Path, facts: ImageFacts) -> str:
        digest = generation_digest(terms.generation_id)
        key = poster_key(terms.user_hash, digest, facts.sha256, ".jpg")
        await self._store.put_file(path, key, mime_type=facts.mime_type)
        return key


def _poster_path(video: Path) -> Path:
    return video.with_suffix(".jpg")


def differences(quote: Quote, facts: VideoFacts, *, nsfw: bool = False) -> tuple[str, ...]:
    """What differs from the terms, a sentence each. A paid video is kept all the same."""
    told: list[str] = []
    if abs(facts.duration_s - quote.duration_s) > DURATION_TOLERANCE_S:
        told.append(f"It lasts {facts.duration_s:.2f} s instead of {quote.duration_s:g} s.")
    off_px = max(abs(facts.width - quote.width), abs(facts.height - quote.height))
    if off_px > SIZE_TOLERANCE_PX:
        told.append(
            f"It is {facts.width}x{facts.height} instead of {quote.width}x{quote.height} pixels."
        )
    if nsfw:
        told.append("The provider marked it as not safe for work.")
    return tuple(told)
