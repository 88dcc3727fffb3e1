"""A generation that goes well: its order, its result, and what its history holds."""

from datetime import UTC, datetime

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.sdk.v1 import WorkflowMetadata

from tests.workflows.scripted import MODEL, PREDICTION, PROMPT, VIDEO, Gate, Script, a_request
from tests.workflows.theatre import (
    PAYLOAD_BYTES_MAX,
    STEPS,
    Theatre,
    facts,
    failed,
    history,
    payloads,
    reaches,
)
from workflows.contracts.activities import Download, PredictionEnd, Reserve, Save, Watch
from workflows.contracts.failures import FailureKind
from workflows.contracts.queues import MODEL as MODEL_ATTRIBUTE
from workflows.contracts.queues import OPERATION, SOURCE, STATUS, USER
from workflows.contracts.requests import ImageToVideoRequest
from workflows.contracts.stages import Stage
from workflows.contracts.texts import summary_of

EVENTS_MAX = 55


async def test_the_steps_run_once_and_in_order(theatre: Theatre) -> None:
    script = Script()

    handle = await theatre.start(script)
    await handle.result()

    assert script.calls == STEPS


async def test_the_result_names_the_asset_the_true_size_and_the_cost(theatre: Theatre) -> None:
    handle = await theatre.start(Script())

    result = await handle.result()

    assert result.generation_id == handle.id
    assert result.asset_id == "ast_" + "b" * 26
    assert (result.prediction_id, result.model) == (PREDICTION, MODEL)
    assert (result.duration_s, result.width, result.height) == (5.04, 1280, 720)
    assert result.cost_usd_micros == 500_000
    assert result.warnings == VIDEO.warnings


async def test_each_step_gets_what_the_steps_before_it_found(theatre: Theatre) -> None:
    script = Script()

    handle = await theatre.start(script, a_request(seed=7))
    await handle.result()

    reserve = script.last("ledger.reserve", Reserve)
    watch, download = script.last("provider.poll", Watch), script.last("media.download", Download)
    assert isinstance(reserve.request, ImageToVideoRequest)
    assert (reserve.request.prompt, reserve.request.seed) == (PROMPT, 7)
    assert watch.prediction_id == download.prediction_id == PREDICTION
    assert watch.terms.generation_id == handle.id
    assert (watch.deadline_at - watch.accepted_at).total_seconds() == 600
    assert script.last("library.save", Save).video == VIDEO


async def test_progress_tells_stage_money_and_prediction_on_the_way(theatre: Theatre) -> None:
    poll = Gate(PredictionEnd(state="completed"))
    handle = await theatre.start(Script().on("provider.poll", poll))

    on_the_way = await reaches(handle, Stage.GENERATING)
    poll.opened.set()
    await handle.result()
    at_the_end = await facts(handle)

    assert on_the_way.prediction_id == PREDICTION
    assert on_the_way.generating_since is not None
    assert on_the_way.generating_since <= datetime.now(UTC)
    assert (on_the_way.expected_s, on_the_way.quoted_usd_micros) == (60, 500_000)
    assert on_the_way.money == "$0.50 is reserved."
    assert on_the_way.cost_usd_micros is None
    assert at_the_end.stage is Stage.COMPLETED
    assert (at_the_end.money, at_the_end.cost_usd_micros) == ("$0.50 was booked.", 500_000)


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("ledger.reserve", Stage.RESERVING),
        ("prompts.build_prompt", Stage.PROMPTING),
        ("provider.stage_inputs", Stage.STAGING),
        ("provider.submit", Stage.SUBMITTING),
        ("provider.poll", Stage.GENERATING),
        ("media.download", Stage.DOWNLOADING),
        ("library.save", Stage.SAVING),
        ("ledger.record_usage", Stage.SETTLING),
    ],
)
async def test_progress_names_the_stage_of_the_step_under_way(
    theatre: Theatre, name: str, stage: Stage
) -> None:
    script = Script()
    gate = Gate(RuntimeError("never answered"))
    handle = await theatre.start(script.on(name, gate))

    await gate.entered.wait()

    assert (await facts(handle)).stage is stage
    assert script.calls[-1] == name


