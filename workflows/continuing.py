"""A parked generation goes on in a new run: by newer code, or before its history grows too long.

    parked ──▶ hand_over ──▶ a new run: reserve finds the terms, submit the prediction ──▶ parked

People see no difference: stage, reason, money and the schedule of looks are handed over, whatever
else there is stands in the database. A run is pinned to its version of the code, and a generation
may stay parked for days: so an old version's workers can be stopped without losing one.
"""

from temporalio import workflow
from temporalio.workflow import ContinueAsNewVersioningBehavior

from workflows.contracts.requests import Continued, Parked
from workflows.contracts.stages import Stage
from workflows.generation import Generation

HANDS_OVER = "a parked generation goes on in a new run"
"""Histories from before it stay parked in their own run."""


def hand_over(generation: Generation, looks: int) -> None:
    """Where it is due, go on in a new run after `looks` looks; call it while parked only.

    Not while anything is under way: a message that nobody has acted on would be lost with the run.
    One that comes later than this is not: Temporal then has the workflow decide again.

    Raises:
        ContinueAsNewError: it is due.
    """
    if generation.taken_up:
        # It has been in this run for a moment only: were it due again, it would be for ever.
        generation.taken_up = False
        return
    busy = generation.woken or generation.cancelled or not workflow.all_handlers_finished()
    # The patch comes last: it marks the histories of those only that were handed over.
    if busy or not _is_due() or not workflow.patched(HANDS_OVER):
        return
    stage, why = generation.stage, generation.told
    assert stage is Stage.TIMED_OUT or stage is Stage.UNRESOLVED, "only a parked one is handed over"
    assert why is not None, "a parked one says why"
    parked = Parked(
        stage=stage,
        looks=looks,
        why=why,
        since=generation.since,
        hinted=generation.hinted,
        prompt_by=generation.prompt_by,
        warnings=generation.warnings,
    )
    workflow.continue_as_new(
        Continued(parked=parked),
        initial_versioning_behavior=ContinueAsNewVersioningBehavior.AUTO_UPGRADE,
    )


def _is_due() -> bool:
    """Whether another version serves by now (never without versioning), or history is long."""
    info = workflow.info()
    changed = info.is_target_worker_deployment_version_changed()
    return changed or info.is_continue_as_new_suggested()


def take_up(generation: Generation, stage: Stage) -> int:
    """Be parked at `stage` as the run before this one was; returns how many looks it has had.

    Zero where it was parked elsewhere, or there was no run before.
    """
    parked, generation.parked = generation.parked, None
    if parked is None or parked.stage is not stage:
        return 0
    generation.taken_up = True
    workflow.set_current_details(generation.details())
    return parked.looks


async def start_over(generation: Generation) -> None:
    """The input speaks of a run that there was not: take the steps that were left out for it.

    Raises:
        Ended: a cancel came; nothing is submitted yet.
        ActivityError: as the steps.
    """
    generation.parked, generation.told, generation.tells = None, None, False
    if generation.decision is not None:
        generation.decision.answer = "Nothing is in doubt any more: it is submitted again."
        generation.decision = None
    assert generation.terms is not None, "it was reserved"
    generation.enter(Stage.RESERVING)
    await generation.announce(generation.terms)
    generation.stop_if_cancelled()
    await generation.build_prompt("the prompt")
    await generation.stage_inputs()
    generation.enter(Stage.SUBMITTING)
