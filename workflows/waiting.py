"""Waiting for the provider's job, and fetching what it made: no clock gives a paid video up.

    poll ──▶ completed ──▶ download ──▶ a stored video
         ├─▶ failed                     end, the hold is released: the provider refunds failed runs
         └─▶ deadline, key, host, disk  park: look again on a widening schedule, at once on `resume`

A parked generation ends after the provider's retention only, and then the house pays.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows import timeouts
from workflows.continuing import hand_over, take_up
from workflows.contracts.activities import Ledger, Park, PredictionEnd, Provider, Watch, Withdrawn
from workflows.contracts.failures import Failure, FailureKind, failure
from workflows.contracts.queues import TaskQueue
from workflows.contracts.results import StoredVideo
from workflows.contracts.stages import Stage
from workflows.contracts.terms import Terms
from workflows.ends import Ended
from workflows.generation import Generation


async def await_video(generation: Generation, terms: Terms, prediction_id: str) -> StoredVideo:
    """Wait for the provider's job however long it takes, then download and verify its video.

    Raises:
        Ended: as `await_completion` and `fetch_video`.
    """
    await await_completion(generation, terms, prediction_id)
    return await fetch_video(generation, terms, prediction_id)


async def await_completion(generation: Generation, terms: Terms, prediction_id: str) -> None:
    """Return when the provider has completed the job.

    Raises:
        Ended: it failed there, a cancel was carried out, or the provider's retention is over.
    """
    generation.enter(Stage.GENERATING)
    assert generation.accepted_at is not None, "only an accepted job is waited for"
    watch = _watch(generation, terms, prediction_id, generation.accepted_at)
    told = generation.told if generation.parked is not None else None
    looks = take_up(generation, Stage.TIMED_OUT)
    # A cancel that came while the submission ran to its outcome is carried out first.
    if generation.cancelled:
        await _withdraw(generation, watch)
        return
    if told is None:
        # An earlier run may have waited for all of its time.
        in_time = workflow.now() <= watch.deadline_at
        told = await (_poll if in_time else _look)(generation, watch)
    while told is not None and not await _parked(generation, watch, told, looks):
        # It still runs: wait actively for another deadline's time.
        generation.told = None
        generation.enter(Stage.GENERATING)
        watch = _watch(generation, terms, prediction_id, workflow.now())
        told, looks = await _poll(generation, watch), 0


async def _parked(generation: Generation, watch: Watch, told: Failure, step: int) -> bool:
    """Stay parked until the job has ended (True), or is to be polled again (False).

    It is polled again where it still runs and somebody asks for it, or its deadline lies ahead:
    then something else had stopped the poll, and that has passed.
    """
    seen: Failure | None = told
    while seen is not None:
        await _park(generation, seen)
        hand_over(generation, step)
        # A cancel that came while an activity ran is not delivered again to the pause.
        woken = generation.cancelled or await _pause(generation, step)
        if generation.cancelled:
            await _withdraw(generation, watch)
            return True
        seen = await _look(generation, watch)
        runs = seen is not None and seen.kind is FailureKind.DEADLINE_PASSED
        if runs and not generation.cancelled and (woken or workflow.now() < watch.deadline_at):
            return False
        step += 1
    return True


async def fetch_video(generation: Generation, terms: Terms, prediction_id: str) -> StoredVideo:
    """Download and verify, parking for as long as the output can't be had.

    The job is finished and its video kept, so a cancel changes nothing.

    Raises:
        Ended: the provider's retention is over.
    """
    step = 0
    while True:
        try:
            return await generation.download(terms, prediction_id)
        except ActivityError as error:
            told = generation.failure_of(error, FailureKind.OUTPUT_UNUSABLE)
        await _park(generation, told)
        hand_over(generation, step)
        await _pause(generation, step)
        step += 1


def _watch(generation: Generation, terms: Terms, prediction_id: str, since: datetime) -> Watch:
    """How the job is waited for: its deadline counts from `since`."""
    assert generation.accepted_at is not None, "only an accepted job is waited for"
    return Watch(
        terms=terms,
        prediction_id=prediction_id,
        accepted_at=generation.accepted_at,
        deadline_at=since + timedelta(seconds=terms.quote.deadline_s),
    )


async def _poll(generation: Generation, watch: Watch) -> Failure | None:
    """Poll until the job ends. None = completed; a failure = why to park."""
    limit = watch.deadline_at - workflow.now() + timeouts.POLL_GRACE
    polling = workflow.start_activity_method(
        Provider.poll,
        watch,
        summary=f"wait for {watch.terms.title}, usually {watch.terms.quote.expected_s} s",
        task_queue=TaskQueue.POLL,
        schedule_to_close_timeout=limit,
        heartbeat_timeout=timedelta(seconds=watch.terms.heartbeat_timeout_s),
        retry_policy=timeouts.PATIENT,
    )
    try:
        if await _ended_otherwise(generation, watch, polling):
            return None
        return _judge(generation, await polling)
    except ActivityError as error:
        return generation.failure_of(error, FailureKind.DEADLINE_PASSED)
    finally:
        polling.cancel()


async def _ended_otherwise(
    generation: Generation, watch: Watch, polling: "workflow.ActivityHandle[PredictionEnd]"
) -> bool:
    """Whether the job ended, seen by a look beside the poll or a cancel, before the poll did."""
    while True:
        with suppress(asyncio.CancelledError):
            # A cancel that came while a look ran is not delivered again.
            await workflow.wait_condition(
                lambda: polling.done() or generation.woken or generation.cancelled
            )
        # What the poll has seen counts first: a finished job is kept, though nobody can be asked.
        if polling.done():
            return False
        if generation.cancelled:
            polling.cancel()
            await _withdraw(generation, watch)
            return True
        generation.woken = False
        if await _look(generation, watch) is None:
            return True


async def _look(generation: Generation, watch: Watch) -> Failure | None:
    """One look beside the poll, or while parked. None = completed; a failure = why to park."""
    try:
        end = await generation.to_its_end(
            workflow.start_activity_method(
                Provider.check, watch, summary="look once", **timeouts.CHECK
            )
        )
    except ActivityError as error:
        return generation.failure_of(error, FailureKind.PROVIDER_UNREACHABLE)
    return _judge(generation, end)


def _judge(generation: Generation, end: PredictionEnd) -> Failure | None:
    if end.state == "completed":
        return None
    if end.state == "failed":
        raise Ended(failure(end.kind or FailureKind.PROVIDER_FAILED, end.message))
    if end.state == "gone":
        kind, message = FailureKind.PROVIDER_LOST, end.message
    else:
        kind = FailureKind.DEADLINE_PASSED
        message = "The provider's job takes longer than its deadline."
    return failure(kind, message, generation_id=generation.generation_id)


async def _withdraw(generation: Generation, watch: Watch) -> None:
    """Carry a cancel out: a finished job is kept, another one is dropped and booked for now."""
    try:
        # To its end: this may run before the cancel that it carries out is delivered.
        withdrawn = await generation.to_its_end(
            workflow.start_activity_method(
                Provider.withdraw, watch, summary="cancel at the provider", **timeouts.WITHDRAW
            )
        )
    except ActivityError:
        withdrawn = Withdrawn(state="gone")
    match withdrawn.state:
        case "completed":
            return
        case "failed":
            raise Ended(failure(FailureKind.CANCELLED, "Cancelled; the provider's job had failed."))
        case "deleted" | "gone":
            told = failure(FailureKind.CANCELLED, "Cancelled after the provider took the job.")
            raise Ended(told, settle="provisional")


async def _park(generation: Generation, told: Failure) -> None:
    """Say in every list that it waits, and why."""
    if generation.stage is Stage.TIMED_OUT and generation.told == told.with_money(generation.money):
        return
    booked = await generation.to_its_end(
        workflow.start_activity_method(
            Ledger.park,
            Park(generation_id=generation.generation_id, stage=Stage.TIMED_OUT, failure=told),
            summary=f"park: {told.kind.value}",
            **timeouts.DATABASE,
        )
    )
    generation.told, generation.money = told.with_money(booked.money), booked.money
    generation.enter(Stage.TIMED_OUT)


async def _pause(generation: Generation, step: int) -> bool:
    """Wait for the next look. Returns whether somebody asked for it, or a cancel came.

    Raises:
        Ended: the provider has forgotten the job by now.
    """
    assert generation.accepted_at is not None, "only an accepted job parks here"
    if workflow.now() > generation.accepted_at + timeouts.RETENTION:
        days = timeouts.RETENTION.days
        told = failure(
            FailureKind.PROVIDER_LOST,
            f"The provider keeps jobs for {days} days; this one was not had by then.",
        )
        raise Ended(told, settle="house")
    pause = timeouts.widening(step, timeouts.PARK_PAUSE_MIN, timeouts.PARK_PAUSE_MAX)
    return await generation.rest(pause, "parked: the next look is after this")
