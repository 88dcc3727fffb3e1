"""What became of a submission whose reply was lost.

A prediction is ours if, and only if, its input holds our staged URL: model and time prove nothing.
Listed rows may lack their input; then each candidate is read. Absence needs proof, since a second
POST is a second bill.
"""

from datetime import datetime, timedelta

from pydantic import JsonValue

from activities.database.pool import Connection
from activities.provider.errors import NotFound, ProviderError
from activities.provider.models import Prediction, PredictionListing
from activities.provider.submissions import SQL, InFlight, Submission, Submissions
from activities.provider.wavespeed import WaveSpeed
from workflows.contracts.activities import Reconciled, Verdict

PROOFS_NEEDED = 3
"""Separate complete listings without it, before it counts as absent."""

PROOF_PAUSE_S_MIN = 1.0
"""Between two of them, or a tenth of the settle delay: apart enough to be separate answers."""

CLOCK_SKEW = timedelta(minutes=10)
"""How far the provider's clock may be from the database's."""

CANDIDATES_MAX = 100
"""Rows without input that one look reads one by one."""

RETENTION = timedelta(days=7)
"""How long the provider keeps and lists predictions (docs: what-are-predictions)."""


class Reconciliation:
    """Finds predictions whose ids were never received."""

    def __init__(
        self, submissions: Submissions, client: WaveSpeed, *, settle_delay_s: float
    ) -> None:
        self._submissions = submissions
        self._client = client
        self._settle_delay = timedelta(seconds=settle_delay_s)

    async def reconcile(self, generation_id: str, *, hinted: str | None = None) -> Reconciled:
        """One look. Repeat it with growing pauses while the verdict is `unproven` or `in_flight`.

        `hinted`, a prediction that a webhook named, is read before any listing is.

        Raises:
            ProviderError: the provider could not be asked.
        """
        try:
            async with self._submissions.locked(generation_id) as connection:
                row = await self._submissions.read_on(connection, generation_id)
                assert row is not None, "inputs are staged before the submission"
                return await self._hinted(row, hinted) or await self._verdict(connection, row)
        except InFlight:
            return Reconciled(
                verdict=Verdict.IN_FLIGHT, evidence="Another process holds the sender's lock."
            )

    async def adopt(self, generation_id: str, prediction_id: str) -> Reconciled:
        """Take a prediction that a person names, unless it is known to be another's.

        Returns `unproven`, with the reason, where it can't be taken.
        """
        row = await self._submissions.read(generation_id)
        async with self._submissions.locked(generation_id) as connection:
            owner = await connection.fetchval(SQL["owner_of"], prediction_id)
        if row is None or owner not in {None, generation_id}:
            return _unproven(f"The prediction {prediction_id} is not of this generation.")
        if row.prediction_id not in {None, prediction_id}:
            return _unproven(f"The generation has the prediction {row.prediction_id} already.")
        try:
            found = await self._client.prediction(prediction_id)
        except NotFound:
            return _unproven(f"The provider knows no prediction {prediction_id}.")
        if found.input is not None and not _holds(found.input, row.staged_url):
            return _unproven(f"The prediction {prediction_id} was made of other inputs.")
        await self._submissions.accept(generation_id, prediction_id, "named by a person")
        return Reconciled(
            verdict=Verdict.ADOPTED, prediction_id=prediction_id, evidence="Named by a person."
        )

    async def resubmit(self, generation_id: str) -> Reconciled:
        """Take a person's word that nothing was made."""
        async with self._submissions.locked(generation_id) as connection:
            await self._submissions.declare_absent(connection, generation_id, "a person's decision")
        return Reconciled(verdict=Verdict.ABSENT, evidence="A person decided to submit again.")

    async def _hinted(self, row: Submission, hinted: str | None) -> Reconciled | None:
        """The hinted prediction, adopted; None where it is not ours by its input.

        Also of what counts as rejected: whatever was made with our staged URL was made by us.
        """
        if hinted is None or row.prediction_id is not None:
            return None
        try:
            found = await self._client.prediction(hinted)
        except ProviderError:
            # Only a hint: the listing meets the same weather, and says so.
            return None
        if found.input is None or not _holds(found.input, row.staged_url):
            return None
        await self._submissions.accept(row.generation_id, found.id, "named by a webhook")
        return Reconciled(
            verdict=Verdict.ADOPTED,
            prediction_id=found.id,
            evidence="Named by a webhook, and made of our staged URL.",
        )

    async def _verdict(self, connection: Connection, row: Submission) -> Reconciled:
        if row.prediction_id is not None:
            return Reconciled(
                verdict=Verdict.ADOPTED,
                prediction_id=row.prediction_id,
                evidence="The id had been received.",
                accepted_at=row.accepted_at,
            )
        if row.state in {"prepared", "rejected"}:
            return Reconciled(verdict=Verdict.ABSENT, evidence="Nothing was sent.")
        assert row.sending_at is not None, "a submission in doubt was sent at a time"
        # Read before the listing: what was accepted meanwhile need not stand in it.
        expected = await self._accepted_since(connection, row.base_url, row.sending_at)
        listing = await self._client.all_predictions(
            created_after=row.sending_at - CLOCK_SKEW, created_before=row.now + CLOCK_SKEW
        )
        unread, found = await self._find(connection, row, listing)
        if found is not None:
            await self._submissions.accept(row.generation_id, found.id, "found by its staged URL")
            return Reconciled(
                verdict=Verdict.ADOPTED,
                prediction_id=found.id,
                evidence="Found at the provider by its staged URL.",
            )
        if (early_s := self._early_s(row)) > 0:
            settled_at = row.now + timedelta(seconds=early_s)
            return _unproven(
                f"It may still appear until {settled_at:%H:%M:%S} UTC.",
                max(PROOF_PAUSE_S_MIN, early_s),
            )
        doubt = await self._gap(listing, unread, expected)
        if doubt is not None:
            return _unproven(doubt)
        return await self._count_proof(connection, row)

    async def _find(
        self, connection: Connection, row: Submission, listing: PredictionListing
    ) -> tuple[int, Prediction | None]:
        """Our prediction, if it is there; and how many rows could not be told."""
        unread = 0
        without_input = [item for item in listing.items if item.input is None]
        for item in listing.items:
            if item.input is not None and _holds(item.input, row.staged_url):
                return 0, item
        for position, item in enumerate(without_input):
            if position >= CANDIDATES_MAX:
                return unread + len(without_input) - position, None
            if await connection.fetchval(SQL["owner_of"], item.id) is not None:
                continue
            full = await self._read(item.id)
            if full is None or full.input is None:
                unread += 1
            elif _holds(full.input, row.staged_url):
                return 0, full
        return unread, None

    async def _read(self, prediction_id: str) -> Prediction | None:
        """One candidate; None where it was deleted since it was listed."""
        try:
            return await self._client.prediction(prediction_id)
        except NotFound:
            return None

    def _early_s(self, row: Submission) -> float:
        """For how long it may still appear; 0 or less once a listing can prove something."""
        assert row.send_by is not None, "a submission in doubt has its window"
        return (row.send_by + self._settle_delay - row.now).total_seconds()

    async def _gap(self, listing: PredictionListing, unread: int, expected: set[str]) -> str | None:
        """Why this listing proves nothing; None where it is proof."""
        if not listing.complete:
            return "The provider's listing is not complete."
        if unread or not listing.rows_carry_input:
            return "The provider's listing does not show the inputs of all rows."
        if expected - {item.id for item in listing.items}:
            return "The provider's listing lags: a prediction that we know is missing."
        if not listing.items and not await self._lists_inputs():
            return "The provider lists nothing, so nothing shows that it lists inputs at all."
        return None

    async def _lists_inputs(self) -> bool:
        """Whether some prediction of the last days is listed with its input.

        An empty list alone is no sign.
        """
        now = await self._submissions.now()
        page = await self._client.predictions(
            created_after=now - RETENTION, created_before=now + CLOCK_SKEW
        )
        return bool(page.items) and all(item.input is not None for item in page.items)

    async def _accepted_since(
        self, connection: Connection, base_url: str, sending_at: datetime
    ) -> set[str]:
        rows = await connection.fetch(SQL["accepted_since"], base_url, sending_at - CLOCK_SKEW / 2)
        return {record["prediction_id"] for record in rows}

    async def _count_proof(self, connection: Connection, row: Submission) -> Reconciled:
        proofs = await connection.fetchval(SQL["proof"], row.generation_id)
        if proofs < PROOFS_NEEDED:
            return _unproven(
                f"Not in {proofs} of the {PROOFS_NEEDED} complete listings that are needed.",
                max(PROOF_PAUSE_S_MIN, self._settle_delay.total_seconds() / 10),
            )
        evidence = f"Not in {proofs} complete listings after the settle delay."
        await self._submissions.declare_absent(connection, row.generation_id, evidence)
        return Reconciled(verdict=Verdict.ABSENT, evidence=evidence)


def _holds(value: JsonValue, staged_url: str) -> bool:
    """Whether a staged URL, with any query, stands anywhere in an input."""
    match value:
        case str():
            return value.partition("?")[0] == staged_url
        case dict():
            return any(_holds(part, staged_url) for part in value.values())
        case list():
            return any(_holds(part, staged_url) for part in value)
        case _:
            return False


def _unproven(evidence: str, look_again_s: float | None = None) -> Reconciled:
    return Reconciled(verdict=Verdict.UNPROVEN, evidence=evidence, look_again_s=look_again_s)
