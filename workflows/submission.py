"""The paid submission: at most one prediction per generation, whatever becomes of the reply.

submit ──▶ a prediction id                go on
       ├─▶ cancelled before it began      end, the hold is released: nothing was sent
       ├─▶ refused for good               end, the hold is released
       ├─▶ busy, unreachable, held back   wait, submit again: nothing was made
       └─▶ anything else                  reconcile: adopt, or prove absent, or park as unresolved
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from workflows import timeouts
from workflows.continuing import hand_over, start_over, take_up
from workflows.contracts.activities import (
    Doubt,
    Ledger,
    Park,
    Provider,
    Reconciled,
    Resolve,
    Submitted,
    Verdict,
)
from workflows.contracts.failures import Failure, FailureKind, failure
from workflows.contracts.stages import Stage
from workflows.ends import Ended
from workflows.generation import Generation
from workflows.messages import Decision

DROPS_QUEUED = "a cancel drops a queued submission"
"""Histories from before it wait for the submission, queued or not."""

NOT_READ = "Failed decoding arguments"
"""The SDK's words for an input that a worker can't decode. Should they change, it is in doubt."""

_NOTHING_MADE = frozenset(
    {
        FailureKind.PROVIDER_OVERLOADED,
        FailureKind.PROVIDER_UNREACHABLE,
        FailureKind.SUBMITS_PAUSED,
        FailureKind.PLACES_TAKEN,
        FailureKind.INPUT_UNREADABLE,
    }
)

_OUR_OWN = frozenset(
    {FailureKind.SUBMITS_PAUSED, FailureKind.PLACES_TAKEN, FailureKind.INPUT_UNREADABLE}
)
"""Not the provider's doing, so no patience is used up: an operator's pause, our limit in flight,
a worker without the key of payloads.

A pause that the provider asked for is its own doing, whichever submission was told of it.
"""


async def submit(generation: Generation) -> str:
    """Get the one prediction of this generation; returns its id.

    Raises:
        Ended: the provider refused for good, nothing could be sent for too long, a person gave up,
            or a cancel came before anything was made.
    """
    generation.enter(Stage.SUBMITTING)
    prediction_id = await _adopt(generation) if generation.parked is not None else None
    doubts = 0
    while prediction_id is None:
        if doubts > timeouts.DOUBTS_MAX:
            told = failure(
                FailureKind.INTERNAL, "The submission could not be sent, again and again."
            )
            raise Ended(told)
        if doubts > 1:
            # Absent once is a lost request; absent again may be a fault of ours that repeats.
            pause = timeouts.widening(doubts, timeouts.SUBMIT_PAUSE_MIN, timeouts.SUBMIT_PAUSE_MAX)
            await generation.rest(pause, "Submitting again after this.")
        prediction_id = await _send_until_in_doubt(generation) or await _reconcile(generation)
        doubts += 1
    generation.prediction_id = prediction_id
    generation.accepted_at = generation.accepted_at or workflow.now()
    if generation.parked is None:
        generation.told = None
    return prediction_id


async def _adopt(generation: Generation) -> str | None:
    """Take up what the run before this one was parked with; None = there is nothing, so submit.

    Its outcome is waited for even under a cancel: the job is asked about that first.
    """
    try:
        submitted = await generation.to_its_end(_sending(generation, "the prediction, if any"))
    except ActivityError as error:
        told = generation.failure_of(error, FailureKind.SUBMISSION_AMBIGUOUS)
        if told.kind is FailureKind.SUBMISSION_AMBIGUOUS:
            return await _reconcile(generation)
        await start_over(generation)
        return None
    if generation.stage is Stage.UNRESOLVED:
        take_up(generation, Stage.UNRESOLVED)
        if generation.decision is not None:
            generation.decision.answer = "The provider's job is known by now."
            generation.decision = None
    generation.accepted_at = submitted.accepted_at
    return submitted.prediction_id


async def _send_until_in_doubt(generation: Generation) -> str | None:
    """Submit until the provider takes or refuses it. None = it is not known what it did."""
    borne, tries = timedelta(), 0
    while True:
        generation.stop_if_cancelled()
        try:
            return await _send(generation)
        except ActivityError as error:
            if is_cancelled_exception(error):
                # Only one that no worker has begun ends so: the activity outlasts a cancel.
                generation.stop_if_cancelled()
            told = _never_read(error) or generation.failure_of(
                error, FailureKind.SUBMISSION_AMBIGUOUS
            )
            if told.kind is FailureKind.SUBMISSION_AMBIGUOUS:
                return None
            if told.kind not in _NOTHING_MADE:
                raise Ended(told) from None
            generation.stop_if_cancelled()
            provider_at_fault = told.kind not in _OUR_OWN
            if provider_at_fault and borne >= timeouts.SUBMIT_PATIENCE:
                raise Ended(told) from None
            waited = await _pause(generation, told, _wait_for(error, told, tries))
            borne += waited if provider_at_fault else timedelta()
            tries += 1


def _never_read(error: ActivityError) -> Failure | None:
    """Why our code never ran, where a worker could not read the activity's input; else None."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and (cause.type, cause.message) == (None, NOT_READ):
        return failure(FailureKind.INPUT_UNREADABLE, "A worker lacks the key of its payloads.")
    return None


