"""A client of WaveSpeed's API v3: one method, one call, no retries of its own.

It knows nothing of Temporal or PostgreSQL and works from a script. Whoever repeats calls decides so
outside. The one call that costs money, `submit`, always ends in one of three ways: a prediction id,
an error that proves that nothing was created, or `SubmissionAmbiguous`.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

import httpx
from pydantic import JsonValue, SecretStr

from activities.provider import errors
from activities.provider.amounts import quoted_usd_micros, usd_micros
from activities.provider.models import (
    Billing,
    BillingPage,
    Prediction,
    PredictionListing,
    PredictionPage,
    UploadTicket,
    download_url,
    is_prediction_id,
)
from activities.provider.settings import ProviderSettings
from activities.provider.wire import Call, Reply, Route, Wire, untold

PAGE_SIZE_MAX = 100
"""The provider's own limit for listings and bills."""

PAGES_MAX = 50
"""A longer listing is reported as incomplete, not followed for ever."""

_CHUNK_BYTES = 256 * 1024
_SUBMIT = Route("submit", "/{model}")
_PREDICTION = Route("prediction", "/predictions/{id}/result")
_PREDICTIONS = Route("predictions", "/predictions")
_DELETE = Route("delete", "/predictions/{id}")
_PRICE = Route("price", "/model/price")
_BALANCE = Route("balance", "/balance")
_BILLINGS = Route("billings", "/billings/search")
_SECRET = Route("webhook_secret", "/webhook/secret")
_TICKET = Route("upload_ticket", "/media/uploads")
_MODEL_PATH = re.compile(r"[a-z0-9._-]+(/[a-z0-9._-]+)+")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_HEADERS_NOT_THEIRS = {"authorization", "host", "content-length", "transfer-encoding", "connection"}
_UNCLEAR = (errors.Unavailable, errors.MalformedReply)

_Read = TypeVar("_Read")


