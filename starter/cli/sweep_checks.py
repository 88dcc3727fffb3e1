"""`doctor`'s lines on the sweeper: whether it runs, and what it has left to a person."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from temporalio.service import RPCError, RPCStatusCode

from activities.sweeping.findings import Findings, Found
from workflows.contracts.sweeps import SCHEDULE_ID, FindingKind

if TYPE_CHECKING:
    from temporalio.client import Client

    from activities.database.pool import Pool

INTERVALS_MAX = 3
"""A sweep that comes later than this after the one before does not come by itself."""


class Remedy(NamedTuple):
    """What a person does about a kind of finding."""

    needs_a_person: bool
    """False: worth knowing, and nothing is broken."""
    command: str
    """`{subject}` is the example's."""


REMEDIES: dict[FindingKind, Remedy] = {
    FindingKind.UNRESOLVED: Remedy(
        needs_a_person=True,
        command="stillmotion resolve {subject} --adopt/--resubmit/--give-up",
    ),
    FindingKind.LOST_FILE: Remedy(
        needs_a_person=True,
        command="bring the file back from a backup, or: stillmotion assets delete {subject}",
    ),
    FindingKind.UNBALANCED: Remedy(
        needs_a_person=True,
        command="stillmotion pause, and have the ledger looked at before it goes on",
    ),
    FindingKind.STRANDED_HOLD: Remedy(
        needs_a_person=True,
        command="stillmotion show {subject}, and have the ledger looked at",
    ),
    FindingKind.UNBELIEVABLE_BILL: Remedy(
        needs_a_person=True,
        command="compare prediction {subject} with the provider's bill: stillmotion show {subject}",
    ),
    FindingKind.MISSING_BILL: Remedy(
        needs_a_person=True,
        command="look for prediction {subject} on the provider's bill: stillmotion show {subject}",
    ),
    FindingKind.STRAY_PREDICTION: Remedy(
        needs_a_person=False, command="the house books {subject}; see the worker's log for why"
    ),
    FindingKind.UNKNOWN_PREDICTION: Remedy(
        needs_a_person=False, command="does another program use the provider's key?"
    ),
    FindingKind.HOUSE_LOSS: Remedy(
        needs_a_person=False,
        command="stillmotion models, and compare its prices with the provider's",
    ),
}


async def sweeper(pool: "Pool | None", temporal: "Client | None") -> str:
    """When it ran last, and whether it goes on by itself.

    Raises:
        Broken: it should have run since.
    """
    from starter.cli.checks import Broken

    if pool is None or temporal is None:
        return "not looked at: it needs PostgreSQL and Temporal"
    last = await Findings(pool).last_sweep()
    told = f"last run {_ago(last.age)}" if last is not None else "no run yet"
    if last is not None and last.failed:
        told += "; warning: " + "; ".join(f"{look}: {why}" for look, why in last.failed.items())
    try:
        described = await temporal.get_schedule_handle(SCHEDULE_ID).describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return f"warning: {told}, and no schedule; a worker makes it, or: stillmotion sweep"
    if described.schedule.state.paused:
        return f"warning: {told}, and its schedule is paused"
    every = described.schedule.spec.intervals[0].every
    age = last.age if last is not None else datetime.now(UTC) - described.info.created_at
    if age > INTERVALS_MAX * every:
        raise Broken(
            f"{told}, though it should run every {every.total_seconds():.0f} s",
            "stillmotion sweep",
        )
    return f"{told}, every {every.total_seconds():.0f} s"


async def findings(pool: "Pool | None") -> str:
    """What the sweeper could not mend, each kind with an example and what to do.

    Raises:
        Broken: some of it needs a person.
    """
    from starter.cli.checks import Broken

    if pool is None:
        return "not looked at: it needs PostgreSQL"
    found = await Findings(pool).by_kind()
    urgent = [each for each in found if REMEDIES[each.kind].needs_a_person]
    if urgent:
        repair = "; ".join(
            REMEDIES[each.kind].command.format(subject=each.subject) for each in urgent
        )
        raise Broken("; ".join(map(_told, found)), repair)
    if found:
        hints = "; ".join(
            f"{_told(each)}: {REMEDIES[each.kind].command.format(subject=each.subject)}"
            for each in found
        )
        return f"warning: {hints}"
    return "none"


def _told(found: Found) -> str:
    return f"{found.many} {found.kind}, such as {found.subject} ({found.detail})"


def _ago(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds} s ago"
    minutes = seconds // 60
    return f"{minutes} min ago" if minutes < 120 else f"{minutes // 60} h ago"  # noqa: PLR2004 - two hours
