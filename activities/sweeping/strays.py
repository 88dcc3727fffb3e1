"""Predictions at the provider, under our key, that no generation follows.

Ours by a staged URL in its input, though its generation has ended or follows another one: the bill
goes to the house. Not ours: another program uses the key, or the database is not the one that it
was. A submission in doubt is left to `provider.reconcile`.

A listing is read newest first and to its end, or it proves nothing. Where a span has too many, its
beginning is read, and the next look goes on from there: as long as less is made between two sweeps
than one listing can show (5,000), nothing is missed, and where more is, the sweep says so.
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
from workflows.contracts.texts import storable

YOUNG = timedelta(minutes=5)
"""A prediction may be made before its id is written down."""

OVERLAP = timedelta(hours=1)
"""Looked at again each time: listings lag, and the provider's clock is not ours. It shrinks with a
span that is too long, else it would be all that is looked at of a busy key."""

FIRST = timedelta(hours=24)
RETENTION = timedelta(days=7)
"""How long the provider lists predictions (docs: what-are-predictions)."""

READS_MAX = 100
"""Rows without input that one sweep reads one by one."""

SPAN_MIN = timedelta(minutes=2)
"""A span with too many predictions is halved, down to this: ten tries on the first look, of up to
fifty requests each. The next look begins with what this one came to."""

FOREIGN_MAX = 20_000

UNKNOWN_KEPT = timedelta(days=1)
"""How long one that nobody knows is told after it was listed last."""

MODEL_CHARACTERS_MAX = 200
UNTOLD, UNREADABLE = "a model that is not told", "a model whose name can't be kept"


class Ours(NamedTuple):
    """A prediction of a generation that does not follow it, or has ended without its bill."""

    prediction: Prediction
    generation_id: str
    follows: str | None
    stage: Stage
    is_billed: bool
    """Whether the bill of what it follows is expected."""

    @property
    def in_doubt(self) -> bool:
        """Whether reconciliation may adopt it yet."""
        return self.follows is None and self.stage not in TERMINAL

    @property
    def is_stray(self) -> bool:
        """Whether nobody will; one that was adopted a moment ago is followed.

        One that was accepted after its generation's end is its own, and was never expected.
        """
        if self.follows != self.prediction.id:
            return not self.in_doubt
        return self.stage in TERMINAL and not self.is_billed


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
        self._parts = 1
        """Into how many a span was cut last, so that not every look tries from the whole on."""

    async def look(self) -> Swept:
        """One look.

        Raises:
            ProviderError: the provider could not be asked.
        """
        now: datetime = await self._pool.fetchval("SELECT now()")
        left = await self._turns.time("strays") or now - FIRST
        since, until = max(left, now - RETENTION), now - self._young
        if until <= since:
            return Swept(
                failed=f"The last look saw up to {_told(left)}, and it is {_told(now)} only."
            )
        listing, seen_to = await self._listing(since, until)
        if not listing.complete:
            return Swept(failed=f"{_too_many(since, seen_to)} The next sweep tries again.")
        found, place = await self._sort(listing, since, seen_to)
        await self._turns.leave_time("strays", place)
        failed = None
        if left < since:
            failed = f"What was made from {_told(left)} to {_told(since)} is not listed any more."
        elif place == since and seen_to < until:
            failed = f"{_too_many(since, until)} One in doubt of the first of them holds it up."
        return Swept(found=found, failed=failed)

    async def _sort(
        self, listing: PredictionListing, since: datetime, seen_to: datetime
    ) -> tuple[dict[str, int], datetime]:
        """Tell what nobody follows; how many of each kind, and where the next look goes on."""
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
        counts = {kind.value: count for kind, count in found.items() if count}
        return counts, max(since, min([seen_to, *times]))

    async def _listing(
        self, since: datetime, until: datetime
    ) -> tuple[PredictionListing, datetime]:
        """All predictions from `since` on, and up to when: `until`, or as far as they can be read.

        That is always after `since`. Not complete where not even a short span can be.
        """
        whole = OVERLAP + until - since
        parts = max(1, self._parts // 2)
        while True:
            seen_to = since + (until - since) / parts
            listing = await self._client.all_predictions(
                created_after=since - OVERLAP / parts,
                created_before=seen_to,
                pages_max=self._pages_max,
            )
            if listing.complete or whole / (parts * 2) < SPAN_MIN:
                self._parts = parts
                return listing, seen_to
            parts *= 2

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
                follows, is_billed = row["prediction_id"], row["is_billed"]
                ours.append(Ours(item, row["generation_id"], follows, stage, is_billed))
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
            another = each.follows is not None and each.follows != each.prediction.id
            now = f"which follows {each.follows}" if another else f"which is {each.stage}"
            told[each.prediction.id] = f"made for {each.generation_id}, {now}"
        return await self._findings.replace(FindingKind.STRAY_PREDICTION, told, keep=RETENTION)

    async def _tell_unknown(self, unknown: Sequence[Prediction]) -> int:
        """One row a model: a key that another program uses too would make thousands."""
        by_model: dict[str, list[Prediction]] = defaultdict(list)
        for each in unknown:
            by_model[_model_of(each)].append(each)
        told = {
            # A listing's newest comes first.
            model: f"{len(each)} not of our making in the last look, the newest is {each[0].id}"
            for model, each in by_model.items()
        }
        await self._findings.replace(FindingKind.UNKNOWN_PREDICTION, told, keep=UNKNOWN_KEPT)
        return len(unknown)


def _urls_in(value: JsonValue) -> Generator[str]:
    """Every URL of an input, without its query, as `submissions.staged_url` has it.

    Another program's input may hold anything, at any depth: what no database can hold is no URL of
    ours.
    """
    left: list[JsonValue] = [value]
    while left:
        match left.pop():
            case str() as text if "://" in text and _is_storable(text):
                yield text.partition("?")[0]
            case dict() as parts:
                left.extend(parts.values())
            case list() as parts:
                left.extend(parts)
            case _:
                pass


def _model_of(prediction: Prediction) -> str:
    """Its model, as a finding's subject can hold it."""
    if not _is_storable(prediction.model):
        return UNREADABLE
    return prediction.model[:MODEL_CHARACTERS_MAX] or UNTOLD


def _is_storable(text: str) -> bool:
    try:
        storable(text)
    except ValueError:
        return False
    return True


def _too_many(since: datetime, until: datetime) -> str:
    return (
        f"The provider lists more predictions from {_told(since)} to {_told(until)} than can be"
        " read: does another program use its key?"
    )


def _told(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
