"""Scenarios of generations: what is recorded of each operation, and of every way it may take."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError

from tests.workflows.scripted import (
    PREDICTION,
    TO_BE_TOLD,
    VIDEO,
    Gate,
    Script,
    a_request,
    refused,
    terms_of,
)
from tests.workflows.theatre import (
    Handle,
    Theatre,
    facts,
    reaches,
    saw_the_cancel,
    until,
)
from workflows.contracts.activities import (
    PredictionEnd,
    PromptBuilt,
    Reconciled,
    Saved,
    Submitted,
    Verdict,
)
from workflows.contracts.failures import FailureKind
from workflows.contracts.requests import Operation
from workflows.contracts.stages import Stage

Sleep = Callable[[timedelta], Awaitable[None]]
Recorded = WorkflowHandle[Any, Any]
Scenario = Callable[[Theatre, Sleep, str], Awaitable[Recorded]]
"""Plays on a server whose time is skipped, under an id; returns the run that is recorded."""

AMBIGUOUS = refused(FailureKind.SUBMISSION_AMBIGUOUS, "The reply was lost.")
KEY = refused(FailureKind.PROVIDER_REFUSED_KEY, "The provider refuses our key.")
FULL = refused(FailureKind.STORE_FULL, "The media store is full.")
ADOPTED = Reconciled(
    verdict=Verdict.ADOPTED, prediction_id=PREDICTION, evidence="Found by its staged URL."
)
ABSENT = Reconciled(verdict=Verdict.ABSENT, evidence="A person decided to submit again.")
UNPROVEN = Reconciled(verdict=Verdict.UNPROVEN, evidence="The listing is not complete.")
RUNNING = PredictionEnd(state="running")
COMPLETED = PredictionEnd(state="completed")
TAKEN = Submitted(prediction_id=PREDICTION)


async def happy(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A video without any trouble."""
    return await _ended(await theatre.start_as(generation_id, Script()))


