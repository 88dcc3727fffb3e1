"""The protocol that makes at most one prediction per generation.

The provider has no idempotency key.

    prepared ──▶ sending ──▶ accepted           the id is known: adopted by whoever comes later
                    │  └───▶ rejected           nothing was made: may be sent again
                    └──────▶ unknown ──▶ …      the reply is lost: reconcile, never resend blindly

The sender holds a session advisory lock from before `sending` is committed until the outcome is. A
process that dies loses the lock and leaves `sending` behind; one that was frozen keeps it, and on
waking finds `send_by` passed, which is checked as the very last act before the bytes go out. So
whoever holds the lock after `send_by` and a settle delay, and finds nothing in several complete
listings, has proof that nothing was made.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import structlog
from pydantic import JsonValue

from activities.database.pool import Connection, Pool, hold_session_locks
from activities.database.statements import statements
from activities.generations import repository as generations
from activities.provider.errors import NotSent, ProviderError, SubmissionAmbiguous
from activities.provider.identity import ProviderIdentity
from activities.provider.pacing import Pacing
from activities.provider.wavespeed import WaveSpeed
from activities.provider.webhooks import webhook_url
from workflows.contracts.failures import FailureKind, RequestRefused
from workflows.contracts.stages import TERMINAL, Stage

SQL = statements("activities.provider", "submissions.sql")

SEND_WINDOW_S = 15.0
"""From the commit of `sending` to the first byte; connecting takes 10 s at most."""

log = structlog.get_logger()


def running_and_suspended_s() -> float:
    """Seconds on a clock that counts on while the machine sleeps: a suspension ends no window."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class StagedUrlTaken(Exception):
    """Another generation's inputs have this URL: stage again under another one."""


class InFlight(Exception):
    """Another process holds the sender's lock: it may still be sending. Ask again later."""


class Submission(NamedTuple):
    """The row of one generation; `now` is the database's clock when it was read."""

    generation_id: str
    state: str
    provider_path: str
    base_url: str
    staged_url: str
    payload: dict[str, Any] | None
    attempts: int
    sending_at: datetime | None
    send_by: datetime | None
    proofs: int
    prediction_id: str | None
    accepted_at: datetime | None
    now: datetime


class Accepted(NamedTuple):
    """What the provider took for a generation."""

    prediction_id: str
    accepted_at: datetime
    """By the database's clock."""


