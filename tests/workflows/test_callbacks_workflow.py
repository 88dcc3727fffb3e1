"""`Callbacks` decides when a receiver is told again and when it is given up."""

import gc
import inspect
import uuid
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError

from tests.workflows.scripted import Gate, Script, a_request, refused, terms_of
from tests.workflows.theatre import Theatre, cancelled, failed, history, timers, until
from workflows.contracts.activities import ForGeneration, Reserve
from workflows.contracts.callbacks import CallbacksEnd, Delivery, GiveUp
from workflows.contracts.failures import FailureKind
from workflows.contracts.ids import callbacks_id_for
from workflows.contracts.queues import TaskQueue
from workflows.contracts.terms import Terms

Teller = WorkflowHandle[Any, Any]

DONE = Delivery(state="done", delivered_seq=10)
GONE = Delivery(state="refused", delivered_seq=3, failures=1, evidence="it answered with HTTP 410")
DOWN = "it answered with HTTP 503"
ANYTHING: list[object] = [[], ["now"], [1, 2, 3], [None], [{"at": "once"}]]


def once_down() -> Delivery:
    now = datetime.now(UTC)
    return Delivery(state="failed", delivered_seq=3, failures=1, failing_since=now, evidence=DOWN)


class Down:
    """A receiver that fails whenever it is told, counted as the rows do, by the server's clock."""

    def __init__(self) -> None:
        self.failures = 0
        self.since: datetime | None = None

    async def __call__(self, _: object) -> Delivery:
        self.failures += 1
        self.since = self.since or activity.info().started_time
        return Delivery(
            state="failed",
            delivered_seq=3,
            failures=self.failures,
            failing_since=self.since,
            evidence=DOWN,
        )


async def tells(theatre: Theatre, script: Script, args: list[object] | None = None) -> Teller:
    """Start `Callbacks` for a new generation; `args` instead of its id."""
    generation_id = f"gen_{uuid.uuid4().hex[:26]}"
    workflow_id = callbacks_id_for(generation_id)
    theatre.stagehand.scripts[generation_id] = theatre.stagehand.scripts[workflow_id] = script
    handle: Teller = await theatre.client.start_workflow(
        "Callbacks",
        args=[ForGeneration(generation_id=generation_id)] if args is None else args,
        id=workflow_id,
        task_queue=TaskQueue.GENERATIONS,
        result_type=CallbacksEnd,
    )
    theatre.started.append(handle)
    return handle


async def is_pausing(handle: Teller) -> bool:
    return len(timers(await history(handle))) > 0


async def test_it_ends_when_the_generations_end_was_told(theatre: Theatre) -> None:
    script = Script().on("callbacks.deliver", DONE)

    end = await (await tells(theatre, script)).result()

    assert end == CallbacksEnd(state="delivered", delivered_seq=10)
    assert script.calls == ["callbacks.deliver"]


async def test_a_receiver_that_is_down_is_told_again_after_widening_pauses(
    in_no_time: Theatre,
) -> None:
    down = Down()
    script = Script().on("callbacks.deliver", *[down] * 5, DONE)
    handle = await tells(in_no_time, script)

    end = await handle.result()

    assert end.state == "delivered"
    pauses = timers(await history(handle))
    assert [pause.total_seconds() for pause in pauses] == [5, 20, 80, 320, 1280]


async def test_a_receiver_that_is_down_for_a_day_is_given_up_with_its_evidence(
    in_no_time: Theatre,
) -> None:
    down = Down()
    script = Script().on("callbacks.deliver", down)
    handle = await tells(in_no_time, script)

    end = await handle.result()

    assert end == CallbacksEnd(state="given_up", delivered_seq=3, untold=3, evidence=DOWN)
    assert script.last("callbacks.give_up", GiveUp).reason == DOWN
    assert down.failures == 11
    waited = sum(timers(await history(handle)), timedelta())
    assert timedelta(days=1) <= waited < timedelta(days=1, hours=6)


async def test_a_receiver_that_has_gone_for_good_is_given_up_at_once(theatre: Theatre) -> None:
    script = Script().on("callbacks.deliver", GONE)

    end = await (await tells(theatre, script)).result()

    assert (end.state, end.evidence) == ("given_up", GONE.evidence)
    assert script.calls == ["callbacks.deliver", "callbacks.give_up"]


@pytest.mark.parametrize("args", ANYTHING, ids=str)
async def test_a_retry_ends_the_pause_whatever_comes_with_it(
    theatre: Theatre, args: list[object]
) -> None:
    script = Script().on("callbacks.deliver", once_down(), DONE)
    handle = await tells(theatre, script)
    await until(lambda: is_pausing(handle))

    await handle.signal("retry", args=args)

    # Sooner than the pause: it would take five seconds.
    end = await handle.result()
    assert end.state == "delivered"
    fired = [
        event for event in await history(handle) if event.HasField("timer_fired_event_attributes")
    ]
    assert fired == []


