"""What a run may find broken."""

from enum import StrEnum
from typing import NamedTuple


class Promise(StrEnum):
    """What is promised of every generation, whatever was killed."""

    ENDED = "every generation has ended, or is parked with its evidence"
    EXPLAINED = "none fails but by the provider's or its plan's word"
    ONE_PREDICTION = "at most one prediction at the provider"
    KNOWN_PREDICTION = "every prediction is the one of its generation"
    ONE_VIDEO = "one verified file and one asset of each completed one"
    NO_ORPHAN = "no file without its asset"
    ONE_SETTLEMENT = "each hold ends once"
    NO_OPEN_HOLD = "no hold is open but those of parked ones"
    BALANCED = "balances and spending are the sums of the ledger"
    WITHIN_LIMITS = "no plan's limit is passed"
    BILLED = "users and house have booked what the provider bills"
    KEPT_IDS = "an id that a client has printed exists"


class Breach(NamedTuple):
    """One promise that was not kept, by the id of whom it was not kept for."""

    promise: Promise
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.detail} (promised: {self.promise.value})"
