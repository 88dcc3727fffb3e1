"""A webhook's hint while a submission is in doubt: where the next look begins, and at once."""

import asyncio

import pytest
from pydantic import BaseModel
from temporalio.api.enums.v1 import EventType

from tests.workflows.scripted import PREDICTION, Gate, Script, refused
from tests.workflows.theatre import PATIENCE_S, Theatre, history, timers, until
from workflows.contracts.activities import Doubt, Reconciled, Submitted, Verdict
from workflows.contracts.failures import FailureKind
from workflows.contracts.hints import SIGNAL, ProviderEvent

OTHER = "fedcba9876543210fedcba9876543210"
AMBIGUOUS = refused(FailureKind.SUBMISSION_AMBIGUOUS, "The reply was lost.")
UNPROVEN = Reconciled(verdict=Verdict.UNPROVEN, evidence="The provider's listing lags.")


async def finds_what_is_hinted(task: Doubt) -> BaseModel:
    if task.hinted is None:
        return UNPROVEN
    return Reconciled(verdict=Verdict.ADOPTED, prediction_id=task.hinted, evidence="Hinted.")


def in_doubt() -> Script:
    return Script().on("provider.submit", AMBIGUOUS).on("provider.reconcile", finds_what_is_hinted)


def hints(script: Script) -> list[str | None]:
    return [task.hinted for _, task in script.asked if isinstance(task, Doubt)]


async def test_a_hint_ends_the_pause_and_is_where_the_next_look_begins(theatre: Theatre) -> None:
    script = in_doubt()
    handle = await theatre.start(script)

    async def pauses() -> bool:
        return bool(timers(await history(handle)))

    await until(pauses)
    await handle.signal(SIGNAL, ProviderEvent(prediction_id=OTHER))
    async with asyncio.timeout(PATIENCE_S):
        result = await handle.result()

    assert result.prediction_id == OTHER
    assert hints(script)[-1] == OTHER
    kinds = [event.event_type for event in await history(handle)]
    assert EventType.EVENT_TYPE_TIMER_CANCELED in kinds


async def test_a_hint_that_comes_while_it_is_sent_is_not_forgotten(theatre: Theatre) -> None:
    sending = Gate(AMBIGUOUS)
    script = Script().on("provider.submit", sending)
    script.on("provider.reconcile", finds_what_is_hinted)
    handle = await theatre.start(script)
    await sending.entered.wait()

    await handle.signal(SIGNAL, ProviderEvent(prediction_id=OTHER))
    await handle.signal(SIGNAL, {"prediction_id": "of another form!"})
    sending.opened.set()
    async with asyncio.timeout(PATIENCE_S):
        result = await handle.result()

    assert result.prediction_id == OTHER
    assert hints(script) == [OTHER]


async def test_the_reply_counts_more_than_a_hint(theatre: Theatre) -> None:
    sending = Gate(Submitted(prediction_id=PREDICTION))
    script = Script().on("provider.submit", sending)
    handle = await theatre.start(script)
    await sending.entered.wait()

    await handle.signal(SIGNAL, ProviderEvent(prediction_id=OTHER))
    sending.opened.set()

    assert (await handle.result()).prediction_id == PREDICTION
    assert hints(script) == []


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="none"),
        pytest.param([None], id="null"),
        pytest.param([OTHER], id="text"),
        pytest.param([[{"prediction_id": OTHER}]], id="list"),
        pytest.param([{}], id="empty"),
        pytest.param([{"prediction_id": None}], id="null id"),
        pytest.param([{"prediction_id": 12345}], id="number"),
        pytest.param([{"prediction_id": "abc"}], id="short"),
        pytest.param([{"prediction_id": "../result"}], id="path"),
        pytest.param([{"prediction_id": OTHER + "\n"}], id="line"),
        pytest.param([{"prediction_id": "a" * 129}], id="long"),
        pytest.param([1, {"prediction_id": OTHER}], id="second"),
    ],
)
async def test_what_names_no_prediction_hints_at_nothing(
    theatre: Theatre, arguments: list[object]
) -> None:
    sending = Gate(AMBIGUOUS)
    script = Script().on("provider.submit", sending)
    script.on("provider.reconcile", UNPROVEN)
    handle = await theatre.start(script)
    await sending.entered.wait()

    await handle.signal(SIGNAL, args=arguments)
    sending.opened.set()
    await until(lambda: hints(script))

    assert set(hints(script)) == {None}
