"""`Sweep` takes every look, whatever becomes of the others, and records the whole."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError

from tests.workflows.scripted import Gate, Script, refused
from tests.workflows.theatre import Theatre, cancelled
from workflows.contracts.failures import FailureKind
from workflows.contracts.queues import TaskQueue
from workflows.contracts.sweeps import SweepEnd, SweepRecord, Swept

LOOKS = [
    "sweeping.restart_gone",
    "sweeping.read_bills",
    "sweeping.find_strays",
    "sweeping.tidy_media",
    "sweeping.audit",
]


async def sweeps(theatre: Theatre, script: Script, *args: object) -> WorkflowHandle[Any, Any]:
    workflow_id = f"sweep-{uuid.uuid4().hex}"
    theatre.stagehand.scripts[""] = theatre.stagehand.scripts[workflow_id] = script
    handle: WorkflowHandle[Any, Any] = await theatre.client.start_workflow(
        "Sweep",
        args=args,
        id=workflow_id,
        task_queue=TaskQueue.GENERATIONS,
        result_type=SweepEnd,
    )
    theatre.started.append(handle)
    return handle


async def test_the_looks_are_taken_in_their_order_and_recorded(theatre: Theatre) -> None:
    script = Script()
    before = datetime.now(UTC)

    handle = await sweeps(theatre, script)
    end = await handle.result()

    record = script.last("sweeping.record", SweepRecord)
    assert end == SweepEnd()
    assert script.calls == [*LOOKS, "sweeping.record"]
    assert record.run_id == handle.first_execution_run_id
    assert record.started_at >= before.replace(microsecond=0)


async def test_what_the_looks_came_to_is_added_up(theatre: Theatre) -> None:
    script = (
        Script()
        .on("sweeping.restart_gone", Swept(repaired={"restarted": 2, "released": 1}))
        .on("sweeping.tidy_media", Swept(repaired={"files_deleted": 3}, found={"lost_file": 1}))
        .on("sweeping.audit", Swept(repaired={"released": 1}, found={"unresolved": 4}))
    )

    end = await (await sweeps(theatre, script)).result()

    assert end.repaired == {"restarted": 2, "released": 2, "files_deleted": 3}
    assert end.found == {"lost_file": 1, "unresolved": 4}
    assert end.failed == {}
    recorded = script.last("sweeping.record", SweepRecord)
    assert (recorded.repaired, recorded.found) == (end.repaired, end.found)


async def test_a_look_that_can_not_be_had_hides_no_other(theatre: Theatre) -> None:
    down = refused(FailureKind.PROVIDER_UNREACHABLE, "The provider does not answer.")
    script = (
        Script()
        .on("sweeping.find_strays", down)
        .on("sweeping.audit", Swept(found={"house_loss": 1}))
    )

    end = await (await sweeps(theatre, script)).result()

    assert script.calls == [*LOOKS, "sweeping.record"]
    assert end.failed == {"predictions": "The provider does not answer."}
    assert end.found == {"house_loss": 1}
    assert script.last("sweeping.record", SweepRecord).failed == end.failed


async def test_a_fault_of_ours_is_told_by_its_type_without_its_words(theatre: Theatre) -> None:
    fault = ApplicationError("key=hush", type="KeyError", non_retryable=True)
    script = Script().on("sweeping.audit", fault)

    end = await (await sweeps(theatre, script)).result()

    assert end.failed == {"books": "It failed by KeyError; the worker's log says where."}


async def test_a_look_that_failed_in_part_is_told_beside_what_it_did(theatre: Theatre) -> None:
    half = Swept(repaired={"bills_corrected": 1}, failed="The provider is busy.")
    script = Script().on("sweeping.read_bills", half)

    end = await (await sweeps(theatre, script)).result()

    assert end.repaired == {"bills_corrected": 1}
    assert end.failed == {"bills": "The provider is busy."}


async def test_a_cancel_ends_it_between_its_looks(theatre: Theatre) -> None:
    gate = Gate(Swept())
    script = Script().on("sweeping.find_strays", gate)
    handle = await sweeps(theatre, script)
    await gate.entered.wait()

    await handle.cancel()

    await cancelled(handle)
    assert script.calls == LOOKS[:3]


@pytest.mark.parametrize("args", [["now"], [None], [1, 2]])
async def test_it_takes_any_input(theatre: Theatre, args: list[object]) -> None:
    end = await (await sweeps(theatre, Script(), *args)).result()

    assert end == SweepEnd()
