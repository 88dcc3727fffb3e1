"""Input and messages from anywhere: bad ones are refused cleanly and never block a workflow."""

import gc
import inspect
import json
import warnings

import pytest
from temporalio.client import WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from tests.workflows.scripted import Gate, Script, a_request
from tests.workflows.theatre import Theatre, facts, failed, raw, reaches, until
from workflows.contracts.activities import PredictionEnd
from workflows.contracts.failures import FailureKind
from workflows.contracts.stages import Stage


def _json(**changes: object) -> RawValue:
    return raw(json.dumps(a_request(**changes)).encode())


INPUTS = {
    "none at all": [],
    "null": [None],
    "null in JSON": [raw(b"null")],
    "a list": [[a_request()]],
    "a string": ["make me a video"],
    "a number": [42],
    "bytes": [raw(b"\x00\x01", b"binary/plain")],
    "broken JSON": [raw(b'{"user_id": ')],
    "an unknown encoding": [raw(b"{}", b"json/secret")],
    "not UTF-8": [raw(b'{"user_id": "\xff"}')],
    "an unknown field": [_json(colour="blue")],
    "a missing field": [raw(b'{"user_id": "ada"}')],
    "a wrong type": [_json(seed="seven")],
    "NaN": [raw(json.dumps(a_request()).replace('"ada"', "NaN").encode())],
    "an infinite seed": [_json(seed=float("inf"))],
    "a lone surrogate": [raw(json.dumps(a_request(prompt="\ud800")).encode())],
    "a NUL": [_json(prompt="a\x00b")],
    "an integer over 64 bits": [_json(seed=10**30)],
    "a duration that is no integer": [_json(duration_s=5.5)],
    "a foreign path as media": [_json(image={"path": "/etc/passwd"})],
    "an http address": [_json(image={"url": "http://example.com/a.png"})],
    "100,000 brackets": [raw(b"[" * 100_000 + b"]" * 100_000)],
    "a field of 100,000 brackets": [raw(b'{"user_id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")],
    "a prompt beyond every limit": [_json(prompt="x" * 20_001)],
}


@pytest.mark.parametrize("name", INPUTS)
async def test_a_bad_input_ends_failed_before_any_step(theatre: Theatre, name: str) -> None:
    script = Script()

    handle = await theatre.start(script, args=INPUTS[name])
    told = await failed(handle)

    assert told.kind is FailureKind.INVALID_REQUEST
    assert told.money == "Nothing was charged."
    assert told.hint
    assert script.calls == []
    assert (await facts(handle)).stage is Stage.FAILED


async def test_two_inputs_end_failed_though_nobody_can_query_them(theatre: Theatre) -> None:
    script = Script()

    # The workflow's object is never made and its coroutine never awaited: Python may say so here.
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        handle = await theatre.start(script, args=[a_request(), a_request()])
        told = await failed(handle)
        await until(_nothing_waits_to_be_awaited)

    assert told.kind is FailureKind.INVALID_REQUEST
    assert told.message == "input: one JSON object is needed."
    assert script.calls == []


async def test_a_refused_input_is_told_by_its_field_and_never_by_its_value(
    theatre: Theatre,
) -> None:
    handle = await theatre.start(Script(), a_request(seed="hunter2", colour="hunter2"))

    told = await failed(handle)

    assert "seed: Input should be a valid integer" in told.message
    assert "colour: Extra inputs are not permitted" in told.message
    assert "hunter2" not in told.message


async def test_a_thousand_problems_are_told_by_their_first_few(theatre: Theatre) -> None:
    unknown = {f"field_{number}": number for number in range(1000)}

    handle = await theatre.start(Script(), a_request(**unknown))
    told = await failed(handle)

    assert told.message.count("Extra inputs") == 5


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="none"),
        pytest.param([None], id="null"),
        pytest.param([["adopt"]], id="list"),
        pytest.param(["adopt"], id="string"),
        pytest.param([{"decision": "sell"}], id="unknown decision"),
        pytest.param([{"decision": "adopt"}], id="adopt without a prediction"),
        pytest.param([{"decision": "give_up", "prediction_id": "abcd1234"}], id="too much"),
        pytest.param([{"decision": "give_up"}, 1, 2], id="three"),
        pytest.param([raw(b"{broken")], id="broken JSON"),
        pytest.param([raw(b"\x00", b"binary/plain")], id="bytes"),
    ],
)
async def test_a_decision_that_is_none_is_refused_and_blocks_nothing(
    theatre: Theatre, arguments: list[object]
) -> None:
    poll = Gate(PredictionEnd(state="completed"))
    handle = await theatre.start(Script().on("provider.poll", poll))
    await reaches(handle, Stage.GENERATING)

    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("resolve_submission", args=arguments)

    poll.opened.set()
    assert (await handle.result()).generation_id == handle.id