class Submissions:
    """The submissions of all generations to one provider account."""

    def __init__(
        self,
        pool: Pool,
        client: WaveSpeed,
        *,
        clock: Callable[[], float] = running_and_suspended_s,
        public_url: str | None = None,
        jobs_in_flight_max: int | None = None,
    ) -> None:
        """With a `public_url`, under which our API is, each POST asks for a webhook there."""
        self._pool = pool
        self._client = client
        self._clock = clock
        self._public_url = public_url
        self.identity = ProviderIdentity(client.base_url, client.key_fingerprint)
        self.pacing = Pacing(pool, client.base_url, jobs_in_flight_max)

    async def prepare(
        self,
        generation_id: str,
        provider_path: str,
        staged_url: str,
        payload: Mapping[str, JsonValue],
    ) -> None:
        """Write down what will be posted; a second call changes nothing.

        One that has ended meanwhile, since it was cancelled during the upload, leaves no row.

        Raises:
            StagedUrlTaken: the staged URL stands in another generation's row.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            if await generations.lock(connection, generation_id) in TERMINAL:
                return
            try:
                await connection.fetchval(
                    SQL["prepare"],
                    generation_id,
                    provider_path,
                    self.identity.base_url,
                    staged_url.partition("?")[0],
                    dict(payload),
                )
            except asyncpg.UniqueViolationError as error:
                raise StagedUrlTaken(generation_id) from error
            await generations.record(connection, generation_id, Stage.SUBMITTING)

    async def read(self, generation_id: str) -> Submission | None:
        """The row; None before the inputs are staged."""
        async with self._pool.acquire() as connection:
            return await self.read_on(connection, generation_id)

    async def read_on(self, connection: Connection, generation_id: str) -> Submission | None:
        """The same on a connection, such as the sender's."""
        row = await connection.fetchrow(SQL["read"], generation_id)
        if row is None:
            return None
        columns: dict[str, Any] = dict(row)
        return Submission(**columns)

    async def accepted(self, generation_id: str) -> Accepted | None:
        """What an earlier attempt or run got, if anything was sent: it needs no turn and no place.

        Raises:
            SubmissionAmbiguous: it is not known what became of it: reconcile.
        """
        row = await self.read(generation_id)
        if row is None:
            return None
        if row.prediction_id is not None and row.accepted_at is not None:
            return Accepted(row.prediction_id, row.accepted_at)
        if row.state in {"sending", "unknown"}:
            raise SubmissionAmbiguous("An earlier submission's outcome is unknown.")
        return None

    async def now(self) -> datetime:
        """The database's clock, which all times of a submission are by."""
        return await self._pool.fetchval("SELECT now()")

    async def submit(self, generation_id: str) -> str:
        """Send the one POST, or adopt what an earlier attempt got. Returns the prediction id.

        Raises:
            SubmissionAmbiguous: an earlier attempt's or this one's outcome is unknown: reconcile.
            InFlight: another process is sending.
            HeldBack: it is not its turn, or no place is free; the row is as it was.
            RequestRefused: `already_closed`: the generation has ended; the row is as it was.
            ProviderError: any other leaf: nothing was made, and the row says so.
        """
        async with self.locked(generation_id) as connection:
            row = await self.read_on(connection, generation_id)
            if row is None:
                raise NotSent("The inputs are not at the provider yet.")
            if row.prediction_id is not None:
                return row.prediction_id
            if row.state in {"sending", "unknown"}:
                raise SubmissionAmbiguous("An earlier submission's outcome is unknown.")
            return await self._send(connection, row)

    async def _send(self, connection: Connection, row: Submission) -> str:
        assert row.payload is not None, "a submission that may be sent has its body"
        await self.pacing.require_turn(connection)
        told_at = await self._webhook_url(connection, row.generation_id)
        # Before the commit, so that the window ends no later here than in the row.
        deadline = self._clock() + SEND_WINDOW_S
        async with connection.transaction():
            # Another run may have closed it since the row was read, without the sender's lock: what
            # is sent now nobody would be booked for.
            if await generations.lock(connection, row.generation_id) in TERMINAL:
                raise RequestRefused(
                    FailureKind.ALREADY_CLOSED, "The generation has ended: nothing was sent."
                )
            await self.pacing.take_place(connection)
            attempt = await connection.fetchval(SQL["sending"], row.generation_id, SEND_WINDOW_S)
            await connection.execute(SQL["attempt"], row.generation_id, attempt, "sending", "")
            # Only an unresolved one moves: it was proven absent.
            await generations.record(connection, row.generation_id, Stage.SUBMITTING)

        def within_the_window() -> None:
            if self._clock() > deadline:
                raise NotSent("The process was held up for too long to send.")

        try:
            prediction_id = await self._client.submit(
                row.provider_path,
                row.payload,
                webhook_url=told_at,
                before_send=within_the_window,
            )
        except BaseException as error:
            # Also a cancel: the reply is lost then, as with a timeout.
            outcome = _outcome(error)
            await asyncio.shield(self._doubt(row.generation_id, outcome, type(error).__name__))
            raise
        await asyncio.shield(self._accept_or_log(row.generation_id, prediction_id))
        return prediction_id

    async def _webhook_url(self, connection: Connection, generation_id: str) -> str | None:
        """Where the provider is to tell of this job; it goes into the POST and nowhere else."""
        if self._public_url is None:
            return None
        hash_key = await connection.fetchval(generations.SQL["hash_key"])
        return webhook_url(self._public_url, hash_key, generation_id)

    async def _doubt(self, generation_id: str, state: str, evidence: str) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            attempt = await connection.fetchval(SQL["doubted"], generation_id, state)
            if attempt is not None:
                await connection.execute(SQL["attempt"], generation_id, attempt, state, evidence)

    async def _accept_or_log(self, generation_id: str, prediction_id: str) -> None:
        """The id reaches history, the second record, even where the row can't be written."""
        try:
            await self.accept(generation_id, prediction_id, "the provider's reply")
        except (
            OSError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ):
            log.exception(
                "accepted, but not recorded; the poll records it",
                generation_id=generation_id,
                prediction_id=prediction_id,
            )

    async def accept(self, generation_id: str, prediction_id: str, evidence: str) -> None:
        """Record the prediction of a generation; a second call with the same id changes nothing."""
        async with self._pool.acquire() as connection, connection.transaction():
            await generations.lock(connection, generation_id)
            attempt = await connection.fetchval(SQL["accepted"], generation_id, prediction_id)
            if attempt is None:
                return
            await connection.execute(
                SQL["attempt"], generation_id, max(1, attempt), "accepted", evidence
            )
            await connection.execute(
                generations.SQL["set_prediction"], generation_id, prediction_id
            )
            await generations.record(
                connection, generation_id, Stage.GENERATING, {"prediction_id": prediction_id}
            )

    async def declare_absent(
        self, connection: Connection, generation_id: str, evidence: str
    ) -> None:
        """Nothing was made: the submission may be sent again. Only under the sender's lock."""
        async with connection.transaction():
            attempt = await connection.fetchval(SQL["doubted"], generation_id, "rejected")
            if attempt is not None:
                await connection.execute(SQL["attempt"], generation_id, attempt, "absent", evidence)

    @asynccontextmanager
    async def locked(self, generation_id: str) -> AsyncGenerator[Connection]:
        """The sender's lock, for the block; the pool frees it with the connection.

        Raises:
            InFlight: another session holds it.
        """
        async with self._pool.acquire() as connection:
            hold_session_locks(connection)
            if not await connection.fetchval(SQL["try_lock"], generation_id):
                raise InFlight(generation_id)
            yield connection


def _outcome(error: BaseException) -> str:
    """`rejected` where it is proven that nothing was made."""
    if isinstance(error, SubmissionAmbiguous) or not isinstance(error, ProviderError):
        return "unknown"
    return "rejected"