async def _send(generation: Generation) -> str:
    sending = _sending(generation, "the one paid POST")
    try:
        submitted = await asyncio.shield(sending)
    except asyncio.CancelledError:
        await _drop_unless_begun(sending)
        submitted = await sending
    # An earlier run may have got it: what the provider keeps, and how long, counts from then.
    generation.accepted_at = submitted.accepted_at
    return submitted.prediction_id


def _sending(generation: Generation, summary: str) -> "workflow.ActivityHandle[Submitted]":
    return workflow.start_activity_method(
        Provider.submit,
        generation.me,
        summary=summary,
        priority=generation.share,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        **timeouts.SUBMIT,
    )


async def _drop_unless_begun(sending: "workflow.ActivityHandle[Submitted]") -> None:
    """Under a cancel, take a submission back that still waits in its queue.

    Temporal knows whether it does. One that a worker has begun goes on to its outcome, since
    `provider.submit` outlasts the request.
    """
    # What came together with the cancel is heard first: a cancelled handle forgets its outcome.
    await workflow.wait_condition(lambda: True)
    if not sending.done() and workflow.patched(DROPS_QUEUED):
        sending.cancel()


def _wait_for(error: ActivityError, told: Failure, tries: int) -> timedelta:
    """Growing pauses, or the provider's own wish where it is longer, as far as patience goes."""
    if told.kind in _OUR_OWN:
        return timeouts.widening(tries, timeouts.SUBMIT_PAUSE_MIN, timeouts.PAUSED_PAUSE_MAX)
    wished = error.cause.next_retry_delay if isinstance(error.cause, ApplicationError) else None
    own = timeouts.widening(tries, timeouts.SUBMIT_PAUSE_MIN, timeouts.SUBMIT_PAUSE_MAX)
    return max(own, min(wished or timedelta(), timeouts.SUBMIT_PATIENCE))


async def _pause(generation: Generation, told: Failure, pause: timedelta) -> timedelta:
    """Wait before another submission; returns for how long.

    A cancel ends the wait and is looked at by the loop.
    """
    since = workflow.now()
    generation.told = told.while_waiting(generation.generation_id, generation.money)
    generation.enter(Stage.SUBMITTING)
    await generation.rest(pause, f"{told.message} Submitting again after this.")
    return workflow.now() - since