class WaveSpeed:
    """The provider's account behind one key: `async with WaveSpeed(settings) as provider`.

    Every method raises leaves of `ProviderError`; `InputRefused` also before sending, for an id, a
    path or a file name that may not go into a request.
    """

    def __init__(
        self, settings: ProviderSettings, *, tell: Callable[[Call], None] = untold
    ) -> None:
        """`tell` hears of every request; raises `KeyRefused` when the settings hold no key."""
        if settings.api_key is None:
            raise errors.KeyRefused("There is no provider key: set WAVESPEED_API_KEY.")
        key = settings.api_key.get_secret_value()
        self._settings = settings
        self._key_digest = hashlib.sha256(key.encode()).hexdigest()
        self._wire = Wire(settings, key, tell=tell)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._wire.aclose()

    @property
    def base_url(self) -> str:
        """Where the provider is; holds no secret."""
        return self._settings.base_url

    @property
    def key_fingerprint(self) -> str:
        """12 hex digits that tell two keys apart and give none away."""
        return self._key_digest[:12]

    async def submit(
        self,
        model_path: str,
        inputs: Mapping[str, JsonValue],
        *,
        webhook_url: str | None = None,
        before_send: Callable[[], None] | None = None,
    ) -> str:
        """Start one paid prediction by exactly one POST; returns its id.

        `before_send` runs when the connection stands and nothing of the request has been written;
        what it raises aborts the POST and comes back as the cause of `NotSent`. Inputs that are
        None are not sent.

        Raises:
            SubmissionAmbiguous: a prediction may exist. A cancelled call is just as ambiguous.
            ProviderError: any other leaf proves that none was created.
        """
        if _MODEL_PATH.fullmatch(model_path) is None or ".." in model_path:
            raise errors.InputRefused("The model's path is not of the form vendor/model.")
        request = self._wire.request(
            "POST",
            model_path,
            route=_SUBMIT,
            body=inputs,
            query=None if webhook_url is None else {"webhook": webhook_url},
            reply_within_s=self._settings.submit_timeout_s,
        )
        reply = await self._wire.send_once(request, self._settings.submit_timeout_s, before_send)
        return self._accepted_id(reply)

    def _accepted_id(self, reply: Reply) -> str:
        envelope = reply.envelope()
        named = envelope.prediction_id if envelope else None
        try:
            self._wire.succeeded(reply)
        except errors.ProviderError as error:
            # A refusal that names a prediction contradicts itself, so it refuses nothing.
            if named is None and not isinstance(error, _UNCLEAR):
                raise
            raise _ambiguous(error) from None
        if named is None:
            raise _ambiguous(self._wire.error(errors.MalformedReply, reply))
        return named

    async def prediction(self, prediction_id: str) -> Prediction:
        """The prediction as it is now; raises `NotFound` when the provider has none of this id."""
        path = f"predictions/{_checked_id(prediction_id)}/result"
        found = _read(Prediction.from_wire, await self._wire.call("GET", path, _PREDICTION))
        if found.id != prediction_id:
            raise errors.MalformedReply("The provider answered with another prediction.")
        return found

    async def predictions(
        self,
        *,
        created_after: datetime,
        created_before: datetime,
        page: int = 1,
        page_size: int = PAGE_SIZE_MAX,
        model: str | None = None,
    ) -> PredictionPage:
        """One page of the account's predictions of a span of time, newest first.

        The provider knows the last 7 days only. Times are aware; the span is widened to whole
        seconds.
        """
        body: dict[str, JsonValue] = {
            "page": page,
            "page_size": page_size,
            "model": model,
            "created_after": _whole_second(created_after),
            "created_before": _whole_second(created_before + timedelta(microseconds=999_999)),
        }
        listed = await self._wire.call("POST", "predictions", _PREDICTIONS, body)
        return _read(PredictionPage.from_wire, listed)

    async def all_predictions(
        self,
        *,
        created_after: datetime,
        created_before: datetime,
        model: str | None = None,
        pages_max: int = PAGES_MAX,
    ) -> PredictionListing:
        """Every prediction of a span of time, and whether these are really all.

        A short page proves nothing, for a server may hand out fewer rows than asked: the end is the
        provider's own total, else an empty page. A page that only repeats earlier rows is no end.
        """
        seen: dict[str, Prediction] = {}
        for number in range(1, pages_max + 1):
            page = await self.predictions(
                created_after=created_after, created_before=created_before, page=number, model=model
            )
            known = len(seen)
            seen.update((row.id, row) for row in page.items)
            at_end = not page.items if page.total is None else len(seen) >= page.total
            if at_end or len(seen) == known:
                return PredictionListing(items=tuple(seen.values()), complete=at_end)
        return PredictionListing(items=tuple(seen.values()), complete=False)

    async def delete(self, prediction_id: str) -> None:
        """Delete a prediction, the nearest thing to a cancel; it may run on and be billed."""
        await self._wire.call("DELETE", f"predictions/{_checked_id(prediction_id)}", _DELETE)

    async def price(self, model_id: str, inputs: Mapping[str, JsonValue]) -> int:
        """What a run would cost, in micro-USD.

        Inputs that drive the price must be there, audio as an uploaded URL: without them the
        provider quotes its floor.
        """
        given: dict[str, JsonValue] = {
            name: value for name, value in inputs.items() if value is not None
        }
        body: dict[str, JsonValue] = {"model_id": model_id, "inputs": given}
        return _read(quoted_usd_micros, await self._wire.call("POST", "model/price", _PRICE, body))

    async def balance(self) -> int:
        """What is left on the account, in micro-USD; can be negative."""
        return _read(_balance_usd_micros, await self._wire.call("GET", "balance", _BALANCE))

    async def billings(
        self, prediction_ids: Sequence[str], *, start: datetime, end: datetime
    ) -> list[Billing]:
        """The bill's rows for these predictions, oldest first; a refund takes up to 3 hours."""
        ids = list(dict.fromkeys(_checked_id(prediction_id) for prediction_id in prediction_ids))
        found: list[Billing] = []
        for first in range(0, len(ids), PAGE_SIZE_MAX):
            chosen = ids[first : first + PAGE_SIZE_MAX]
            query: dict[str, JsonValue] = {
                "prediction_uuids": list[JsonValue](chosen),
                "start_time": _milliseconds(start),
                "end_time": _milliseconds(end),
                "sort": "created_at ASC",
            }
            found += [row for row in await self._bill(query) if row.prediction_id in chosen]
        return found

    async def _bill(self, query: dict[str, JsonValue]) -> list[Billing]:
        found: list[Billing] = []
        row_count = 0
        for number in range(1, PAGES_MAX + 1):
            body = query | {"page": number, "page_size": PAGE_SIZE_MAX}
            answer = await self._wire.call("POST", "billings/search", _BILLINGS, body)
            page = _read(BillingPage.from_wire, answer)
            found += page.items
            row_count += page.row_count
            if not page.row_count or (page.total is not None and row_count >= page.total):
                return found
        raise errors.MalformedReply("The provider's bill has no end.")

    async def webhook_secret(self) -> SecretStr:
        """The secret that signs this key's webhooks, `whsec_…`."""
        return _read(_webhook_secret, await self._wire.call("GET", "webhook/secret", _SECRET))

    async def upload(self, path: Path, *, filename: str, content_type: str) -> str:
        """Bring a file to the provider, streamed from disk; returns the URL to use as an input.

        Free and repeatable; the provider keeps the file for 7 days. `filename` is the caller's
        choice: letters, digits, `.`, `_` and `-`. Raises `OSError` when the file can't be read.
        """
        if _FILE_NAME.fullmatch(filename) is None:
            raise errors.InputRefused("The upload's file name holds characters that it may not.")
        with await asyncio.to_thread(path.open, "rb") as file:
            try:
                return await self._upload_in_two_steps(file, filename, content_type)
            except errors.NotFound:
                # An older deployment, without the two-step route.
                return await self._upload_in_one_step(file, filename, content_type)

    async def _upload_in_two_steps(self, file: BinaryIO, filename: str, content_type: str) -> str:
        size_bytes = os.fstat(file.fileno()).st_size
        body: dict[str, JsonValue] = {
            "filename": filename,
            "size": size_bytes,
            "content_type": content_type,
        }
        data = await self._wire.call("POST", "media/uploads", _TICKET, body)
        ticket = _read(UploadTicket.from_wire, data)
        headers = {
            name: value
            for name, value in ticket.headers.items()
            if name.lower() not in _HEADERS_NOT_THEIRS
        }
        headers["Content-Length"] = str(size_bytes)
        put = self._wire.transfer("PUT", ticket.put_url, headers, _chunks(file))
        stored = await self._wire.send(put)
        if not httpx.codes.is_success(stored.status):
            raise self._storage_failure(stored)
        return ticket.download_url

    def _storage_failure(self, reply: Reply) -> errors.ProviderError:
        """The storage host is not the API: its 403 is an expired ticket, not our account."""
        leaf = errors.leaf_of(reply.status, None)
        if leaf not in {errors.TooLarge, errors.Overloaded}:
            leaf = errors.Unavailable
        return self._wire.error(leaf, reply)

    async def _upload_in_one_step(self, file: BinaryIO, filename: str, content_type: str) -> str:
        post = self._wire.form("media/upload/binary", "file", (filename, file, content_type))
        return _read(download_url, self._wire.succeeded(await self._wire.send(post)))