async def local(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A video whose short steps run beside its workflow."""
    terms = terms_of(generation_id, local_steps=True)
    return await _ended(await theatre.start_as(generation_id, Script().on("ledger.reserve", terms)))


async def local_then_queued(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """The same, where these steps fail there and go on by the queue."""
    away = ApplicationError("PostgreSQL is away.")
    script = Script().on("ledger.reserve", terms_of(generation_id, local_steps=True))
    script.on("prompts.build_prompt", away, PromptBuilt(prompt_by="caller"))
    script.on("library.save", away, Saved(asset_id="ast_" + "c" * 26))
    return await _ended(await theatre.start_as(generation_id, script))


async def scene(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A scene animation without any trouble."""
    operation = Operation.SCENE_ANIMATION
    return await _ended(await theatre.start_as(generation_id, Script(), operation=operation))


async def avatar(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A talking avatar without any trouble."""
    operation = Operation.TALKING_AVATAR
    return await _ended(await theatre.start_as(generation_id, Script(), operation=operation))


async def claimed(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A scene animation whose request stands in the database, as a batch starts it."""
    return await _ended(
        await theatre.start_as(
            generation_id, Script(), {"claimed": True}, operation=Operation.SCENE_ANIMATION
        )
    )


async def told(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A video whose stages are told to a callback_url."""
    request = a_request(callback_url="https://example.com/hook")
    return await _ended(await theatre.start_as(generation_id, Script(), request))


async def refusal_told(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A refusal at the quota check, told to a callback_url."""
    script = Script().on("ledger.reserve", refused(FailureKind.QUOTA_EXCEEDED))
    script.on("ledger.close", TO_BE_TOLD)
    request = a_request(callback_url="https://example.com/hook")
    return await _ended(await theatre.start_as(generation_id, script, request))


async def busy(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A provider that is busy once."""
    script = Script().on("provider.submit", refused(FailureKind.PROVIDER_OVERLOADED), TAKEN)
    return await _ended(await theatre.start_as(generation_id, script))


async def reconciled(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A lost reply; the prediction is found at the third look."""
    script = Script().on("provider.submit", AMBIGUOUS)
    script.on("provider.reconcile", UNPROVEN, UNPROVEN, ADOPTED)
    return await _ended(await theatre.start_as(generation_id, script))


async def _unresolved(theatre: Theatre, sleep: Sleep, generation_id: str, script: Script) -> Handle:
    handle = await theatre.start_as(generation_id, script)
    await until(lambda: script.count("provider.reconcile") == 1)
    while (await facts(handle)).stage is not Stage.UNRESOLVED:
        await sleep(timedelta(seconds=10))
    return handle


async def unresolved_then_adopted(theatre: Theatre, sleep: Sleep, generation_id: str) -> Recorded:
    """A lost reply that nothing proves, until a person names the prediction."""
    script = Script().on("provider.submit", AMBIGUOUS)
    script.on("provider.reconcile", UNPROVEN).on("provider.resolve", ADOPTED)
    handle = await _unresolved(theatre, sleep, generation_id, script)
    decision = {"decision": "adopt", "prediction_id": PREDICTION}
    await handle.execute_update("resolve_submission", decision)
    return await _ended(handle)


async def resubmitted(theatre: Theatre, sleep: Sleep, generation_id: str) -> Recorded:
    """A lost reply that nothing proves; a person has it submitted again."""
    script = Script().on("provider.submit", AMBIGUOUS, TAKEN)
    script.on("provider.reconcile", UNPROVEN).on("provider.resolve", ABSENT)
    handle = await _unresolved(theatre, sleep, generation_id, script)
    await handle.execute_update("resolve_submission", {"decision": "resubmit"})
    return await _ended(handle)


async def given_up(theatre: Theatre, sleep: Sleep, generation_id: str) -> Recorded:
    """A lost reply that nothing proves; a person gives up."""
    script = Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", UNPROVEN)
    handle = await _unresolved(theatre, sleep, generation_id, script)
    await handle.execute_update("resolve_submission", {"decision": "give_up"})
    return await _ended(handle)


async def event_beside_poll(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """The provider's webhook beside the poll; at the second look the job is completed."""
    poll = Gate(RUNNING)
    script = Script().on("provider.poll", poll).on("provider.check", RUNNING, COMPLETED)
    handle = await theatre.start_as(generation_id, script)
    await poll.entered.wait()
    for looks in (1, 2):
        await handle.signal("provider_event", {"prediction_id": PREDICTION})
        await until(lambda looks=looks: script.count("provider.check") == looks)
    return await _ended(handle)


async def cancelled(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A cancel while the provider works."""
    poll = Gate(RUNNING)
    handle = await theatre.start_as(generation_id, Script().on("provider.poll", poll))
    await poll.entered.wait()
    await handle.cancel()
    return await _ended(handle)


async def cancelled_submitting(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A cancel while it submits, as it was before a queued submission was taken back.

    Its record proves the guard `submission.DROPS_QUEUED`: a new one would hold the guard's marker.
    """
    sending = Gate(TAKEN, outlasts=True)
    handle = await theatre.start_as(generation_id, Script().on("provider.submit", sending))
    await sending.entered.wait()
    await handle.cancel()
    await saw_the_cancel(handle)
    sending.opened.set()
    return await _ended(handle)


async def parked_resumed(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A key that is refused while polling; mended, resumed and polled again."""
    script = Script().on("provider.poll", KEY, COMPLETED)
    handle = await theatre.start_as(generation_id, script)
    await reaches(handle, Stage.TIMED_OUT)
    await handle.signal("resume")
    return await _ended(handle)


async def overdue(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A job that outlives its deadline; it is found completed at the third look by itself."""
    script = Script().on("provider.poll", RUNNING)
    script.on("provider.check", KEY, KEY, COMPLETED)
    return await _ended(await theatre.start_as(generation_id, script))


async def cancelled_parked(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A cancel of a parked one."""
    script = Script().on("provider.poll", KEY).on("provider.check", KEY)
    handle = await theatre.start_as(generation_id, script)
    await reaches(handle, Stage.TIMED_OUT)
    await handle.cancel()
    return await _ended(handle)


async def fetch_parked(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A video that can't be stored, until there is room."""
    script = Script().on("media.download", FULL, FULL, VIDEO)
    handle = await theatre.start_as(generation_id, script)
    await reaches(handle, Stage.TIMED_OUT)
    await handle.signal("resume")
    return await _ended(handle)


async def lost(theatre: Theatre, _: Sleep, generation_id: str) -> Recorded:
    """A video that is never had: it ends with the provider's retention, on the house."""
    return await _ended(await theatre.start_as(generation_id, Script().on("media.download", FULL)))


async def _ended(handle: Handle) -> Handle:
    with suppress(WorkflowFailureError):
        await handle.result()
    return handle


SCENARIOS: dict[str, Scenario] = {
    play.__name__: play
    for play in (
        *(happy, local, local_then_queued, scene, avatar, claimed, told, refusal_told, busy),
        *(reconciled, unresolved_then_adopted, resubmitted, given_up),
        *(event_beside_poll, cancelled, cancelled_submitting, cancelled_parked),
        *(parked_resumed, overdue, fetch_parked, lost),
    )
}