async def _reconcile(generation: Generation) -> str | None:
    """Look until it is known what became of the submission.

    Returns None where it is proven absent, so that it may be sent again. Nothing is released
    meanwhile, even under a cancel.
    """
    looks = take_up(generation, Stage.UNRESOLVED)
    if looks and not generation.cancelled:
        await generation.rest(_between(looks), "Looking again after this.")
    while True:
        reconciled = await _look(generation)
        if generation.decision is not None:
            reconciled = await _decide(generation, generation.decision, reconciled)
        match reconciled.verdict:
            case Verdict.ADOPTED:
                generation.accepted_at = reconciled.accepted_at
                return reconciled.prediction_id
            case Verdict.ABSENT:
                generation.told = None
                generation.enter(Stage.SUBMITTING)
                return None
            case Verdict.IN_FLIGHT | Verdict.UNPROVEN:
                looks += 1
        if looks == timeouts.RECONCILES_BEFORE_PARKING:
            await _park(generation, reconciled.evidence)
        pause = _between(looks)
        if reconciled.look_again_s is not None:
            pause = min(pause, timedelta(seconds=reconciled.look_again_s))
        elif generation.stage is Stage.UNRESOLVED:
            hand_over(generation, looks)
        await generation.rest(pause, f"{reconciled.evidence} Looking again after this.")


def _between(looks: int) -> timedelta:
    return timeouts.widening(looks, timeouts.RECONCILE_PAUSE_MIN, timeouts.RECONCILE_PAUSE_MAX)


async def _look(generation: Generation) -> Reconciled:
    try:
        return await generation.to_its_end(
            workflow.start_activity_method(
                Provider.reconcile,
                Doubt(generation_id=generation.generation_id, hinted=generation.hinted),
                summary="did the provider take the job?",
                **timeouts.RECONCILE,
            )
        )
    except ActivityError as error:
        told = generation.failure_of(error, FailureKind.PROVIDER_UNREACHABLE)
        return Reconciled(verdict=Verdict.UNPROVEN, evidence=told.message)


async def _decide(generation: Generation, decision: Decision, seen: Reconciled) -> Reconciled:
    """Carry out a person's decision, and answer the update that brought it.

    What was found meanwhile counts more than the decision, and a sender at work stops it.
    """
    if seen.verdict in {Verdict.ADOPTED, Verdict.IN_FLIGHT}:
        return _answered(generation, decision, seen)
    if decision.resolution.decision == "give_up":
        # It stays the decision, so that no other one is taken while the ledger closes.
        decision.answer = "Given up; the hold is released."
        told = failure(FailureKind.GIVEN_UP, "A person gave the submission up.")
        raise Ended(told)
    try:
        reconciled = await generation.to_its_end(
            workflow.start_activity_method(
                Provider.resolve,
                Resolve(generation_id=generation.generation_id, resolution=decision.resolution),
                summary=f"a person decided: {decision.resolution.decision}",
                **timeouts.RECONCILE,
            )
        )
    except ActivityError as error:
        told = generation.failure_of(error, FailureKind.PROVIDER_UNREACHABLE)
        reconciled = Reconciled(verdict=Verdict.UNPROVEN, evidence=told.message)
    return _answered(generation, decision, reconciled)


def _answered(generation: Generation, decision: Decision, came_of_it: Reconciled) -> Reconciled:
    generation.decision, decision.answer = None, came_of_it.evidence
    return came_of_it


async def _park(generation: Generation, evidence: str) -> None:
    """Say in every list that a person may decide. It goes on looking by itself."""
    told = failure(
        FailureKind.SUBMISSION_AMBIGUOUS,
        f"It is not known whether the provider took the job. {evidence}",
        generation_id=generation.generation_id,
    )
    booked = await generation.to_its_end(
        workflow.start_activity_method(
            Ledger.park,
            Park(generation_id=generation.generation_id, stage=Stage.UNRESOLVED, failure=told),
            summary="park: unresolved",
            **timeouts.DATABASE,
        )
    )
    generation.told, generation.money = told.with_money(booked.money), booked.money
    generation.enter(Stage.UNRESOLVED)
