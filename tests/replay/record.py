"""`python -m tests.replay.record [NAME ...]`: record the histories that later versions must replay.

Without a name it records the scenarios that have no history yet. Name one that has where a change
of the workflow's commands is meant and no generation of an older version runs any more; the
difference of the files then shows the change.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from pydantic import JsonValue
from temporalio.client import WorkflowFailureError

from tests.workflows.scripted import (
    PREDICTION,
    TO_BE_TOLD,
    Gate,
    Script,
    Stagehand,
    a_request,
    refused,
)
from tests.workflows.theatre import (
    Theatre,
    facts,
    playing,
    reaches,
    saw_the_cancel,
    skipping_time,
    until,
)
from workflows.contracts.activities import PredictionEnd, Reconciled, Submitted, Verdict
from workflows.contracts.failures import FailureKind
from workflows.contracts.requests import Operation
from workflows.contracts.stages import Stage

HISTORIES = Path(__file__).parent / "histories"

AMBIGUOUS = refused(FailureKind.SUBMISSION_AMBIGUOUS, "The reply was lost.")
ADOPTED = Reconciled(
    verdict=Verdict.ADOPTED, prediction_id=PREDICTION, evidence="Found by its staged URL."
)
UNPROVEN = Reconciled(verdict=Verdict.UNPROVEN, evidence="The listing is not complete.")
RUNNING = PredictionEnd(state="running")

Sleep = Callable[[timedelta], Awaitable[None]]
Scenario = Callable[[Theatre, Sleep, str], Awaitable[None]]


async def happy(theatre: Theatre, _: Sleep, generation_id: str) -> None:
    """A video without any trouble."""
    handle = await theatre.start_as(generation_id, Script())
    await handle.result()


async def scene(theatre: Theatre, _: Sleep, generation_id: str) -> None:
    """A scene animation without any trouble."""
    handle = await theatre.start_as(generation_id, Script(), operation=Operation.SCENE_ANIMATION)
    await handle.result()


async def avatar(theatre: Theatre, _: Sleep, generation_id: str) -> None:
    """A talking avatar without any trouble."""
    handle = await theatre.start_as(generation_id, Script(), operation=Operation.TALKING_AVATAR)
    await handle.result()


async def claimed(theatre: Theatre, _: Sleep, generation_id: str) -> None:
    """A scene animation whose request stands in the database, as a batch starts it."""
    handle = await theatre.start_as(
        generation_id, Script(), {"claimed": True}, operation=Operation.SCENE_ANIMATION
    )
    await handle.result()


async def told(theatre: Theatre, _: Sleep, generation_id: str) -> None:
    """A video whose stages are told to a callback_url."""
    request = a_request(callback_url="https://example.com/hook")
    handle = await theatre.start_as(generation_id, Script(), request)
    await handle.result()


async def refusal_told(theatre: Theatre, _: Sleep, generation_id: str) -> None:
    """A refusal at the quota check, told to a callback_url."""
    script = Script().on("ledger.reserve", refused(FailureKind.QUOTA_EXCEEDED))
    script.on("ledger.close", TO_BE_TOLD)
    request = a_request(callback_url="https://example.com/hook")
    handle = await theatre.start_as(generation_id, script, request)
    with suppress(WorkflowFailureError):
        await handle.result()


async def reconciled(theatre: Theatre, _: Sleep, generation_id: str) -> None:
    """A lost reply; the prediction is found at the third look."""
    script = Script().on("provider.submit", AMBIGUOUS)
    script.on("provider.reconcile", UNPROVEN, UNPROVEN, ADOPTED)
    handle = await theatre.start_as(generation_id, script)
    await handle.result()


async def unresolved_then_adopted(theatre: Theatre, sleep: Sleep, generation_id: str) -> None:
    """A lost reply that nothing proves, until a person names the prediction."""
    script = Script().on("provider.submit", AMBIGUOUS)
    script.on("provider.reconcile", UNPROVEN).on("provider.resolve", ADOPTED)
    handle = await theatre.start_as(generation_id, script)
    await until(lambda: script.count("provider.reconcile") == 1)
    while (await facts(handle)).stage is not Stage.UNRESOLVED:
        await sleep(timedelta(seconds=10))
    decision = {"decision": "adopt", "prediction_id": PREDICTION}
    await handle.execute_update("resolve_submission", decision)
    await handle.result()


async def cancelled(theatre: Theatre, _: Sleep, generation_id: str) -> None:
    """A cancel while the provider works."""
    poll = Gate(RUNNING)
    handle = await theatre.start_as(generation_id, Script().on("provider.poll", poll))
    await poll.entered.wait()
    await handle.cancel()
    try:
        await handle.result()
    except WorkflowFailureError:
        return
    raise AssertionError("a cancelled generation has no result")


async def cancelled_submitting(theatre: Theatre, _: Sleep, generation_id: str) -> None:
    """A cancel while it submits, as it was before a queued submission was taken back.

    Its record proves the guard `submission.DROPS_QUEUED`: a new one would hold the guard's marker.
    """
    sending = Gate(Submitted(prediction_id=PREDICTION), outlasts=True)
    handle = await theatre.start_as(generation_id, Script().on("provider.submit", sending))
    await sending.entered.wait()
    await handle.cancel()
    await saw_the_cancel(handle)
    sending.opened.set()
    with suppress(WorkflowFailureError):
        await handle.result()


async def parked_resumed(theatre: Theatre, _: Sleep, generation_id: str) -> None:
    """A key that is refused while polling; mended, resumed and polled again."""
    key = refused(FailureKind.PROVIDER_REFUSED_KEY, "The provider refuses our key.")
    script = Script().on("provider.poll", key, PredictionEnd(state="completed"))
    handle = await theatre.start_as(generation_id, script)
    await reaches(handle, Stage.TIMED_OUT)
    await handle.signal("resume")
    await handle.result()


SCENARIOS: dict[str, Scenario] = {
    "happy": happy,
    "scene": scene,
    "avatar": avatar,
    "claimed": claimed,
    "told": told,
    "refusal_told": refusal_told,
    "reconciled": reconciled,
    "unresolved_then_adopted": unresolved_then_adopted,
    "cancelled": cancelled,
    "cancelled_submitting": cancelled_submitting,
    "parked_resumed": parked_resumed,
}


def id_of(name: str) -> str:
    """The workflow id under which a scenario is played, from which other ids derive."""
    return f"gen_{name.replace('_', ''):z<26}"


async def record(name: str) -> str:
    """Play one scenario; returns its history as JSON."""
    generation_id = id_of(name)
    async with (
        skipping_time() as environment,
        playing(environment.client, Stagehand()) as theatre,
    ):
        await SCENARIOS[name](theatre, environment.sleep, generation_id)
        history = await environment.client.get_workflow_handle(generation_id).fetch_history()
        return json.dumps(_without_this_machine(json.loads(history.to_json())), indent=1)


def _without_this_machine(value: JsonValue) -> JsonValue:
    """Stack traces and identities name folders, hosts and processes; replay reads neither."""
    match value:
        case dict():
            return {
                name: "" if name in {"stackTrace", "identity"} else _without_this_machine(part)
                for name, part in value.items()
            }
        case list():
            return [_without_this_machine(part) for part in value]
        case _:
            return value


async def main(names: Sequence[str]) -> None:
    """Record these scenarios, or those that have no history yet."""
    missing = [name for name in SCENARIOS if not (HISTORIES / f"{name}.json").exists()]
    for name in names or missing:
        (HISTORIES / f"{name}.json").write_text(await record(name) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
