"""Messages from anywhere: bad ones are refused cleanly and never block a workflow."""

import pytest
from temporalio.client import WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from tests.workflows.scripted import Gate, Script
from tests.workflows.theatre import Theatre, facts, raw, reaches, until
from workflows.contracts.activities import PredictionEnd
from workflows.contracts.stages import Stage


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
