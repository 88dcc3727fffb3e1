"""How far each receiver was told, and why no further: a row per generation with a callback_url."""

from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from activities.database.pool import Pool
from activities.database.statements import statements
from activities.generations.reading import Event
from activities.generations.repository import UnknownGeneration
from workflows.contracts.callbacks import CallbackMessage, Delivery, StageChange
from workflows.contracts.failures import Failure
from workflows.contracts.ids import asset_id_for
from workflows.contracts.requests import Operation, Source
from workflows.contracts.stages import TERMINAL, Stage, status_of

SQL = statements("activities.callbacks", "queries.sql")

CallbackState = Literal["delivering", "delivered", "given_up"]

OF_LATE = timedelta(days=7)
"""For how long a receiver that was given up is worth a warning."""


class Superseded(Exception):
    """Another worker has told the receiver meanwhile; this one stops."""


class NoCallback(LookupError):
    """The generation was asked for without a callback_url."""


class Callback(BaseModel):
    """One receiver, as `callbacks list -o json` prints it."""

    model_config = ConfigDict(frozen=True)

    generation_id: str
    user_id: str
    source: Source
    host: str
    """Of the URL, whose rest may hold a key."""
    state: CallbackState
    told: int
    """Events that the receiver took."""
    events: int
    """Events that there are."""
    failures: int
    """In a row, of the event that is next."""
    failing_since: datetime | None
    evidence: str
    changed_at: datetime


class Receiver(NamedTuple):
    """Who is told, of what, and how far they were told."""

    generation_id: str
    operation: Operation
    source: Source
    url: str | None
    """None where a later request under the same id has none."""
    idempotency_key: str | None
    delivered_seq: int

    def message(self, event: Event) -> CallbackMessage:
        """What is told of an event."""
        data = event.data
        # The asset's id follows from the generation's; its row is there before the money's.
        is_completed = event.stage is Stage.COMPLETED
        made = asset_id_for(self.generation_id) if is_completed else data.get("asset_id")
        told: dict[str, Any] | None = data.get("failure")
        return CallbackMessage(
            timestamp=event.at,
            data=StageChange(
                generation_id=self.generation_id,
                seq=event.seq,
                stage=event.stage,
                status=status_of(event.stage),
                at=event.at,
                operation=self.operation,
                source=self.source,
                idempotency_key=self.idempotency_key,
                quoted_usd_micros=data.get("quoted_usd_micros"),
                cost_usd_micros=data.get("cost_usd_micros"),
                asset_id=made,
                failure=Failure.model_validate(told) if told else None,
            ),
        )


class Callbacks:
    """The rows of all generations; reads are owner-scoped unless an operator asks (None)."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    # Telling

    async def open(self, generation_id: str) -> None:
        """Take a receiver up, again where it was given up.

        Raises:
            NoCallback: there is no such generation, or it has no callback_url.
        """
        if await self._pool.fetchval(SQL["open"], generation_id) is None:
            raise NoCallback(f"{generation_id!r} is no generation with a callback_url")

    async def due(self, generation_id: str) -> tuple[Receiver, list[Event]]:
        """The receiver and what it was not told yet, in order."""
        row = await self._pool.fetchrow(SQL["receiver"], generation_id)
        assert row is not None, "a receiver is taken up first"
        fields: dict[str, Any] = dict(row)
        fields |= {"operation": Operation(row["operation"]), "source": Source(row["source"])}
        receiver = Receiver(**fields)
        rows = await self._pool.fetch(SQL["untold"], generation_id, receiver.delivered_seq)
        return receiver, [
            Event(row["seq"], Stage(row["stage"]), row["at"], row["data"]) for row in rows
        ]

    async def advance(self, generation_id: str, seq: int) -> None:
        """The receiver took event `seq`.

        Raises:
            Superseded: it was told by another worker meanwhile.
        """
        if await self._pool.fetchval(SQL["advance"], generation_id, seq) is None:
            raise Superseded(f"event {seq} was told by another worker")

    async def finish(self, generation_id: str) -> Delivery | None:
        """Close the row where the generation's end was told; None where more is to come."""
        ends = [stage.value for stage in TERMINAL]
        seq = await self._pool.fetchval(SQL["finish"], generation_id, ends)
        return Delivery(state="done", delivered_seq=seq) if seq is not None else None

    async def fail(
        self,
        generation_id: str,
        after_seq: int,
        state: Literal["failed", "refused"],
        evidence: str,
    ) -> Delivery:
        """The receiver did not take the event after `after_seq`.

        Raises:
            Superseded: it was told by another worker meanwhile.
        """
        row = await self._pool.fetchrow(SQL["fail"], generation_id, evidence, after_seq)
        if row is None:
            raise Superseded(f"event {after_seq + 1} was told by another worker")
        return Delivery(state=state, **dict(row))

    async def give_up(self, generation_id: str, reason: str) -> int:
        """The receiver is told no more; how many events it does not know."""
        return await self._pool.fetchval(SQL["give_up"], generation_id, reason) or 0

    # Reading

    async def find(
        self,
        *,
        user_id: str | None = None,
        state: CallbackState | None = None,
        generation_id: str | None = None,
        limit: int = 100,
    ) -> list[Callback]:
        """Receivers, the latest change first."""
        rows = await self._pool.fetch(SQL["list"], user_id, state, generation_id, limit)
        return [
            Callback(
                host=urlsplit(row["url"] or "").hostname or "",
                told=row["delivered_seq"],
                events=row["last_seq"],
                **{name: row[name] for name in Callback.model_fields if name in dict(row)},
            )
            for row in rows
        ]

    async def require(self, generation_id: str, user_id: str | None = None) -> bool:
        """Whether the receiver of this owner's generation is still to be told of something.

        Raises:
            UnknownGeneration: no such generation, or another owner's.
            NoCallback: it has no callback_url.
        """
        wants = await self._pool.fetchval(SQL["wants_callbacks"], generation_id, user_id)
        if wants is None:
            raise UnknownGeneration(f"no generation {generation_id!r}")
        if not wants:
            raise NoCallback(f"{generation_id} was asked for without a callback_url")
        found = await self.find(generation_id=generation_id, limit=1)
        return not found or found[0].state != "delivered" or found[0].told < found[0].events

    async def given_up_of_late(self) -> int:
        """How many receivers were given up in the last week, and not told again."""
        return await self._pool.fetchval(SQL["given_up_of_late"], OF_LATE)
