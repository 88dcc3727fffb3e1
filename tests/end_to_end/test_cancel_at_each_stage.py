"""A cancel at every stage, by real processes: what the provider, the ledger and the files end as.

Every case is played once, most of them side by side; each test looks at what one of them ended as.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from stacks import SMALL, Stack, at_stage, impatient, until, without
from temporalio.client import WorkflowExecutionStatus

from activities.ledger.repository import SQL as LEDGER
from starter import GenerationHandle
from workflows.contracts.queues import TaskQueue
from workflows.contracts.results import Generation
from workflows.contracts.stages import Stage, Status
from workflows.contracts.texts import dollars

Start = Callable[[Stack, str], Awaitable[GenerationHandle]]
Step = Callable[[Stack, GenerationHandle], Awaitable[object]]

pytestmark = pytest.mark.slow

HELD, GIVEN_BACK = ("reserve", False), ("release", False)
BOOKED, BOOKED_FOR_NOW = ("settle", False), ("settle", True)


@dataclass(frozen=True)
class Case:
    """Where a generation is cancelled; its name marks what it sends, so that faults find it."""

    name: str
    start: Start
    there: Step
    """Waits until the generation is where it is to be cancelled."""
    then: Step | None = None
    """What happens after the cancel was asked for."""


@dataclass(frozen=True)
class Ended:
    """What a case ended as."""

    asked: bool
    """Whether the cancel was taken, or came too late."""
    generation: Generation
    jobs: dict[str, str]
    """The provider's jobs of this generation, each with its status."""
    ledger: list[tuple[str, bool]]
    """Movements of money, in order, and whether each is provisional."""
    reservation: str
    held: tuple[int, int]
    """Videos and micro-USD that the user's balance still holds."""
    files: list[Path]
    workflow: WorkflowExecutionStatus | None
    left_behind: object
    """The body of the POST, if it still stands in the database."""


# How each operation is started, with the case's name in what reaches the provider


async def a_picture(stack: Stack, name: str) -> GenerationHandle:
    return await stack.start(name)


async def a_scene(stack: Stack, name: str) -> GenerationHandle:
    return await stack.animate(name, negative_prompt=name)


async def an_avatar(stack: Stack, name: str) -> GenerationHandle:
    return await stack.speak(name)


# Where it is cancelled, and what comes then


def at(*stages: Stage) -> Step:
    async def there(_: Stack, handle: GenerationHandle) -> None:
        await at_stage(handle, *stages)

    return there


async def it_waits_in_the_submit_queue(stack: Stack, handle: GenerationHandle) -> None:
    async def waits() -> bool:
        described = await stack.client.temporal.get_workflow_handle(handle.id).describe()
        pending = described.raw_description.pending_activities
        return any(activity.activity_type.name == "provider.submit" for activity in pending)

    await until(waits)


async def the_post_is_at_the_provider(stack: Stack, handle: GenerationHandle) -> None:
    await until(lambda: stack.jobs_of(handle.id))
    assert (await handle.facts()).stage is Stage.SUBMITTING


async def it_parked_and_its_job_finished_since(stack: Stack, handle: GenerationHandle) -> None:
    await at_stage(handle, Stage.TIMED_OUT)

    async def finished() -> bool:
        return "completed" in (await stack.jobs_of(handle.id)).values()

    await until(finished)


async def it_is_in_doubt(_: Stack, handle: GenerationHandle) -> None:
    """Each `resume` is a look at once, and after a few without proof it parks."""

    async def parked() -> bool:
        await handle.resume()
        return (await handle.facts()).stage is Stage.UNRESOLVED

    await until(parked)


async def nothing_is_given_back_before_it_is_found(stack: Stack, handle: GenerationHandle) -> None:
    await until(lambda: _looked_after_the_cancel(stack, handle.id))
    assert await _reservation(stack, handle.id) == "reserved"
    await stack.mend("list")
    await handle.resume()


