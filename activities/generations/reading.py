"""Reading generations: `show`, `list`, events.

Every read is owner-scoped unless an operator asks (None).
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from activities.database.pool import Pool, Row
from activities.generations.repository import SQL, UnknownGeneration
from activities.library.repository import path_of
from activities.media.store import MediaStore
from workflows.contracts.failures import Failure
from workflows.contracts.media import VideoFacts
from workflows.contracts.progress import ProgressFacts
from workflows.contracts.requests import Operation, Source
from workflows.contracts.results import Generation
from workflows.contracts.stages import Stage, Status, stages_of, status_of
from workflows.contracts.terms import Terms
from workflows.contracts.texts import dollars


class Event(NamedTuple):
    """One thing that happened."""

    seq: int
    stage: Stage
    at: datetime
    data: dict[str, Any]


class Filters(NamedTuple):
    """Which generations to list; None = any."""

    user_id: str | None = None
    status: Status | None = None
    operation: Operation | None = None
    source: Source | None = None
    since: datetime | None = None
    limit: int = 100
    after: str | None = None
    """The last generation's id of the page before."""
    sources: tuple[Source, ...] | None = None
    """Of these products only: what a reader may see, whatever it asks for."""


class Reader:
    """Generations as people and scripts see them, from PostgreSQL alone: it needs no worker."""

    def __init__(self, pool: Pool, store: MediaStore) -> None:
        self._pool = pool
        self._store = store

    async def find_id(self, prefix: str, user_id: str | None = None) -> str:
        """The one id that begins with `prefix`.

        Raises:
            UnknownGeneration: none does, or several do.
        """
        rows = await self._pool.fetch(SQL["ids_by_prefix"], prefix, user_id)
        ids = [row["generation_id"] for row in rows]
        if prefix in ids:
            return prefix
        if len(ids) != 1:
            told = "several generations begin" if ids else "no generation begins"
            raise UnknownGeneration(f"{told} with {prefix!r}")
        return ids[0]

    async def read(self, generation_id: str, user_id: str | None = None) -> Generation:
        """One generation.

        Raises:
            UnknownGeneration: no such id, or another owner's.
        """
        row = await self._pool.fetchrow(SQL["read"], generation_id, user_id)
        if row is None:
            raise UnknownGeneration(f"no generation {generation_id!r}")
        return _generation(row, self._store)

    async def find(self, filters: Filters) -> list[Generation]:
        """Generations, newest first."""
        stages = [stage.value for stage in stages_of(filters.status)] if filters.status else None
        rows = await self._pool.fetch(
            SQL["list"],
            filters.user_id,
            stages,
            filters.operation,
            _sources(filters),
            filters.since,
            filters.after,
            filters.limit,
        )
        return [_generation(row, self._store) for row in rows]

    async def events(
        self, generation_id: str, after_seq: int = 0, user_id: str | None = None
    ) -> list[Event]:
        """What happened after event `after_seq`, in order; nothing of another owner's."""
        rows = await self._pool.fetch(SQL["events"], generation_id, after_seq, user_id)
        return [Event(row["seq"], Stage(row["stage"]), row["at"], row["data"]) for row in rows]

    async def progress(self, generation_id: str, user_id: str | None = None) -> ProgressFacts:
        """The facts of the `progress` query, from the events: they need no worker.

        Raises:
            UnknownGeneration: no such id, or another owner's.
        """
        row = await self._pool.fetchrow(SQL["read"], generation_id, user_id)
        if row is None:
            raise UnknownGeneration(f"no generation {generation_id!r}")
        events = await self.events(generation_id)
        took = [event.at for event in events if event.stage is Stage.GENERATING]
        made = [event.at for event in events if event.stage is Stage.DOWNLOADING]
        terms = Terms.model_validate(row["terms"]) if row["terms"] else None
        failure = Failure.model_validate(row["failure"]) if row["failure"] else None
        return ProgressFacts(
            generation_id=generation_id,
            stage=Stage(row["stage"]),
            since=row["stage_at"],
            started_at=row["created_at"],
            expected_s=terms.quote.expected_s if terms else None,
            generating_since=took[0] if took else None,
            downloading_since=made[0] if made else None,
            prediction_id=row["prediction_id"],
            quoted_usd_micros=terms.quote.cost_usd_micros if terms else None,
            cost_usd_micros=_booked(row),
            money=_money(row, failure),
            failure=failure,
        )


def _sources(filters: Filters) -> list[str] | None:
    allowed = filters.sources if filters.sources is None else set(filters.sources)
    if filters.source is None:
        return None if allowed is None else sorted(allowed)
    return [filters.source] if allowed is None or filters.source in allowed else []


def _money(row: Row, failure: Failure | None) -> str:
    """What the ledger said when it ended or parked, else where the money is."""
    if failure is not None:
        return failure.money
    return money_of(row["reservation"], row["quoted_usd_micros"], row["settled_usd_micros"])


def money_of(
    state: str | None, quoted_usd_micros: int | None, settled_usd_micros: int | None
) -> str:
    """Where the money is, in one sentence."""
    match state:
        case "reserved":
            return f"{dollars(quoted_usd_micros or 0)} is reserved."
        case "settled":
            return f"{dollars(settled_usd_micros or 0)} was booked."
        case _:
            return "Nothing was charged."


def _booked(row: Row) -> int | None:
    return row["settled_usd_micros"] if row["reservation"] in {"settled", "released"} else None


def _generation(row: Row, store: MediaStore) -> Generation:
    terms = Terms.model_validate(row["terms"]) if row["terms"] else None
    facts = VideoFacts.model_validate(row["facts"]) if row["facts"] else None
    kept = row["key"] if row["deleted_at"] is None else None
    quote = terms.quote if terms else None
    return Generation(
        generation_id=row["generation_id"],
        operation=Operation(row["operation"]),
        status=status_of(Stage(row["stage"])),
        stage=Stage(row["stage"]),
        user_id=row["user_id"],
        source=Source(row["source"]),
        model=row["model"],
        provider=terms.provider if terms else None,
        prediction_id=row["prediction_id"],
        prompt=row["prompt"] or row["request"].get("prompt"),
        prompt_by=row["prompt_by"],
        duration_s=facts.duration_s if facts else quote.duration_s if quote else None,
        resolution=quote.resolution if quote else None,
        width=facts.width if facts else None,
        height=facts.height if facts else None,
        file_size_bytes=facts.size_bytes if facts else None,
        sha256=facts.sha256 if facts else None,
        mime_type=facts.mime_type if facts else None,
        file_path=path_of(store, kept),
        poster_path=path_of(store, row["poster_key"]) if kept else None,
        url=store.url(kept) if kept else None,
        cost_usd_micros=_booked(row),
        quoted_usd_micros=quote.cost_usd_micros if quote else None,
        asset_id=row["asset_id"] if kept else None,
        created_at=row["created_at"].astimezone(UTC),
        completed_at=row["completed_at"].astimezone(UTC) if row["completed_at"] else None,
        warnings=tuple(row["warnings"] or ()),
        error=Failure.model_validate(row["failure"]) if row["failure"] else None,
    )
