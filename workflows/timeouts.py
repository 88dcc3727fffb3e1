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


PATIENT = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""PostgreSQL comes back: no number of attempts, since giving up here would strand money."""

DATABASE = Limits(
    # A few statements: long enough for a busy server, short enough to leave a frozen worker soon.
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=PATIENT,
)

BUILD_PROMPT = Limits(
    # One question to an LLM, at 60 s; a busy one is asked again a few times, then a rule answers.
    start_to_close_timeout=timedelta(seconds=90),
    heartbeat_timeout=timedelta(seconds=20),
    retry_policy=PATIENT,
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

STAGE_INPUTS = Limits(
    start_to_close_timeout=timedelta(minutes=10),
    # Free and repeatable. Who asked waits: after half an hour it is kinder to say no and release.
    schedule_to_close_timeout=timedelta(minutes=30),
    heartbeat_timeout=timedelta(seconds=20),
    retry_policy=PATIENT,
    task_queue=TaskQueue.MEDIA,
)

SUBMIT = Limits(
    # The POST's own limit is 60 s, and the window before it 15 s.
    start_to_close_timeout=timedelta(seconds=90),
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
    task_queue=TaskQueue.SUBMIT,
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

POLL_GRACE = timedelta(minutes=1)
"""Beyond the deadline that the poll itself keeps, before Temporal ends it."""

SUBMIT_PAUSE_MIN = timedelta(seconds=5)
SUBMIT_PAUSE_MAX = timedelta(minutes=2)
SUBMIT_PATIENCE = timedelta(minutes=30)
"""How long a busy or unreachable provider is asked again before the hold is given back."""

PAUSED_PAUSE_MAX = timedelta(minutes=10)
"""While an operator has paused submits: at eleven events a look, a month of it stays below the
51,200 events at which Temporal would end the workflow."""

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

RETENTION = timedelta(days=7)
"""How long the provider keeps predictions and outputs (docs: what-are-predictions)."""


def widening(step: int, first: timedelta, last: timedelta) -> timedelta:
    """The pause before look number `step` (from 0): doubling, up to `last`."""
    return min(last, first * 2 ** min(step, 30))
