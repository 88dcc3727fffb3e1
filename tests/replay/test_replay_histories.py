"""Recorded histories replay with today's workflows: a release breaks no running generation."""

import base64
import json
from typing import Any

import pytest
from temporalio import workflow
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from tests.replay.record import NAMES, NEVER_AGAIN, Record, all_records, main
from tests.replay.reordered import Reordered, Untold
from workers.pools import RUNNER, VERSIONED, WORKFLOWS

STRICT = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "workflows"
    ).with_import_notification_policy(
        workflow.SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
        | workflow.SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
    )
)
RECORDS = all_records()
BY_NAME = {record.name: record for record in RECORDS}
EVERY_RECORD = pytest.mark.parametrize(
    "record", RECORDS, ids=[f"{record.release}/{record.name}" for record in RECORDS]
)


def _replayer(workflows: tuple[type, ...] = WORKFLOWS, runner: WorkflowRunner = RUNNER) -> Replayer:
    return Replayer(
        workflows=workflows, workflow_runner=runner, data_converter=pydantic_data_converter
    )


def _wire_names(workflows: tuple[type, ...]) -> set[str | None]:
    return {workflow._Definition.must_from_class(each).name for each in workflows}


def _input_of(record: Record) -> dict[str, Any]:
    given: Any = record.started.get("input")
    return json.loads(base64.b64decode(given["payloads"][0]["data"])) if given else {}


def test_every_scenario_is_recorded_and_every_record_is_a_scenario() -> None:
    assert {record.name for record in RECORDS} == set(NAMES)


@EVERY_RECORD
async def test_a_recorded_history_replays(record: Record) -> None:
    replayed = await _replayer().replay_workflow(record.history)

    assert replayed.replay_failure is None


@EVERY_RECORD
async def test_it_replays_with_the_workflows_of_versioned_workers(record: Record) -> None:
    replayed = await _replayer(VERSIONED).replay_workflow(record.history)

    assert replayed.replay_failure is None


async def test_a_reordered_step_is_caught_by_replay() -> None:
    replayer = _replayer((Reordered,))

    with pytest.raises(workflow.NondeterminismError):
        await replayer.replay_workflow(BY_NAME["happy"].history)


async def test_a_callback_that_is_not_told_any_more_is_caught_by_replay() -> None:
    replayer = _replayer((Untold,))

    with pytest.raises(workflow.NondeterminismError):
        await replayer.replay_workflow(BY_NAME["told"].history)


def test_every_workflow_that_a_worker_serves_has_histories() -> None:
    recorded = {record.workflow_type for record in RECORDS}

    assert recorded == _wire_names(WORKFLOWS) == _wire_names(VERSIONED)


def test_every_way_to_start_a_generation_is_recorded() -> None:
    inputs = [_input_of(record) for record in RECORDS]

    assert {"claimed": True} in inputs
    assert any("callback_url" in each for each in inputs)
    assert any("parked" in each for each in inputs)


@pytest.mark.parametrize("name", sorted(NEVER_AGAIN))
async def test_what_proves_a_guard_is_not_recorded_again(name: str) -> None:
    with pytest.raises(SystemExit, match=name):
        await main([name])


@EVERY_RECORD
async def test_the_workflows_run_under_the_strictest_sandbox(record: Record) -> None:
    strictly = _replayer(runner=STRICT)

    replayed = await strictly.replay_workflow(record.history)

    assert replayed.replay_failure is None
