"""The items of a batch as validated requests: all of them are checked before the first upload."""

from collections.abc import Mapping, Sequence
from typing import Any

from activities.batches.repository import ItemRefused
from activities.ledger.pricing import price
from activities.media.inputs import Inputs
from activities.provider.identity import provider_name
from starter.asking import Asking
from starter.sources import checked
from workflows.contracts.batch_results import ITEMS_MAX
from workflows.contracts.catalogue import Catalogue
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.media import PROVIDER_ROLES, MediaById, Role
from workflows.contracts.quoting import Quote
from workflows.contracts.requests import GenerationRequest, Operation, Source

Items = Sequence[Mapping[str, Any]]
"""Each: `operation` and the fields of its request, media in any form that the client takes."""

_DOCUMENTS: tuple[Role, ...] = ("scene", "story_context")


class BatchAsking:
    """Makes requests of items, and quotes of requests."""

    def __init__(
        self, asking: Asking, inputs: Inputs, catalogue: Catalogue, provider_url: str
    ) -> None:
        self._asking = asking
        self._inputs = inputs
        self._catalogue = catalogue
        self._provider = provider_name(provider_url)

    async def requests(
        self, items: Items, *, user_id: str, source: Source = Source.API
    ) -> list[GenerationRequest]:
        """The validated requests, their files uploaded, each file once; nothing is started.

        Raises:
            ItemRefused: the first item that can't be done as written. Wrong fields are told
                before any file is stored.
            RequestRefused: no items, or too many.
        """
        asked = await self._checked(items, user_id, source)
        stored: dict[tuple[Role, Any], MediaById] = {}
        made: list[GenerationRequest] = []
        for position, (operation, fields) in enumerate(asked, start=1):
            known = {
                role: stored[role, given]
                for role, given in _media_of(fields).items()
                if (role, given) in stored
            }
            try:
                request = await self._asking.request(operation, {**fields, **known})
            except RequestRefused as refused:
                raise ItemRefused(position, refused) from refused
            made.append(request)
            for role, reference in request.media.items():
                if isinstance(reference, MediaById):
                    stored[role, fields[role]] = reference
        return made

    async def measured(
        self, items: Items, *, user_id: str, source: Source = Source.API
    ) -> tuple[list[GenerationRequest], list[Quote]]:
        """Drafts of the requests and their quotes: files are measured, not stored.

        Raises:
            ItemRefused, RequestRefused: as `requests`.
        """
        drafts: list[GenerationRequest] = []
        quotes: list[Quote] = []
        asked = await self._checked(items, user_id, source)
        for position, (operation, fields) in enumerate(asked, start=1):
            try:
                draft, quote = await self._asking.measured(operation, fields)
            except RequestRefused as refused:
                raise ItemRefused(position, refused) from refused
            drafts.append(draft)
            quotes.append(quote)
        return drafts, quotes

    async def quotes(self, requests: Sequence[GenerationRequest]) -> list[Quote]:
        """The quote of each request, by the code that reserves.

        Raises:
            ItemRefused: an item's media don't fit its model.
        """
        quotes: list[Quote] = []
        for position, request in enumerate(requests, start=1):
            try:
                priced = await price(self._catalogue, self._inputs, request, self._provider)
            except RequestRefused as refused:
                raise ItemRefused(position, refused) from refused
            quotes.append(priced.quote)
        return quotes

    async def _checked(
        self, items: Items, user_id: str, source: Source
    ) -> list[tuple[Operation, dict[str, Any]]]:
        """Operation and fields of each item, with nothing wrong that shows without its files."""
        if not 0 < len(items) <= ITEMS_MAX:
            raise RequestRefused(
                FailureKind.INVALID_REQUEST, f"items: {len(items)}; allowed: 1 to {ITEMS_MAX}."
            )
        asked: list[tuple[Operation, dict[str, Any]]] = []
        positions: dict[str, int] = {}
        for position, item in enumerate(items, start=1):
            try:
                operation, given = _fields(item)
                fields = {"source": source, **given, "user_id": user_id}
                await self._asking.check(operation, fields)
                _check_once(fields.get("idempotency_key"), position, positions)
            except RequestRefused as refused:
                raise ItemRefused(position, refused) from refused
            asked.append((operation, fields))
        return asked


def _check_once(key: str | None, position: int, positions: dict[str, int]) -> None:
    """One key is one generation, so it can't be two items."""
    if key is not None and positions.setdefault(key, position) != position:
        told = f"idempotency_key: {key!r} stands in item {positions[key]} already."
        raise RequestRefused(FailureKind.INVALID_REQUEST, told)


def _fields(item: Any) -> tuple[Operation, dict[str, Any]]:  # noqa: ANN401 - not looked at yet
    """Operation and fields of one item, media as the client takes them."""
    if not isinstance(item, Mapping):
        told = f"{str(item)[:80]!r}; allowed: an object with the fields of its request."
        raise RequestRefused(FailureKind.INVALID_REQUEST, told)
    given: dict[str, Any] = {str(name): value for name, value in item.items()}
    operation = operation_of(given.pop("operation", None))
    if "user_id" in given:
        told = "user_id: it is the batch's, not an item's."
        raise RequestRefused(FailureKind.INVALID_REQUEST, told)
    given |= {role: checked(source, role) for role, source in _media_of(given).items()}
    given |= {role: _document(given[role]) for role in _DOCUMENTS if role in given}
    return operation, given


def operation_of(named: object) -> Operation:
    """The operation that an `operation` field names.

    Raises:
        RequestRefused: none, or it is missing.
    """
    for operation in Operation:
        if operation.value == named:
            return operation
    names = ", ".join(operation.value for operation in Operation)
    shown = "missing" if named is None else repr(named)[:80]
    raise RequestRefused(FailureKind.INVALID_REQUEST, f"operation: {shown}; allowed: {names}.")


def _media_of(fields: Mapping[str, Any]) -> dict[Role, Any]:
    return {role: fields[role] for role in PROVIDER_ROLES if fields.get(role) is not None}


def _document(given: Any) -> Any:  # noqa: ANN401 - not looked at yet
    """A scene or a story; one that is stored already is named by its id."""
    stored = isinstance(given, Mapping) and set(given) == {"media_id"}
    return given["media_id"] if stored else given
