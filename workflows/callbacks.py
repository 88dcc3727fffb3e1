"""`Callbacks`: tells a generation's stages to its `callback_url`, and is never in its way.

    deliver ──▶ done     the generation's end was told
            ├─▶ failed   pause, longer each time, and go on where it stopped; at once on `retry`
            └─▶ refused  give up, as after a day of failures

Started by the generation and left alone by it: a receiver that is down delays nobody's video. What
to tell and how far it was told stands in the database; `stillmotion callbacks` shows and retries.
"""

import asyncio

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows import timeouts
    from workflows.contracts import callbacks as contract
    from workflows.contracts.activities import ForGeneration
    from workflows.contracts.callbacks import CallbacksEnd, Delivery, GivenUp, GiveUp
    from workflows.contracts.failures import Failure, FailureKind, failure
    from workflows.contracts.ids import callbacks_id_for
    from workflows.contracts.texts import storable, summary_of
    from workflows.intake import NOTHING, OneInput, parse, raised


@workflow.defn(name=contract.WORKFLOW_TYPE)
class Callbacks(OneInput):
    """Tells one generation's receiver; the workflow id is `callbacks_id_for` the generation."""

    # `OneInput.__new__` takes any number of inputs, to refuse what this signature would choke on.
    @workflow.init
    def __init__(  # pyright: ignore[reportInconsistentConstructor]
        self, raw: RawValue = NOTHING
    ) -> None:
        self._task = _task_in(raw)
        self._woken = False

    @workflow.signal(name=contract.RETRY)
    def retry(self, *_: object) -> None:
        """Look at once. Takes anything: a signal's wrong arguments would wedge the workflow."""
        self._woken = True

    @workflow.run
    async def run(self, raw: RawValue = NOTHING) -> CallbacksEnd:  # noqa: ARG002 - parsed in init
        """Tell what there is and wait for more; pause after a failure; give up after a day."""
        if isinstance(self._task, Failure):
            raise raised(self._task)
        try:
            return await self._tell(self._task)
        except (ActivityError, asyncio.CancelledError) as error:
            if is_cancelled_exception(error):
                # Once a run's cancel was delivered, a further activity is not disturbed by it.
                await self._give_up(self._task, "cancelled by an operator")
            raise

    async def _tell(self, task: ForGeneration) -> CallbacksEnd:
        while True:
            self._woken = False
            seen = await self._deliver(task)
            if seen.state == "done":
                return CallbacksEnd(state="delivered", delivered_seq=seen.delivered_seq)
            if seen.state == "refused" or _is_hopeless(seen):
                given_up = await self._give_up(task, seen.evidence)
                return CallbacksEnd(
                    state="given_up",
                    delivered_seq=seen.delivered_seq,
                    untold=given_up.untold,
                    evidence=seen.evidence,
                )
            await self._pause(seen)
            if workflow.info().is_continue_as_new_suggested():
                # A receiver that fails now and then for weeks; where it stopped is on record.
                workflow.continue_as_new(task)

    async def _deliver(self, task: ForGeneration) -> Delivery:
        workflow.set_current_details("Tells each stage as it comes.")
        return await workflow.execute_activity_method(
            contract.Callbacks.deliver,
            task,
            summary="tell the receiver, and wait for more",
            **timeouts.DELIVER,
        )

    async def _pause(self, seen: Delivery) -> None:
        pause = timeouts.widening(
            seen.failures - 1,
            timeouts.CALLBACK_PAUSE_MIN,
            timeouts.CALLBACK_PAUSE_MAX,
            factor=timeouts.CALLBACK_PAUSE_FACTOR,
        )
        told = f"{seen.failures} failures in a row: {seen.evidence}"
        workflow.set_current_details(f"{told}. The next try is in {pause}.")
        try:
            await workflow.wait_condition(
                lambda: self._woken, timeout=pause, timeout_summary=summary_of(told)
            )
        except TimeoutError:
            return

    async def _give_up(self, task: ForGeneration, reason: str) -> GivenUp:
        given_up = await workflow.execute_activity_method(
            contract.Callbacks.give_up,
            GiveUp(generation_id=task.generation_id, reason=reason),
            summary=summary_of(f"give up: {reason}"),
            **timeouts.DATABASE,
        )
        workflow.set_current_details(
            f"Given up with {given_up.untold} events untold: {reason}."
            f" Again: `stillmotion callbacks retry {task.generation_id}`"
        )
        return given_up


def _is_hopeless(seen: Delivery) -> bool:
    """Whether it failed often enough and for long enough."""
    if seen.failing_since is None or seen.failures < timeouts.CALLBACK_FAILURES_MIN:
        return False
    return workflow.now() - seen.failing_since >= timeouts.CALLBACK_PATIENCE


def _task_in(raw: RawValue) -> ForGeneration | Failure:
    """The generation, where the input names the one that this workflow's id stands for.

    So each generation has one teller at a time, since an id runs once at a time.
    """
    task = parse(raw, ForGeneration)
    if isinstance(task, Failure):
        return task
    if not isinstance(task, ForGeneration):
        return failure(FailureKind.INVALID_REQUEST, "generation_id: missing.")
    wanted = callbacks_id_for(task.generation_id)
    try:
        storable(task.generation_id)
    except ValueError as error:
        return failure(FailureKind.INVALID_REQUEST, f"generation_id: {error}.")
    if workflow.info().workflow_id != wanted:
        return failure(
            FailureKind.INVALID_REQUEST, f"workflow id: allowed for this input: {wanted[:220]}."
        )
    return task
