"""Where a generation is, and the one table of legal steps between the places."""

from enum import StrEnum


class Stage(StrEnum):
    """The stage of a generation. Each says what is being done now."""

    ACCEPTED = "accepted"  # recorded; the workflow starts
    RESERVING = "reserving"  # inputs are checked, the quota is held
    PROMPTING = "prompting"  # the prompt is made
    STAGING = "staging"  # inputs go to the provider
    SUBMITTING = "submitting"  # the one paid POST
    UNRESOLVED = "unresolved"  # parked: nobody knows yet whether the provider took the job
    GENERATING = "generating"  # the provider works
    TIMED_OUT = "timed_out"  # parked: the job outlived its deadline or can't be fetched now
    DOWNLOADING = "downloading"  # the output is copied and verified
    SAVING = "saving"  # the asset is recorded
    SETTLING = "settling"  # the money is booked
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Status(StrEnum):
    """What a reader needs of the stage: is it going on, parked, or how did it end."""

    RUNNING = "running"
    TIMED_OUT = "timed_out"
    UNRESOLVED = "unresolved"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_ENDS = frozenset({Stage.FAILED, Stage.CANCELLED})

TRANSITIONS: dict[Stage, frozenset[Stage]] = {
    Stage.ACCEPTED: frozenset({Stage.RESERVING}) | _ENDS,
    Stage.RESERVING: frozenset({Stage.PROMPTING}) | _ENDS,
    Stage.PROMPTING: frozenset({Stage.STAGING}) | _ENDS,
    Stage.STAGING: frozenset({Stage.SUBMITTING}) | _ENDS,
    Stage.SUBMITTING: frozenset({Stage.GENERATING, Stage.UNRESOLVED}) | _ENDS,
    Stage.UNRESOLVED: frozenset({Stage.SUBMITTING, Stage.GENERATING}) | _ENDS,
    Stage.GENERATING: frozenset({Stage.DOWNLOADING, Stage.TIMED_OUT}) | _ENDS,
    Stage.TIMED_OUT: frozenset({Stage.GENERATING, Stage.DOWNLOADING}) | _ENDS,
    Stage.DOWNLOADING: frozenset({Stage.SAVING, Stage.TIMED_OUT}) | _ENDS,
    Stage.SAVING: frozenset({Stage.SETTLING}),
    Stage.SETTLING: frozenset({Stage.COMPLETED}),
    Stage.COMPLETED: frozenset(),
    Stage.FAILED: frozenset(),
    Stage.CANCELLED: frozenset(),
}
"""Once the file is safe (`saving`) only completion is left: a paid video is never given up."""

TERMINAL = frozenset(stage for stage, followers in TRANSITIONS.items() if not followers)
PARKED = frozenset({Stage.UNRESOLVED, Stage.TIMED_OUT})


def may_follow(stage: Stage, following: Stage) -> bool:
    """Whether a generation in `stage` may go to `following`."""
    return following in TRANSITIONS[stage]


def status_of(stage: Stage) -> Status:
    """The status that readers and scripts see for a stage."""
    if stage in TERMINAL or stage in PARKED:
        return Status(stage.value)
    return Status.RUNNING


def stages_of(status: Status) -> tuple[Stage, ...]:
    """Every stage that has this status, for filters."""
    return tuple(stage for stage in Stage if status_of(stage) is status)
