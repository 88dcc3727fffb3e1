"""Every timeout, retry policy and pause of the workflows, each with its reason.

`run` tells the story, this file the numbers. Temporal owns all retries: the clients have theirs
off.
"""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy

from workflows.contracts.queues import TaskQueue


class Limits(TypedDict, total=False):
    """Where an activity runs, and for how long: the part of its options that is no story."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy
    task_queue: TaskQueue


class LocalLimits(TypedDict):
    """How long a local activity may take: it runs where the workflow does."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    retry_policy: RetryPolicy


PATIENT = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""PostgreSQL comes back: no number of attempts, since giving up here would strand money."""

DATABASE = Limits(
    # A few statements: long enough for a busy server, short enough to leave a frozen worker soon.
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=PATIENT,
)

LOCAL = LocalLimits(
    # Tried once, within the workflow task, whose own limit is 10 s: what takes longer or goes wrong
    # is the queue's, where waiting for PostgreSQL costs no history.
    start_to_close_timeout=timedelta(seconds=5),
    schedule_to_close_timeout=timedelta(seconds=5),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

BUILD_PROMPT = Limits(
    # One question to an LLM, at 75 s at most; a busy one is asked three times, then a rule answers.
    start_to_close_timeout=timedelta(seconds=90),
    heartbeat_timeout=timedelta(seconds=20),
    retry_policy=PATIENT,
    # Where waiting costs nothing: a slow LLM must not keep the ledger from its turn.
    task_queue=TaskQueue.POLL,
)

RESERVE = Limits(
    # Copies URL inputs (at most 200 MB) and decodes them: bounded by their own limits.
    start_to_close_timeout=timedelta(minutes=10),
    heartbeat_timeout=timedelta(seconds=20),
    # Nothing is held yet, so a day without PostgreSQL or the store may end it.
    schedule_to_close_timeout=timedelta(days=1),
    retry_policy=PATIENT,
    task_queue=TaskQueue.MEDIA,
)

RESERVE_AGAIN = Limits(
    # A parked generation's terms, read by the run that continues it: however long PostgreSQL is
    # away, what may be paid for is not given up.
    start_to_close_timeout=timedelta(minutes=10),
    heartbeat_timeout=timedelta(seconds=20),
    retry_policy=PATIENT,
    task_queue=TaskQueue.MEDIA,
)

RESERVE_BATCH = Limits(
    # Up to 500 items; most are a row each, some may be copied from URLs first.
    start_to_close_timeout=timedelta(hours=2),
    heartbeat_timeout=timedelta(seconds=20),
    # As `RESERVE`: nothing is held yet.
    schedule_to_close_timeout=timedelta(days=1),
    retry_policy=PATIENT,
    task_queue=TaskQueue.MEDIA,
)

CLOSE_WAITING = Limits(
    # Up to 500 short transactions.
    start_to_close_timeout=timedelta(minutes=10),
    heartbeat_timeout=timedelta(seconds=20),
    retry_policy=PATIENT,
)

STAGE_INPUTS = Limits(
    start_to_close_timeout=timedelta(minutes=10),
    # Free and repeatable. Who asked waits: after half an hour it is kinder to say no and release.
    schedule_to_close_timeout=timedelta(minutes=30),
    heartbeat_timeout=timedelta(seconds=20),
    retry_policy=PATIENT,
    task_queue=TaskQueue.MEDIA,
)

SUBMIT = Limits(
    # 40 s for a place, a window of 15 s before the POST, whose own limit is 60 s.
    start_to_close_timeout=timedelta(seconds=130),
    heartbeat_timeout=timedelta(seconds=20),
    # Money: the workflow decides about every further attempt, after it has reconciled.
    retry_policy=RetryPolicy(maximum_attempts=1),
    task_queue=TaskQueue.SUBMIT,
)

RECONCILE = Limits(
    # Up to 50 pages and 100 single reads at 30 s each would be longer: then the next look goes on.
    start_to_close_timeout=timedelta(minutes=5),
    schedule_to_close_timeout=timedelta(minutes=15),
    heartbeat_timeout=timedelta(seconds=20),
    retry_policy=PATIENT,
    task_queue=TaskQueue.RECONCILE,
)

CHECK = Limits(
    # One GET at 30 s. A provider that is down for longer leaves the generation parked, not failed.
    start_to_close_timeout=timedelta(seconds=60),
    schedule_to_close_timeout=timedelta(minutes=2),
    retry_policy=PATIENT,
)

WITHDRAW = Limits(
    # After a day without an answer the cancel is booked like a job that can't be stopped.
    start_to_close_timeout=timedelta(minutes=2),
    schedule_to_close_timeout=timedelta(days=1),
    retry_policy=PATIENT,
)

DOWNLOAD = Limits(
    # 2 GiB at 10 Mbit/s take half an hour; decoding has its own five minutes.
    start_to_close_timeout=timedelta(minutes=60),
    heartbeat_timeout=timedelta(seconds=20),
    # Four tries within about a minute, then it parks and looks again later: the provider keeps the
    # file for days.
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=2),
        backoff_coefficient=3,
        maximum_attempts=4,
    ),
    task_queue=TaskQueue.MEDIA,
)

DELIVER = Limits(
    # It waits as long as the generation takes: this only bounds what heartbeats don't show.
    start_to_close_timeout=timedelta(days=1),
    # A killed worker's deliveries are taken over after half a minute; most of them only wait.
    heartbeat_timeout=timedelta(seconds=30),
    # Whatever the receiver does is an answer; what is raised is PostgreSQL's or a worker's end.
    retry_policy=PATIENT,
    task_queue=TaskQueue.POLL,
)

SWEEP = Limits(
    # A thousand describes, five pages of bills, fifty pages of predictions: minutes at most.
    start_to_close_timeout=timedelta(minutes=5),
    heartbeat_timeout=timedelta(seconds=20),
    # The next sweep looks again, so a look that can't be had holds up the others for a while only.
    schedule_to_close_timeout=timedelta(minutes=10),
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=2), maximum_attempts=3),
)

SWEEP_MEDIA = Limits(
    # Once an hour it lists the whole store: a million files of a bucket are a thousand requests.
    start_to_close_timeout=timedelta(minutes=30),
    heartbeat_timeout=timedelta(seconds=20),
    schedule_to_close_timeout=timedelta(minutes=40),
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=2), maximum_attempts=2),
    task_queue=TaskQueue.MEDIA,
)

CALLBACK_PAUSE_MIN = timedelta(seconds=5)
CALLBACK_PAUSE_MAX = timedelta(hours=6)
CALLBACK_PAUSE_FACTOR = 4
"""The widening schedule after a failure: 5, 20, 80 s … 1.4, 5.7 h, then every 6 hours. A restart is
bridged within a minute, an outage of a night with few tries."""

CALLBACK_FAILURES_MIN = 10
CALLBACK_PATIENCE = timedelta(days=1)
"""Both, in a row, before a receiver is given up: the 11th failure comes after 26 hours, and a
person who retries ten times in a minute doesn't hasten it."""

