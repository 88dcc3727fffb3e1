"""Predictions at the provider, under our key, that no generation follows.

Ours by a staged URL in its input, though its generation has ended or follows another one: the bill
goes to the house. Not ours: another program uses the key, or the database is not the one that it
was. A submission in doubt is left to `provider.reconcile`.
"""

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import JsonValue

from activities.database.pool import Pool, Row
from activities.ledger.bills import Bills
from activities.provider.errors import NotFound
from activities.provider.models import Prediction, PredictionListing
from activities.provider.wavespeed import PAGES_MAX, WaveSpeed
from activities.sweeping.findings import Findings
from activities.sweeping.turns import SQL, Turns
from workflows.contracts.stages import TERMINAL, Stage
from workflows.contracts.sweeps import FindingKind, Swept

YOUNG = timedelta(minutes=5)
"""A prediction may be made before its id is written down."""

OVERLAP = timedelta(hours=1)
"""Looked at again each time: listings lag, and the provider's clock is not ours."""

FIRST = timedelta(hours=24)
RETENTION = timedelta(days=7)
"""How long the provider lists predictions (docs: what-are-predictions)."""

READS_MAX = 100
"""Rows without input that one sweep reads one by one."""

HALVINGS_MAX = 4
"""A span with too many predictions is halved; each try costs up to fifty requests."""

FOREIGN_MAX = 20_000

UNKNOWN_KEPT = timedelta(days=1)
"""How long one that nobody knows is told after it was listed last."""


class ListingTooLong(Exception):
    """The provider lists more predictions than can be read. Does another program use the key?"""


class Ours(NamedTuple):
    """A prediction of a generation that does not follow it."""

    prediction: Prediction
    generation_id: str
    follows: str | None
    stage: Stage

    @property
    def in_doubt(self) -> bool:
        """Whether reconciliation may adopt it yet."""
        return self.follows is None and self.stage not in TERMINAL

    @property
    def is_stray(self) -> bool:
        """Whether nobody will; one that was adopted a moment ago is followed."""
        return not self.in_doubt and self.follows != self.prediction.id


