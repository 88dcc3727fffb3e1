"""The sweeper's contract: what it looks for, what it mended, what it leaves to a person.

One short workflow on a Temporal Schedule; each activity is one kind of look, idempotent, bounded
and independent of the others, so that one that fails hides no other.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict
from temporalio import activity

WORKFLOW_TYPE = "Sweep"
SCHEDULE_ID = "stillmotion-sweep"
"""One schedule per namespace; its runs have Temporal's own ids."""


class FindingKind(StrEnum):
    """What a person has to look at; the sweeper does not decide it."""

    UNKNOWN_PREDICTION = "unknown_prediction"  # at the provider, under our key, not of our making
    STRAY_PREDICTION = "stray_prediction"  # ours by its staged URL, and nobody follows it
    LOST_FILE = "lost_file"  # an asset whose file is gone
    UNRESOLVED = "unresolved"  # a submission that waits for a person
    UNBELIEVABLE_BILL = "unbelievable_bill"  # outside 0.2 to 2 times the quote
    MISSING_BILL = "missing_bill"  # no row a day after the end
    HOUSE_LOSS = "house_loss"  # the house paid what no user was booked for
    UNBALANCED = "unbalanced"  # a balance that is not the sum of its entries
    STRANDED_HOLD = "stranded_hold"  # a hold whose generation has ended


class Swept(BaseModel):
    """What one look mended and found, as counts by kind; the rows are in the database."""

    model_config = ConfigDict(frozen=True)

    repaired: dict[str, int] = {}
    found: dict[str, int] = {}
    failed: str | None = None
    """Why this look could not be had, in a sentence."""


class SweepEnd(BaseModel):
    """What the workflow returns: the looks together."""

    model_config = ConfigDict(frozen=True)

    repaired: dict[str, int] = {}
    found: dict[str, int] = {}
    failed: dict[str, str] = {}
    """Look → why it could not be had."""


class SweepRecord(SweepEnd):
    """A sweep that has ended, for the database and the metrics."""

    run_id: str
    """Of the workflow, so that a repeat records nothing more."""
    started_at: datetime


class Sweeping:
    """The looks, in the order in which the workflow takes them, and the record of them all."""

    @activity.defn(name="sweeping.restart_gone")
    async def restart_gone(self) -> Swept:
        """Whose workflow is gone: restart what may be paid, release the rest."""
        raise NotImplementedError

    @activity.defn(name="sweeping.read_bills")
    async def read_bills(self) -> Swept:
        """Bills that are due: read them, correct what was booked."""
        raise NotImplementedError

    @activity.defn(name="sweeping.find_strays")
    async def find_strays(self) -> Swept:
        """Predictions at the provider that nobody follows."""
        raise NotImplementedError

    @activity.defn(name="sweeping.tidy_media")
    async def tidy_media(self) -> Swept:
        """Files without assets, assets without files, inputs that nobody used."""
        raise NotImplementedError

    @activity.defn(name="sweeping.audit")
    async def audit(self) -> Swept:
        """What the database says by itself: balances, holds, parked doubts, flagged bills."""
        raise NotImplementedError

    @activity.defn(name="sweeping.record")
    async def record(self, sweep: SweepRecord) -> None:
        """Keep when it ran and what came of it, and tell the metrics."""
        raise NotImplementedError
