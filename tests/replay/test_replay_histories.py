"""Recorded histories replay with today's workflows: a release breaks no running generation."""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from tests.replay.record import HISTORIES, SCENARIOS
from tests.replay.reordered import Reordered
from workers.pools import RUNNER, WORKFLOWS

STRICT = SandboxedWorkflowRunner(
    restrictions=RUNNER.restrictions.with_import_notification_policy(
        workflow.SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
        | workflow.SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
    )
)


def _history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text("utf-8"))


def _replayer(
    workflows: tuple[type, ...] = WORKFLOWS, runner: SandboxedWorkflowRunner = RUNNER
) -> Replayer:
    return Replayer(
        workflows=workflows, workflow_runner=runner, data_converter=pydantic_data_converter
    )


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


async def test_the_workflows_run_under_the_strictest_sandbox() -> None:
    strictly = _replayer(runner=STRICT)

    replayed = await strictly.replay_workflow(_history(HISTORIES / "happy.json"))

    assert replayed.replay_failure is None