async def test_a_person_who_retries_often_does_not_have_it_given_up_sooner(
    theatre: Theatre,
) -> None:
    down = Down()
    script = Script().on("callbacks.deliver", *[down] * 15, DONE)
    handle = await tells(theatre, script)
    for count in range(1, 16):
        await until(lambda count=count: down.failures == count)
        await until(lambda count=count: _timers_started(handle, count))
        await handle.signal("retry")

    end = await handle.result()

    assert end.state == "delivered"
    assert script.count("callbacks.give_up") == 0


async def _timers_started(handle: Teller, count: int) -> bool:
    return len(timers(await history(handle))) == count


async def test_a_cancelled_one_is_given_up_where_people_look(theatre: Theatre) -> None:
    gate = Gate(DONE)
    script = Script().on("callbacks.deliver", gate)
    handle = await tells(theatre, script)
    await gate.entered.wait()

    await handle.cancel()

    await cancelled(handle)
    assert script.last("callbacks.give_up", GiveUp).reason == "cancelled by an operator"


async def test_one_that_is_cancelled_in_its_pause_is_given_up_too(theatre: Theatre) -> None:
    script = Script().on("callbacks.deliver", once_down())
    handle = await tells(theatre, script)
    await until(lambda: is_pausing(handle))

    await handle.cancel()

    await cancelled(handle)
    assert script.count("callbacks.give_up") == 1


async def test_a_generation_without_a_receiver_ends_it_cleanly(theatre: Theatre) -> None:
    error = refused(FailureKind.INVALID_REQUEST, "generation_id: it has no callback_url.")
    handle = await tells(theatre, Script().on("callbacks.deliver", error))

    with pytest.raises(WorkflowFailureError) as ended:
        await handle.result()

    assert isinstance(ended.value.cause, ActivityError)
    assert isinstance(ended.value.cause.cause, ApplicationError)
    assert "callback_url" in ended.value.cause.cause.message


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "not one JSON object"),
        ([{}], "generation_id: Field required"),
        ([None], "one JSON object is needed"),
        (["gen_one"], "Input should be an object"),
        ([{"generation_id": 7}], "generation_id: Input should be a valid string"),
        ([{"claimed": True}], "generation_id: missing"),
        ([{"generation_id": "gen_of_another"}], "workflow id: allowed for this input: callbacks-"),
        ([{"generation_id": "gen\x00"}], "NUL"),
    ],
    ids=str,
)
async def test_bad_input_ends_as_a_clean_failure(
    theatre: Theatre, args: list[object], told: str
) -> None:
    script = Script()

    failure = await failed(await tells(theatre, script, args))

    assert failure.kind is FailureKind.INVALID_REQUEST
    assert told in failure.message
    assert script.calls == []


async def test_two_inputs_are_one_too_many(theatre: Theatre) -> None:
    # The workflow's object is never made and its coroutine never awaited: Python may say so here.
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        told = await failed(await tells(theatre, Script(), [{"generation_id": "gen_one"}, 2]))
        await until(_nothing_waits_to_be_awaited)

    assert told.message == "input: one JSON object is needed."


def _nothing_waits_to_be_awaited() -> bool:
    """Whether the worker has dropped the workflow that never ran: then its warning has come."""
    gc.collect()
    return not any(
        inspect.iscoroutine(thing)
        and thing.__qualname__.endswith(".run_workflow")
        and inspect.getcoroutinestate(thing) == inspect.CORO_CREATED
        for thing in gc.get_objects()
    )


async def test_the_video_is_made_while_its_receiver_takes_nothing(theatre: Theatre) -> None:
    gate = Gate(DONE)
    script = Script().on("callbacks.deliver", gate)
    script.on("ledger.reserve", _terms_with_callback)
    handle = await theatre.start(script, a_request(callback_url="https://hooks.example.com/x"))

    result = await handle.result()

    teller = theatre.client.get_workflow_handle(callbacks_id_for(handle.id))
    assert result.generation_id == handle.id
    assert (await teller.describe()).close_time is None
    gate.opened.set()
    assert (await teller.result())["state"] == "delivered"


async def _terms_with_callback(task: Reserve) -> Terms:
    return terms_of(task.generation_id).model_copy(update={"callback": True})


async def test_a_receiver_that_fails_now_and_then_for_weeks_does_not_fill_the_history(
    in_no_time: Theatre,
) -> None:
    async def now_and_then(_: object) -> Delivery:
        now = activity.info().started_time
        return once_down().model_copy(update={"failing_since": now})

    script = Script().on("callbacks.deliver", *[now_and_then] * 500, DONE)
    handle = await tells(in_no_time, script)

    end = await handle.result()

    assert end.state == "delivered"
    assert len(await history(handle)) < 4300


async def test_a_second_teller_of_the_same_generation_is_not_started(theatre: Theatre) -> None:
    gate = Gate(DONE)
    handle = await tells(theatre, Script().on("callbacks.deliver", gate))
    await gate.entered.wait()

    with pytest.raises(WorkflowAlreadyStartedError):
        await theatre.client.start_workflow(
            "Callbacks", {}, id=handle.id, task_queue=TaskQueue.GENERATIONS
        )
    gate.opened.set()