POLL_GRACE = timedelta(minutes=1)
"""Beyond the deadline that the poll itself keeps, before Temporal ends it."""

SUBMIT_PAUSE_MIN = timedelta(seconds=5)
SUBMIT_PAUSE_MAX = timedelta(minutes=2)
SUBMIT_PATIENCE = timedelta(minutes=30)
"""How long a busy or unreachable provider is waited for before the hold is given back."""

PAUSED_PAUSE_MAX = timedelta(minutes=10)
"""While an operator has paused submits, or all places are taken: at eleven events a look, a month
of it stays below the 51,200 events at which Temporal would end the workflow."""

RECONCILE_PAUSE_MIN = timedelta(seconds=2)
RECONCILE_PAUSE_MAX = timedelta(hours=6)
DOUBTS_MAX = 20
"""Submissions in a row whose outcome was in doubt and proven absent: then something of ours is
broken, and history would grow without end."""

RECONCILES_BEFORE_PARKING = 4
"""About half a minute with growing pauses; then lists say so and a person may decide. It goes on
looking by itself all the same."""

PARK_PAUSE_MIN = timedelta(minutes=1)
PARK_PAUSE_MAX = timedelta(hours=6)
"""The widening schedule of a parked generation: 1, 2, 4 … minutes, then every 6 hours."""

STRAY_LOOK_MIN = timedelta(seconds=2)
"""Items of a batch that are nobody's children, since an earlier run of it was terminated, end
without a word: the batch looks after 2, 4, 8 … seconds."""

STRAY_PATIENCE = timedelta(days=1)
"""How long a cancelled batch waits for them: the cancel was passed on, their end is their own, and
one whose workflow was terminated too never says so."""

WINDOW_LOOK_MIN = timedelta(minutes=10)
"""A child says when it ends, not when it parks and so frees its place; no deadline is shorter."""

WINDOW_LOOK_MAX = timedelta(hours=1)
"""A look is eleven events: at one an hour half a year of them stays below the limit."""

RETENTION = timedelta(days=7)
"""How long the provider keeps predictions and outputs (docs: what-are-predictions)."""


def widening(step: int, first: timedelta, last: timedelta, *, factor: int = 2) -> timedelta:
    """The pause before look number `step` (from 0): `factor` times the one before, to `last`."""
    # 15 steps are enough for any schedule, and no factor overflows by then.
    return min(last, first * factor ** min(step, 15))
