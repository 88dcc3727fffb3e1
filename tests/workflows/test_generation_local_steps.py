"""The short steps of a generation run beside its workflow; by the queue where that fails."""

import pytest
from pydantic import BaseModel
from temporalio.api.enums.v1 import EventType
from temporalio.exceptions import ApplicationError

from tests.workflows.scripted import Gate, Script, terms_of
from tests.workflows.theatre import STEPS, Handle, Theatre, cancelled, history
from workflows.contracts.activities import Booked, PromptBuilt, Reserve, Saved
from workflows.contracts.failures import FailureKind
from workflows.contracts.requests import Operation

LOCAL = ["prompts.build_prompt", "library.save", "ledger.record_usage"]
QUEUED = [step for step in STEPS if step not in LOCAL]
BOOKED = Booked(cost_usd_micros=500_000, money="$0.50 was booked.")
EVENTS_MAX = 45
"""Where each step has its way through a queue, they are 55."""


def a_script(operation: Operation = Operation.IMAGE_TO_VIDEO) -> Script:
    """A generation whose terms are as they are held today."""

    async def reserve(task: Reserve) -> BaseModel:
        return terms_of(task.generation_id, operation=operation, local_steps=True)

    return Script().on("ledger.reserve", reserve)


async def queued(handle: Handle) -> list[str]:
    """The steps that went through a queue."""
    return [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in await history(handle)
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]


async def test_the_short_steps_run_in_their_order_and_through_no_queue(theatre: Theatre) -> None:
    script = a_script()

    handle = await theatre.start(script)
    result = await handle.result()

    assert script.calls == STEPS
    assert await queued(handle) == QUEUED
    assert len(await history(handle)) <= EVENTS_MAX
    assert (result.asset_id, result.prompt_by) == ("ast_" + "b" * 26, "caller")


async def test_the_web_ui_shows_what_a_local_step_is(theatre: Theatre) -> None:
    handle = await theatre.start(a_script())

    await handle.result()

    told = [
        event.user_metadata.summary.data.decode()
        for event in await history(handle)
        if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED
    ]
    assert told == ['"the caller\'s prompt"', '"asset: 5.0 s, 1280x720"', '"settle $0.50"']


async def test_a_prompt_that_an_llm_writes_waits_where_waiting_costs_nothing(
    theatre: Theatre,
) -> None:
    script = a_script(Operation.SCENE_ANIMATION)

    handle = await theatre.start(script, operation=Operation.SCENE_ANIMATION)
    await handle.result()

    assert "prompts.build_prompt" in await queued(handle)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("prompts.build_prompt", PromptBuilt(prompt_by="caller")),
        ("library.save", Saved(asset_id="ast_" + "c" * 26)),
        ("ledger.record_usage", BOOKED),
    ],
)
async def test_what_fails_beside_the_workflow_is_the_queues_to_repeat(
    theatre: Theatre, name: str, answer: BaseModel
) -> None:
    passing = ApplicationError("PostgreSQL is away.")
    script = a_script().on(name, passing, passing, answer)

    handle = await theatre.start(script)
    await handle.result()

    assert script.count(name) == 3
    assert await queued(handle) == [step for step in STEPS if step in {*QUEUED, name}]


async def test_a_cancel_while_it_settles_beside_the_workflow_comes_too_late(
    theatre: Theatre,
) -> None:
    settle = Gate(BOOKED)
    script = a_script().on("ledger.record_usage", settle)
    handle = await theatre.start(script)
    await settle.entered.wait()

    await handle.cancel()
    settle.opened.set()
    result = await handle.result()

    assert result.cost_usd_micros == 500_000
    assert not settle.cancelled.is_set()


async def test_a_cancel_while_the_prompt_is_stored_beside_the_workflow_gives_the_hold_back(
    theatre: Theatre,
) -> None:
    prompt = Gate(PromptBuilt(prompt_by="caller"))
    script = a_script().on("prompts.build_prompt", prompt)
    handle = await theatre.start(script)
    await prompt.entered.wait()

    await handle.cancel()
    prompt.opened.set()
    await cancelled(handle)

    assert script.closed() == (FailureKind.CANCELLED, "release")
    assert script.count("provider.submit") == 0
