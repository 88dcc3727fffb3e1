"""Progress: facts from the workflow, and one pure function from them to what people read.

The provider tells no percentage, so within a stage percent is an estimate from the expected time,
and says so. Client, CLI, API and page share `estimate`; nobody counts for himself.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from workflows.contracts.failures import Failure
from workflows.contracts.stages import PARKED, TERMINAL, Stage


class ProgressFacts(BaseModel):
    """The answer of the `progress` query: only what is known, nothing that the clock changes."""

    model_config = ConfigDict(frozen=True)

    generation_id: str
    stage: Stage
    since: datetime
    """When the stage began, aware UTC."""
    started_at: datetime
    expected_s: int | None = None
    """Seconds of generating that are usual for this model and length; None before the terms."""
    generating_since: datetime | None = None
    """When the provider took the job."""
    downloading_since: datetime | None = None
    """When the provider's job was first known to be completed; parking afterwards keeps it."""
    prediction_id: str | None = None
    quoted_usd_micros: int | None = None
    cost_usd_micros: int | None = None
    """Booked; None until settled."""
    money: str = "Nothing is reserved yet."
    failure: Failure | None = None
    """Why it failed, or why it is parked."""


class Progress(BaseModel):
    """What a person reads. `percent` and `eta_s` are estimates."""

    model_config = ConfigDict(frozen=True)

    stage: Stage
    percent: int
    """0 to 100; never smaller for a later clock or a later stage."""
    eta_s: int | None
    """Seconds until the end, as far as one can guess; None when one can't."""
    elapsed_s: int
    message: str
    is_estimate: bool = True


_STARTS_AT: dict[Stage, int] = {
    Stage.ACCEPTED: 0,
    Stage.RESERVING: 1,
    Stage.PROMPTING: 4,
    Stage.STAGING: 6,
    Stage.SUBMITTING: 8,
    Stage.UNRESOLVED: 8,
    Stage.GENERATING: 10,
    Stage.TIMED_OUT: 10,
    Stage.DOWNLOADING: 90,
    Stage.SAVING: 95,
    Stage.SETTLING: 98,
    Stage.COMPLETED: 100,
}
# Generating moves from 20 to 80 (design §4); 10 is the moment of acceptance.
_GENERATING_FROM, _GENERATING_TO = 20, 80
_AFTER_GENERATING_S = 5

_MESSAGES: dict[Stage, str] = {
    Stage.ACCEPTED: "Accepted; waiting for a worker",
    Stage.RESERVING: "Checking the inputs and the quota",
    Stage.PROMPTING: "Making the prompt",
    Stage.STAGING: "Sending the inputs to the provider",
    Stage.SUBMITTING: "Submitting the job",
    Stage.UNRESOLVED: "Parked: finding out whether the provider took the job",
    Stage.GENERATING: "The provider is generating",
    Stage.TIMED_OUT: "Parked: it looks again by itself",
    Stage.DOWNLOADING: "Downloading and verifying the video",
    Stage.SAVING: "Filing the video in the library",
    Stage.SETTLING: "Booking the cost",
    Stage.COMPLETED: "Done",
    Stage.FAILED: "Failed",
    Stage.CANCELLED: "Cancelled",
}


def estimate(facts: ProgressFacts, now: datetime) -> Progress:
    """What to tell at `now` (aware UTC); a clock before `since` counts as `since`."""
    until = facts.since if facts.stage in TERMINAL else now
    elapsed_s = max(0.0, (until - facts.started_at).total_seconds())
    return Progress(
        stage=facts.stage,
        percent=_percent(facts, now),
        eta_s=_eta(facts, now),
        elapsed_s=int(elapsed_s),
        message=_message(facts),
        is_estimate=facts.stage not in TERMINAL,
    )


def _percent(facts: ProgressFacts, now: datetime) -> int:
    if facts.stage in {Stage.FAILED, Stage.CANCELLED}:
        return 100
    if facts.generating_since is None or facts.stage not in {Stage.GENERATING, Stage.TIMED_OUT}:
        return _STARTS_AT[facts.stage]
    if facts.downloading_since is not None:
        # Parked behind the provider's part: what was reached stays reached.
        return _STARTS_AT[Stage.DOWNLOADING]
    # Parked or not, the provider's job goes on, so the share does too.
    share = _share(facts, now)
    return round(_GENERATING_FROM + (_GENERATING_TO - _GENERATING_FROM) * share)


def _share(facts: ProgressFacts, now: datetime) -> float:
    """Between 0 and 1: linear to 0.9 of the expected time, then ever slower, since nobody knows."""
    waited_s = _waited(facts, now)
    expected_s = max(1, facts.expected_s or 60)
    ratio = waited_s / expected_s
    return ratio * 0.9 if ratio <= 1 else 1 - 0.1 / ratio


def _waited(facts: ProgressFacts, now: datetime) -> float:
    since = facts.generating_since or facts.since
    return max(0.0, (now - since).total_seconds())


def _eta(facts: ProgressFacts, now: datetime) -> int | None:
    if facts.stage in TERMINAL:
        return 0
    if facts.stage in PARKED or facts.expected_s is None:
        return None
    if facts.stage is Stage.GENERATING:
        left_s = facts.expected_s - _waited(facts, now)
        return round(left_s) + _AFTER_GENERATING_S if left_s > 0 else None
    if _STARTS_AT[facts.stage] > _STARTS_AT[Stage.GENERATING]:
        return _AFTER_GENERATING_S
    return facts.expected_s + _AFTER_GENERATING_S


def _message(facts: ProgressFacts) -> str:
    if facts.failure is not None:
        return f"{_MESSAGES[facts.stage]}: {facts.failure.message}"
    return _MESSAGES[facts.stage]
