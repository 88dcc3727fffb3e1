"""Many wishes in one body: what is wrong with one is told by its position."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activities.batches.repository import ItemRefused
from starter.api.callers import Caller
from starter.api.wishes import require_taken, source_of, wish_in
from starter.refusing import refusal_of
from workflows.contracts.batch_results import ITEMS_MAX, PARALLEL_DEFAULT, PARALLEL_MAX
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.requests import Source
from workflows.contracts.texts import Int64, Name, UsdMicros


class BatchWish(BaseModel):
    """Up to 500 generations that are started as one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    items: Annotated[list[Any], Field(min_length=1, max_length=ITEMS_MAX)]
    """Each is what `POST /v1/generations` takes as JSON, without a source of its own."""
    source: Source | None = None
    """The product that asks; the key's first one unless given."""
    idempotency_key: Name | None = None
    """As the header `Idempotency-Key`, of the whole."""
    max_cost_usd_micros: UsdMicros | None = None
    """Refuse, with nothing reserved, when the sum of the quotes is higher."""
    max_parallel: Annotated[Int64, Field(ge=1, le=PARALLEL_MAX)] = PARALLEL_DEFAULT
    """How many go on at a time."""


def batch_in(document: Mapping[str, Any]) -> BatchWish:
    """The batch that a document is; its items are not looked at.

    Raises:
        RequestRefused: a field that isn't taken, or can't be.
    """
    given = {name: value for name, value in document.items() if value is not None}
    require_taken(document, BatchWish.model_fields)
    try:
        return BatchWish.model_validate(given)
    except ValidationError as error:
        raise refusal_of(error) from error


def items_of(batch: BatchWish, caller: Caller) -> list[dict[str, Any]]:
    """The items as the client takes them, all of the batch's source.

    Raises:
        ItemRefused: one can't be done as written, by its position from 1.
        Problem: 403: the batch's source is another product's.
    """
    source = source_of(caller, batch.source)
    return [_item(position, given, caller, source) for position, given in enumerate(batch.items, 1)]


def _item(position: int, given: object, caller: Caller, source: Source) -> dict[str, Any]:
    try:
        wish = wish_in(_document(given, source), caller)
    except RequestRefused as refused:
        raise ItemRefused(position, refused) from refused
    fields = {name: value for name, value in wish.fields.items() if name != "user_id"}
    return {"operation": wish.operation.value, **fields}


def _document(given: object, source: Source) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise RequestRefused(FailureKind.INVALID_REQUEST, "no object; allowed: a JSON object.")
    document = {str(name): value for name, value in given.items()}
    if document.get("source") not in (None, source):
        # Whoever may see the batch sees its items.
        told = f"source: it is the batch's; allowed: {source.value}."
        raise RequestRefused(FailureKind.INVALID_REQUEST, told)
    return {**document, "source": source.value}
