"""What the provider answers, in our words: aware times, integer micro-USD, plain URL strings.

The provider's replies vary (its documentation has several copies of most pages), so optional things
are read leniently: what is absent or odd becomes None or empty. Identity, status and money are read
strictly: a reply that is unclear about these raises `ValueError`, which the client turns into
`MalformedReply`.
"""

import json
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from activities.provider.amounts import billed_usd_micros

_PREDICTION_ID = re.compile(r"[A-Za-z0-9_-]{4,128}")
_TIME = TypeAdapter(datetime)
_URL_KEYS = ("url", "video_url", "video", "download_url", "output")


class Status(StrEnum):
    """Where a prediction is. Everything but `RUNNING` is final."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timeout"
    DELETED = "deleted"


_FINAL = {status.value: status for status in Status if status is not Status.RUNNING} | {
    "canceled": Status.CANCELLED
}


class Envelope(BaseModel):
    """The frame around every reply: `{"code": 200, "message": "success", "data": …}`."""

    model_config = ConfigDict(frozen=True)

    code: int | None
    """200 is success, whatever the HTTP status; None where the reply has no code."""
    detail_code: int | None
    """The most specific code: `error_code`, else the task's `data.code`, else `code`."""
    message: str = Field(repr=False)
    data: JsonValue = Field(repr=False)

    @classmethod
    def from_wire(cls, body: bytes) -> Self:
        """Read a reply's body.

        Raises:
            ValueError: the body is not a JSON object.
        """
        wire = _object(_json(body))
        data = wire.get("data")
        code = _whole(wire.get("code"))
        task_code = _whole(data.get("code")) if isinstance(data, dict) else None
        return cls(
            code=code,
            detail_code=_whole(wire.get("error_code")) or task_code or code,
            message=_text(wire.get("message")),
            data=data,
        )

    @property
    def prediction_id(self) -> str | None:
        """The id of the prediction that the reply names, if it names one."""
        named = self.data.get("id") if isinstance(self.data, dict) else None
        return named if isinstance(named, str) and is_prediction_id(named) else None


class Prediction(BaseModel):
    """A prediction as the provider showed it once."""

    model_config = ConfigDict(frozen=True)

    id: str
    model: str = ""
    status: Status
    """A status that we don't know counts as running."""
    raw_status: str
    """The provider's own word."""
    outputs: tuple[str, ...] = Field(default=(), repr=False)
    """URLs, signed and short-lived: never log or keep them."""
    has_nsfw: bool = False
    """True when any output is flagged."""
    error: str = Field(default="", repr=False)
    """The provider's own words."""
    error_code: int | None = None
    """The task code, for example 1200 (moderation) or 1402 (media not reachable)."""
    created_at: datetime | None = None
    input: dict[str, JsonValue] | None = Field(default=None, repr=False)
    """What it was asked; None where the row doesn't carry it, and never empty."""
    execution_ms: int | None = None
    """Wall time by the provider; known at the end only."""
    inference_ms: int | None = None

    @property
    def is_final(self) -> bool:
        """Nothing will change any more."""
        return self.status is not Status.RUNNING

    @classmethod
    def from_wire(cls, data: JsonValue) -> Self:
        """Read one prediction: a reply's data, a listing's row or a webhook's body.

        Raises:
            ValueError: it is not an object, or has no usable id or status.
        """
        wire = _object(data)
        timings = wire.get("timings")
        raw_status = _text(wire.get("status"))
        if not raw_status:
            raise ValueError("the prediction has no status")
        given = wire.get("input")
        return cls(
            id=_identity(wire.get("id")),
            model=_text(wire.get("model")),
            status=_FINAL.get(raw_status.lower(), Status.RUNNING),
            raw_status=raw_status,
            outputs=_outputs(wire.get("outputs")),
            has_nsfw=_any_true(wire.get("has_nsfw_contents")),
            error=_text(wire.get("error")),
            error_code=_whole(wire.get("code")) or None,
            created_at=_time(wire.get("created_at")),
            input=given if isinstance(given, dict) and given else None,
            execution_ms=_whole(wire.get("executionTime")),
            inference_ms=_whole(timings.get("inference")) if isinstance(timings, dict) else None,
        )


class PredictionPage(BaseModel):
    """One page of a listing, newest first."""

    model_config = ConfigDict(frozen=True)

    items: tuple[Prediction, ...]
    total: int | None = None
    """Rows on all pages, where the provider says so."""

    @classmethod
    def from_wire(cls, data: JsonValue) -> Self:
        """Read a page; raises `ValueError` when any of its rows can't be read."""
        wire = _object(data)
        items = tuple(Prediction.from_wire(row) for row in _rows(wire))
        return cls(items=items, total=_whole(wire.get("total")))


class PredictionListing(BaseModel):
    """Every prediction of a span of time, as far as the provider shows them."""

    model_config = ConfigDict(frozen=True)

    items: tuple[Prediction, ...]
    """Each prediction once, in the provider's order."""
    complete: bool
    """The last page was reached and nothing is missing by the provider's own count."""

    @property
    def rows_carry_input(self) -> bool:
        """Every row shows its input, so that ours would be recognised. True without rows."""
        return all(row.input is not None for row in self.items)