WITHOUT_SUBMITTER = (Case("cancelled in the submit queue", a_scene, it_waits_in_the_submit_queue),)
SLOW_UPLOAD = Case("cancelled while staging", an_avatar, at(Stage.STAGING))
SIDE_BY_SIDE = (
    Case("cancelled while prompting", a_scene, at(Stage.PROMPTING)),
    Case("cancelled while submitting", a_picture, the_post_is_at_the_provider),
    Case(
        "cancelled while unresolved",
        a_scene,
        it_is_in_doubt,
        nothing_is_given_back_before_it_is_found,
    ),
    Case("cancelled while generating", a_scene, at(Stage.GENERATING)),
    Case("cancelled while parked", an_avatar, at(Stage.TIMED_OUT)),
    Case("cancelled when finished", an_avatar, it_parked_and_its_job_finished_since),
    Case("cancelled while downloading", a_picture, at(Stage.DOWNLOADING)),
    Case("cancelled when completed", a_scene, at(Stage.COMPLETED)),
)
FAULTS = {
    "upload": {"kind": "slow", "delay_s": 60, "times": 1},
    "chat": {"kind": "slow", "delay_s": 60, "match": "cancelled while prompting"},
    "submit": [
        # Longer than it takes a heartbeat to bring the cancel to the sender.
        {"kind": "slow", "delay_s": 20, "match": "cancelled while submitting"},
        {"kind": "lost_reply", "match": "cancelled while unresolved"},
    ],
    "list": [{"kind": "without_input"}, {"kind": "lag", "lag_s": 3600}],
    "job": [
        {"kind": "hang", "match": "cancelled while submitting"},
        {"kind": "hang", "match": "cancelled while unresolved"},
        {"kind": "hang", "match": "cancelled while generating"},
        {"kind": "hang", "match": "cancelled while parked"},
        {"kind": "work", "work_s": 3, "match": "cancelled when finished"},
    ],
    "download": {"kind": "slow", "delay_s": 10, "match": "cancelled while downloading"},
    "output": SMALL,
}


@pytest.fixture(scope="module")
async def ended(
    whole_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Ended]]:
    """Every case, played to its end, by its name."""
    stack, outcomes = whole_stack, dict[str, Ended]()
    settings = impatient(tmp_path_factory.mktemp("catalogues"), talking_avatar=1)

    async def play(case: Case) -> None:
        outcomes[case.name] = await played(stack, case)

    await stack.faults({})
    without_worker = await a_picture(stack, "cancelled when accepted")
    taken = await without_worker.cancel()
    assert (await without_worker.facts()).stage is Stage.ACCEPTED
    async with stack.worker(*without(TaskQueue.SUBMIT)):
        outcomes["cancelled when accepted"] = await ended_as(stack, without_worker, asked=taken)
        for case in WITHOUT_SUBMITTER:
            await play(case)
        outcomes["cancelled while reserving"] = await cancelled_while_it_reserves(stack)
    await stack.faults(FAULTS)
    async with stack.worker(settings=settings), asyncio.TaskGroup() as cases:
        cases.create_task(play(SLOW_UPLOAD))
        await until(lambda: stack.struck("upload"))
        for case in SIDE_BY_SIDE:
            cases.create_task(play(case))
    yield outcomes
    await stack.faults({})


async def played(stack: Stack, case: Case) -> Ended:
    handle = await case.start(stack, case.name)
    await case.there(stack, handle)
    asked = await handle.cancel()
    if case.then is not None:
        await case.then(stack, handle)
    return await ended_as(stack, handle, asked=asked)


async def cancelled_while_it_reserves(stack: Stack) -> Ended:
    async with stack.locked("balances"):
        handle = await an_avatar(stack, "cancelled while reserving")
        await at_stage(handle, Stage.RESERVING)
        asked = await handle.cancel()
    return await ended_as(stack, handle, asked=asked)


async def ended_as(stack: Stack, handle: GenerationHandle, *, asked: bool) -> Ended:
    await at_stage(handle, Stage.COMPLETED, Stage.FAILED, Stage.CANCELLED)
    workflow = stack.client.temporal.get_workflow_handle(handle.id)
    await until(lambda: _closed(stack, handle.id))
    generation = await handle.read_generation()
    (held,) = await stack.rows(
        "SELECT videos_reserved, reserved_usd_micros FROM balances WHERE user_id = $1",
        generation.user_id,
    )
    return Ended(
        asked=asked,
        generation=generation,
        jobs=await stack.jobs_of(handle.id),
        ledger=[
            (kind, provisional)
            for kind, provisional in await stack.rows(
                "SELECT kind, provisional FROM ledger WHERE generation_id = $1 ORDER BY entry_id",
                handle.id,
            )
        ],
        reservation=await _reservation(stack, handle.id),
        held=(held[0], held[1]),
        files=stack.files_of(handle.id),
        workflow=(await workflow.describe()).status,
        left_behind=await stack.value(
            "SELECT payload FROM submissions WHERE generation_id = $1", handle.id
        ),
    )


