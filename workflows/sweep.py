"""`Sweep`: one round of looks for what a crash, an operator or a lost process left behind.

The looks are independent: one that can't be had is told, and the others are taken all the same. A
Schedule (`workers.schedules`) starts it every few minutes, `stillmotion sweep` at once.
"""

from collections import Counter

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception
from temporalio.types import MethodAsyncNoParam

with workflow.unsafe.imports_passed_through():
    from workflows import timeouts
    from workflows.contracts.failures import FailureKind
    from workflows.contracts.sweeps import WORKFLOW_TYPE, SweepEnd, Sweeping, SweepRecord, Swept
    from workflows.contracts.texts import summary_of
    from workflows.ends import failure_of
    from workflows.timeouts import Limits

Look = MethodAsyncNoParam[Sweeping, Swept]

LOOKS: dict[str, tuple[Look, Limits]] = {
    "workflows": (Sweeping.restart_gone, timeouts.SWEEP),
    "bills": (Sweeping.read_bills, timeouts.SWEEP),
    "predictions": (Sweeping.find_strays, timeouts.SWEEP),
    "media": (Sweeping.tidy_media, timeouts.SWEEP_MEDIA),
    "books": (Sweeping.audit, timeouts.SWEEP),
}
"""What is looked at, in this order: who was restarted, or released, is not found again below."""


@workflow.defn(name=WORKFLOW_TYPE)
class Sweep:
    """One sweep; its id is the Schedule's with the time."""

    def __init__(self) -> None:
        self._swept: dict[str, Swept] = {}

    @workflow.run
    async def run(self, *_: object) -> SweepEnd:
        """Take every look, record what came of them. Takes any input: there is nothing to say."""
        started_at = workflow.now()
        for name in LOOKS:
            self._swept[name] = await self._look(name)
            workflow.set_current_details(self._details())
        end = _merged(self._swept)
        await workflow.execute_activity_method(
            Sweeping.record,
            SweepRecord(run_id=workflow.info().run_id, started_at=started_at, **end.model_dump()),
            summary="keep what came of it",
            **timeouts.DATABASE,
        )
        return end

    async def _look(self, name: str) -> Swept:
        look, limits = LOOKS[name]
        try:
            return await workflow.execute_activity_method(look, summary=f"look at {name}", **limits)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return Swept(failed=_why(error))

    def _details(self) -> str:
        """The Web UI's current details, as Markdown."""
        lines = ["| look | repaired | found | |", "|---|---|---|---|"]
        for name, swept in self._swept.items():
            counts = f"{_counts(swept.repaired)} | {_counts(swept.found)}"
            lines.append(f"| {name} | {counts} | {swept.failed or ''} |")
        return "\n".join(lines)


def _why(error: ActivityError) -> str:
    """Why a look could not be had; what we have no word for is in the worker's log."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type not in set(FailureKind):
        return f"It failed by {cause.type}; the worker's log says where."
    return summary_of(failure_of(error, FailureKind.INTERNAL, "").message)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in counts.items()) or "nothing"


def _merged(swept: dict[str, Swept]) -> SweepEnd:
    repaired: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for each in swept.values():
        repaired.update(each.repaired)
        found.update(each.found)
    failed = {name: each.failed for name, each in swept.items() if each.failed is not None}
    return SweepEnd(repaired=dict(repaired), found=dict(found), failed=failed)