class Billing(BaseModel):
    """One row of the provider's bill."""

    model_config = ConfigDict(frozen=True)

    id: str
    prediction_id: str
    amount_usd_micros: int
    """What the row moves: positive for a charge, negative for a refund."""
    is_refund: bool
    state: str = ""
    """The order's state in the provider's words; `pre` is not final yet, `done` is."""
    created_at: datetime | None = None

    @classmethod
    def from_wire(cls, data: JsonValue) -> Self | None:
        """Read one row; None for a row that belongs to no prediction (a top-up, a gift).

        A refund is a row whose type says so or whose price is negative.

        Raises:
            ValueError: the row has no readable amount.
        """
        wire = _object(data)
        prediction, order = wire.get("prediction"), wire.get("order")
        if not isinstance(prediction, dict) or not prediction.get("uuid"):
            return None
        amount = billed_usd_micros(wire.get("price"))
        is_refund = amount < 0 or "refund" in _text(wire.get("billing_type")).lower()
        return cls(
            id=_text(wire.get("uuid")),
            prediction_id=_identity(prediction.get("uuid")),
            amount_usd_micros=-abs(amount) if is_refund else amount,
            is_refund=is_refund,
            state=_text(order.get("state")) if isinstance(order, dict) else "",
            created_at=_time(wire.get("created_at")),
        )


class BillingPage(BaseModel):
    """One page of the bill; `row_count` also counts the rows that belong to no prediction."""

    model_config = ConfigDict(frozen=True)

    items: tuple[Billing, ...]
    row_count: int
    total: int | None = None

    @classmethod
    def from_wire(cls, data: JsonValue) -> Self:
        """Read a page; raises `ValueError` when any of its rows can't be read."""
        wire = _object(data)
        rows = _rows(wire)
        read = (Billing.from_wire(row) for row in rows)
        return cls(
            items=tuple(billing for billing in read if billing is not None),
            row_count=len(rows),
            total=_whole(wire.get("total")),
        )


class UploadTicket(BaseModel):
    """Where to put a file's bytes, and where the provider will find them. All of it is signed."""

    model_config = ConfigDict(frozen=True)

    download_url: str = Field(repr=False)
    put_url: str = Field(repr=False)
    headers: dict[str, str] = Field(repr=False)

    @classmethod
    def from_wire(cls, data: JsonValue) -> Self:
        """Read the answer to `POST /media/uploads`; `ValueError` when it is no usable PUT."""
        wire = _object(data)
        upload = _object(wire.get("upload"))
        given = upload.get("headers") or {}
        if _text(upload.get("method")).upper() != "PUT" or not isinstance(given, dict):
            raise ValueError("the upload instruction is not a PUT")
        headers = {name: value for name, value in given.items() if isinstance(value, str)}
        if len(headers) != len(given):
            raise ValueError("an upload header is not text")
        return cls(
            download_url=download_url(data), put_url=_url(upload.get("url")), headers=headers
        )


def is_prediction_id(value: str) -> bool:
    """Whether the value may stand in a path: 4 to 128 letters, digits, `_` or `-`."""
    return _PREDICTION_ID.fullmatch(value) is not None


def download_url(data: JsonValue) -> str:
    """The address of an uploaded file; raises `ValueError` without a usable one."""
    return _url(_object(data).get("download_url"))


def _json(body: bytes) -> JsonValue:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(body, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def _object(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 -- the reply is wrong, not our types
    return value


def _rows(wire: dict[str, JsonValue]) -> list[JsonValue]:
    rows = wire.get("items")
    if rows is None and wire.get("total") == 0:
        return []
    if not isinstance(rows, list):
        raise ValueError("the listing has no rows")  # noqa: TRY004 -- as above
    return rows


def _identity(value: JsonValue) -> str:
    if not isinstance(value, str) or not is_prediction_id(value):
        raise ValueError("not a prediction id")
    return value


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: JsonValue) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,12}", value, re.ASCII):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(value: JsonValue) -> datetime | None:
    """An ISO 8601 time as aware UTC; the provider's nanoseconds are cut to microseconds."""
    if not isinstance(value, str):
        return None
    try:
        at = _TIME.validate_python(value)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValidationError, OverflowError):
        # The calendar's first and last day are another year's in UTC.
        return None


def _any_true(value: JsonValue) -> bool:
    return any(item is True for item in value) if isinstance(value, list) else value is True


def _outputs(value: JsonValue) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(url for item in items if (url := _output_url(item)))


def _output_url(item: JsonValue) -> str | None:
    if isinstance(item, dict):
        return next((url for key in _URL_KEYS if (url := _output_url(item.get(key)))), None)
    return item if isinstance(item, str) and _is_url(item) else None


def _is_url(value: str) -> bool:
    return re.fullmatch(r"https?://[^\s\x00-\x1f]+", value, re.IGNORECASE) is not None


def _url(value: JsonValue) -> str:
    if not isinstance(value, str) or not _is_url(value):
        raise ValueError("not a URL")
    return value