async def _closed(stack: Stack, generation_id: str) -> bool:
    described = await stack.client.temporal.get_workflow_handle(generation_id).describe()
    return described.status is not WorkflowExecutionStatus.RUNNING


async def _reservation(stack: Stack, generation_id: str) -> str:
    return await stack.value(
        "SELECT state FROM reservations WHERE generation_id = $1", generation_id
    )


async def _looked_after_the_cancel(stack: Stack, generation_id: str) -> bool:
    """Whether the doubt was looked into once more since the cancel came."""
    handle = stack.client.temporal.get_workflow_handle(generation_id)
    cancel, looks = None, 0
    async for event in handle.fetch_history_events():
        if event.HasField("workflow_execution_cancel_requested_event_attributes"):
            cancel = event.event_id
        completed = event.HasField("activity_task_completed_event_attributes")
        looks += cancel is not None and completed
    return looks > 0


@pytest.mark.parametrize(
    "name",
    [
        "cancelled when accepted",
        "cancelled while reserving",
        "cancelled while prompting",
        "cancelled while staging",
        "cancelled in the submit queue",
    ],
)
async def test_before_the_provider_took_it_nothing_is_sent_and_the_hold_is_given_back(
    ended: dict[str, Ended], name: str
) -> None:
    end = ended[name]

    quoted = end.generation.quoted_usd_micros
    assert quoted
    assert end.asked
    assert end.jobs == {}
    assert end.ledger == [HELD, GIVEN_BACK]
    assert (end.reservation, end.held) == ("released", (0, 0))
    assert_cancelled(end, f"Nothing was charged. The {dollars(quoted)} that was reserved is")
    assert end.generation.cost_usd_micros == 0


@pytest.mark.parametrize(
    "name",
    [
        "cancelled while submitting",
        "cancelled while unresolved",
        "cancelled while generating",
        "cancelled while parked",
    ],
)
async def test_after_the_provider_took_it_the_job_is_dropped_and_the_quote_booked_for_now(
    ended: dict[str, Ended], name: str
) -> None:
    end = ended[name]

    quoted = end.generation.quoted_usd_micros
    assert quoted
    assert end.asked
    assert list(end.jobs.values()) == ["deleted"]
    assert end.ledger == [HELD, BOOKED_FOR_NOW]
    assert (end.reservation, end.held) == ("settled", (0, 0))
    assert_cancelled(end, f"{dollars(quoted)} was booked for now; the provider's bill corrects it.")
    assert end.generation.cost_usd_micros == quoted


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cancelled when finished", "it was taken"),
        ("cancelled while downloading", "it was taken"),
        ("cancelled when completed", "it came too late"),
    ],
)
async def test_after_the_job_is_finished_the_video_is_kept_and_paid(
    ended: dict[str, Ended], name: str, told: str
) -> None:
    end = ended[name]

    generation = end.generation
    assert end.asked is (told == "it was taken")
    assert list(end.jobs.values()) == ["completed"]
    assert end.ledger == [HELD, BOOKED]
    assert (end.reservation, end.held) == ("settled", (0, 0))
    assert (generation.status, generation.error) == (Status.COMPLETED, None)
    assert generation.cost_usd_micros == generation.quoted_usd_micros
    assert generation.asset_id is not None
    assert {str(path) for path in end.files} == {generation.file_path, generation.poster_path}
    assert end.workflow is WorkflowExecutionStatus.COMPLETED
    assert end.left_behind is None


async def test_after_all_cancels_every_balance_is_the_sum_of_its_entries(
    whole_stack: Stack, ended: dict[str, Ended]
) -> None:
    assert len(ended) == len(SIDE_BY_SIDE) + len(WITHOUT_SUBMITTER) + 3

    assert await whole_stack.rows(LEDGER["unbalanced"]) == []


def assert_cancelled(end: Ended, money: str) -> None:
    """It ended without a video, and says what happened to the money."""
    generation = end.generation
    assert generation.status is Status.CANCELLED
    assert generation.error is not None
    assert generation.error.kind == "cancelled"
    assert generation.error.money.startswith(money)
    assert generation.asset_id is None
    assert end.files == []
    assert end.workflow is WorkflowExecutionStatus.CANCELED
    assert end.left_behind is None