async def test_lists_find_it_by_status_and_by_the_hash_of_its_user(theatre: Theatre) -> None:
    poll = Gate(PredictionEnd(state="completed"))
    handle = await theatre.start(Script().on("provider.poll", poll))

    await reaches(handle, Stage.GENERATING)
    under_way = (await handle.describe()).typed_search_attributes
    poll.opened.set()
    await handle.result()
    ended = (await handle.describe()).typed_search_attributes

    assert under_way[USER] == "5f" * 16
    assert under_way[OPERATION] == "image-to-video"
    assert under_way[SOURCE] == "video_studio"
    assert under_way[MODEL_ATTRIBUTE] == MODEL
    assert under_way[STATUS] == "running"
    assert ended[STATUS] == "completed"


async def test_every_step_has_a_summary_for_the_web_ui(theatre: Theatre) -> None:
    handle = await theatre.start(Script())

    await handle.result()

    told = [_summary_of(event) for event in await history(handle) if _schedules(event)]
    assert told == [
        '"quota check: inputs, price, hold"',
        '"the caller\'s prompt"',
        '"upload the inputs to the provider"',
        '"the one paid POST"',
        f'"wait for 5 s 720p by {MODEL}, usually 60 s"',
        '"download and verify the video"',
        '"asset: 5.0 s, 1280x720"',
        '"settle $0.50"',
    ]


async def test_the_current_details_tell_the_web_ui_stage_prediction_and_money(
    theatre: Theatre,
) -> None:
    poll = Gate(PredictionEnd(state="completed"))
    handle = await theatre.start(Script().on("provider.poll", poll))

    await reaches(handle, Stage.GENERATING)
    metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)

    assert "| stage | **generating** since" in metadata.current_details
    assert f"| makes | 5 s 720p by {MODEL} |" in metadata.current_details
    assert f"| prediction | `{PREDICTION}` |" in metadata.current_details
    assert "| money | $0.50 is reserved. |" in metadata.current_details


async def test_the_history_is_small(theatre: Theatre) -> None:
    handle = await theatre.start(Script())

    await handle.result()
    events = await history(handle)

    assert len(events) <= EVENTS_MAX
    sizes = [len(payload.data) for event in events for payload in payloads(event)]
    assert len(sizes) > len(STEPS)
    assert max(sizes) <= PAYLOAD_BYTES_MAX


async def test_the_prompt_stands_in_the_input_and_where_it_is_reserved_only(
    theatre: Theatre,
) -> None:
    handle = await theatre.start(Script())

    await handle.result()
    holders = [
        EventType.Name(event.event_type)
        for event in await history(handle)
        if any(PROMPT.encode() in payload.data for payload in payloads(event))
    ]

    assert holders == [
        "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED",
        "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED",
    ]


async def test_the_user_id_stands_outside_of_payloads_nowhere(theatre: Theatre) -> None:
    user = "someone-with-a-name-of-their-own"
    handle = await theatre.start(Script(), a_request(user_id=user))

    await handle.result()

    described = await handle.describe()
    attributes = [str(pair.value) for pair in described.typed_search_attributes]
    assert user not in " ".join(attributes)


async def test_an_id_that_the_database_refuses_is_refused_before_any_step(
    theatre: Theatre,
) -> None:
    script = Script()

    handle = await theatre.start_as("gen_\x00nul", script)
    told = await failed(handle)

    assert told.kind is FailureKind.INVALID_REQUEST
    assert "workflow id" in told.message
    assert script.calls == []


def test_a_summary_is_one_line_of_a_bounded_length() -> None:
    assert summary_of("It  failed.\nAgain.") == "It failed. Again."
    assert summary_of("é" * 200) == "é" * 98 + "…"
    assert len(summary_of("é" * 200).encode()) <= 200


def _schedules(event: HistoryEvent) -> bool:
    return event.HasField("activity_task_scheduled_event_attributes")


def _summary_of(event: HistoryEvent) -> str:
    return event.user_metadata.summary.data.decode()