async def test_a_decision_where_nothing_is_in_doubt_is_refused_with_the_stage(
    theatre: Theatre,
) -> None:
    handle = await theatre.start(Script().on("provider.poll", Gate(PredictionEnd(state="gone"))))
    await reaches(handle, Stage.GENERATING)

    with pytest.raises(WorkflowUpdateFailedError) as refusal:
        await handle.execute_update("resolve_submission", {"decision": "give_up"})

    assert isinstance(refusal.value.cause, ApplicationError)
    assert "the generation is generating" in refusal.value.cause.message


@pytest.mark.parametrize("signal", ["resume", "provider_event"])
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([1, {"two": 2}, [3]], id="three"),
        pytest.param([raw(b"\xff\xfe", b"binary/plain")], id="bytes"),
        pytest.param([None], id="null"),
    ],
)
async def test_a_signal_with_any_arguments_has_its_effect(
    theatre: Theatre, signal: str, arguments: list[object]
) -> None:
    script = Script().on("provider.poll", Gate(PredictionEnd(state="gone")))
    script.on("provider.check", PredictionEnd(state="completed"))
    handle = await theatre.start(script)
    await reaches(handle, Stage.GENERATING)

    await handle.signal(signal, args=arguments)

    assert (await handle.result()).generation_id == handle.id


@pytest.mark.parametrize("signal", ["resume", "provider_event", "no_such_signal"])
async def test_a_signal_that_can_not_be_read_blocks_nothing(theatre: Theatre, signal: str) -> None:
    poll = Gate(PredictionEnd(state="completed"))
    handle = await theatre.start(Script().on("provider.poll", poll))
    await reaches(handle, Stage.GENERATING)

    await handle.signal(signal, args=[raw(b"{broken"), raw(b"", b"json/secret")])
    poll.opened.set()

    assert (await handle.result()).generation_id == handle.id


async def test_an_unknown_update_and_an_unknown_query_are_refused(theatre: Theatre) -> None:
    poll = Gate(PredictionEnd(state="completed"))
    handle = await theatre.start(Script().on("provider.poll", poll))
    await reaches(handle, Stage.GENERATING)

    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("accepted")
    with pytest.raises(WorkflowQueryFailedError):
        await handle.query("status")
    poll.opened.set()

    assert (await handle.result()).generation_id == handle.id


async def test_a_message_before_the_first_step_is_over_is_no_harm(theatre: Theatre) -> None:
    reserve = Gate(RuntimeError("never answered"))
    handle = await theatre.start(Script().on("ledger.reserve", reserve))
    await reserve.entered.wait()

    await handle.signal("resume")
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("resolve_submission", {"decision": "give_up"})

    await until(reserve.entered.is_set)
    assert (await facts(handle)).stage is Stage.RESERVING


def _nothing_waits_to_be_awaited() -> bool:
    gc.collect()
    return not any(
        inspect.iscoroutine(thing)
        and thing.__name__ == "run_workflow"
        and inspect.getcoroutinestate(thing) == inspect.CORO_CREATED
        for thing in gc.get_objects()
    )
