"""Recorded histories replay with today's workflows: a release breaks no running generation."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from tests.replay.record import HISTORIES, SCENARIOS, id_of
from tests.replay.reordered import Reordered, Untold
from workers.pools import RUNNER, WORKFLOWS
from workflows.contracts.requests import WORKFLOW_TYPES

STRICT = SandboxedWorkflowRunner(
    restrictions=RUNNER.restrictions.with_import_notification_policy(
        workflow.SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
        | workflow.SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
    )
)


def _history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(id_of(path.stem), path.read_text("utf-8"))


def _replayer(
    workflows: tuple[type, ...] = WORKFLOWS, runner: SandboxedWorkflowRunner = RUNNER
) -> Replayer:
    return Replayer(
        workflows=workflows, workflow_runner=runner, data_converter=pydantic_data_converter
    )


def _input_of(started: dict[str, Any]) -> dict[str, Any]:
    return json.loads(base64.b64decode(started["input"]["payloads"][0]["data"]))


def test_every_scenario_is_recorded_and_every_record_is_a_scenario() -> None:
    assert {path.stem for path in HISTORIES.glob("*.json")} == SCENARIOS.keys()


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_recorded_history_replays(name: str) -> None:
    replayed = await _replayer().replay_workflow(_history(HISTORIES / f"{name}.json"))

    assert replayed.replay_failure is None


async def test_a_reordered_step_is_caught_by_replay() -> None:
    replayer = _replayer((Reordered,))

    with pytest.raises(workflow.NondeterminismError):
        await replayer.replay_workflow(_history(HISTORIES / "happy.json"))


async def test_a_callback_that_is_not_told_any_more_is_caught_by_replay() -> None:
    replayer = _replayer((Untold,))

    with pytest.raises(workflow.NondeterminismError):
        await replayer.replay_workflow(_history(HISTORIES / "told.json"))


def test_a_history_of_every_operation_and_of_every_way_to_start_it_is_recorded() -> None:
    inputs = [json.loads((HISTORIES / f"{name}.json").read_text()) for name in SCENARIOS]
    started = [each["events"][0]["workflowExecutionStartedEventAttributes"] for each in inputs]

    assert {each["workflowType"]["name"] for each in started} >= set(WORKFLOW_TYPES.values())
    assert any(_input_of(each) == {"claimed": True} for each in started)
    assert any("callback_url" in _input_of(each) for each in started)


@pytest.mark.parametrize("name", ["happy", "scene", "avatar", "claimed", "told"])
async def test_the_workflows_run_under_the_strictest_sandbox(name: str) -> None:
    strictly = _replayer(runner=STRICT)

    replayed = await strictly.replay_workflow(_history(HISTORIES / f"{name}.json"))

    assert replayed.replay_failure is None