def _read(reader: Callable[[JsonValue], _Read], data: JsonValue) -> _Read:
    """The data in our words; its own words stay out of the error, they may hold signed URLs."""
    try:
        return reader(data)
    except ValueError:
        raise errors.MalformedReply from None


def _ambiguous(error: errors.ProviderError) -> errors.SubmissionAmbiguous:
    return errors.SubmissionAmbiguous(
        http_status=error.http_status,
        code=error.code,
        retry_after_s=error.retry_after_s,
        provider_message=error.provider_message,
    )


def _checked_id(prediction_id: str) -> str:
    if not is_prediction_id(prediction_id):
        raise errors.InputRefused("The prediction id holds characters that it may not.")
    return prediction_id


def _balance_usd_micros(data: JsonValue) -> int:
    return usd_micros(data.get("balance") if isinstance(data, dict) else None)


def _webhook_secret(data: JsonValue) -> SecretStr:
    secret = data.get("secret") if isinstance(data, dict) else None
    if not isinstance(secret, str) or not secret.startswith("whsec_"):
        raise ValueError("no webhook secret")
    return SecretStr(secret)


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return at.astimezone(UTC)


def _whole_second(at: datetime) -> str:
    return _utc(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(at: datetime) -> str:
    """Milliseconds since 1970 as text, as the billing page asks."""
    return str((_utc(at) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
        yield chunk