class Strays:
    """Looks through the provider's listing since the last look that saw all of it."""

    def __init__(
        self,
        pool: Pool,
        client: WaveSpeed,
        bills: Bills,
        findings: Findings,
        *,
        young: timedelta = YOUNG,
        pages_max: int = PAGES_MAX,
    ) -> None:
        self._pool = pool
        self._young = young
        self._pages_max = pages_max
        self._client = client
        self._bills = bills
        self._findings = findings
        self._turns = Turns(pool)
        self._foreign: set[str] = set()
        """Ids that were read and are not ours: an input never changes."""

    async def look(self) -> Swept:
        """One look.

        Raises:
            ProviderError: the provider could not be asked.
            ListingTooLong: not even a short span could be read to its end.
        """
        now = await self._pool.fetchval("SELECT now()")
        since = max(await self._turns.time("strays") or now - FIRST, now - RETENTION)
        listing, until = await self._listing(since, now - self._young)
        nobodys = await self._not_followed(listing.items)
        inputs, unread = await self._inputs(nobodys)
        ours = await self._ours(nobodys, inputs)
        of_us = {each.prediction.id for each in ours}
        unknown = [each for each in nobodys if each.id not in of_us and each.id not in unread]
        found = {
            FindingKind.STRAY_PREDICTION: await self._tell_strays(ours),
            FindingKind.UNKNOWN_PREDICTION: await self._tell_unknown(unknown),
        }
        waiting = [each.prediction for each in ours if each.in_doubt]
        waiting += [each for each in nobodys if each.id in unread]
        # What is not decided is looked at again, however long that takes.
        times = [each.created_at or since for each in waiting]
        await self._turns.leave_time("strays", max(since, min([until, *times])))
        return Swept(found={kind.value: count for kind, count in found.items() if count})

    async def _listing(
        self, since: datetime, until: datetime
    ) -> tuple[PredictionListing, datetime]:
        """All predictions from `since` on, up to `until` or as far as they can be read."""
        for _ in range(HALVINGS_MAX):
            listing = await self._client.all_predictions(
                created_after=since - OVERLAP, created_before=until, pages_max=self._pages_max
            )
            if listing.complete:
                return listing, until
            until = since - OVERLAP + (until - since + OVERLAP) / 2
        raise ListingTooLong(
            f"The provider lists more predictions since {since:%Y-%m-%d %H:%M} UTC than can be"
            " read: does another program use its key?"
        )

    async def _not_followed(self, items: Sequence[Prediction]) -> list[Prediction]:
        ids = [item.id for item in items]
        rows = await self._pool.fetch(SQL["known_predictions"], ids)
        known = {row["prediction_id"] for row in rows}
        return [item for item in items if item.id not in known]

    async def _inputs(
        self, items: Sequence[Prediction]
    ) -> tuple[dict[str, Mapping[str, JsonValue]], set[str]]:
        """By id; and those that have to wait for another sweep."""
        inputs: dict[str, Mapping[str, JsonValue]] = {}
        unread: set[str] = set()
        reads = 0
        for item in items:
            if item.input is not None:
                inputs[item.id] = item.input
            elif item.id in self._foreign:
                continue
            elif reads == READS_MAX:
                unread.add(item.id)
            else:
                reads += 1
                inputs[item.id] = await self._read(item.id)
        return inputs, unread

    async def _read(self, prediction_id: str) -> Mapping[str, JsonValue]:
        """What it was asked; empty where it was deleted since, or doesn't say."""
        try:
            found = await self._client.prediction(prediction_id)
        except NotFound:
            return {}
        return found.input or {}

    async def _ours(
        self, items: Sequence[Prediction], inputs: Mapping[str, Mapping[str, JsonValue]]
    ) -> list[Ours]:
        urls = {id_: set(_urls_in(dict(given))) for id_, given in inputs.items()}
        wanted = sorted(set[str]().union(*urls.values()))
        rows = await self._pool.fetch(SQL["by_staged_url"], wanted)
        by_url: dict[str, Row] = {row["staged_url"]: row for row in rows}
        ours: list[Ours] = []
        for item in items:
            row = next((by_url[url] for url in urls.get(item.id, ()) if url in by_url), None)
            if row is not None:
                stage = Stage(row["stage"])
                ours.append(Ours(item, row["generation_id"], row["prediction_id"], stage))
            elif item.id in urls:
                self._remember(item.id)
        return ours

    def _remember(self, prediction_id: str) -> None:
        if len(self._foreign) >= FOREIGN_MAX:
            self._foreign.clear()
        self._foreign.add(prediction_id)

    async def _tell_strays(self, ours: Sequence[Ours]) -> int:
        """Have the house expect their bills."""
        strays = [each for each in ours if each.is_stray]
        told: dict[str, str] = {}
        for each in strays:
            await self._bills.expect_stray(each.generation_id, each.prediction.id)
            follows = f"which follows {each.follows}" if each.follows else f"which is {each.stage}"
            told[each.prediction.id] = f"made for {each.generation_id}, {follows}"
        return await self._findings.replace(FindingKind.STRAY_PREDICTION, told, keep=RETENTION)

    async def _tell_unknown(self, unknown: Sequence[Prediction]) -> int:
        """One row a model: a key that another program uses too would make thousands."""
        by_model: dict[str, list[Prediction]] = defaultdict(list)
        for each in unknown:
            by_model[each.model or "a model that is not told"].append(each)
        told = {
            # A listing's newest comes first.
            model: f"{len(each)} not of our making in the last look, the newest is {each[0].id}"
            for model, each in by_model.items()
        }
        await self._findings.replace(FindingKind.UNKNOWN_PREDICTION, told, keep=UNKNOWN_KEPT)
        return len(unknown)


def _urls_in(value: JsonValue) -> Generator[str]:
    """Every URL of an input, without its query, as `submissions.staged_url` has it."""
    match value:
        case str() if "://" in value:
            yield value.partition("?")[0]
        case dict():
            for part in value.values():
                yield from _urls_in(part)
        case list():
            for part in value:
                yield from _urls_in(part)
        case _:
            return
