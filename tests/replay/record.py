"""`python -m tests.replay.record [NAME ...]`: record the histories that later versions must replay.

Without a name it records the scenarios that have no history yet. Each release has its folder, since
its generations may still run; what is recorded for the next one stands in `unreleased`, which a
release renames (`git mv unreleased 0.2.0`). Name a scenario of `unreleased` where a change of the
workflow's commands is meant; the difference of the files then shows the change.
"""

import asyncio
import json
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from tests.replay import companions, generations, successions
from tests.replay.generations import Recorded
from tests.workflows.stagehand import Stagehand
from tests.workflows.theatre import Theatre, playing, skipping_time, with_namespace
from tests.workflows.versions import versioned

HISTORIES = Path(__file__).parent / "histories"
UNRELEASED = HISTORIES / "unreleased"

IN_ONE_RUN = generations.SCENARIOS | companions.SCENARIOS
IN_TWO_RUNS = successions.SCENARIOS
NEXT = "_next"
"""Ends the name of what the second run of two is recorded as."""

NAMES = (*IN_ONE_RUN, *IN_TWO_RUNS, *(f"{name}{NEXT}" for name in IN_TWO_RUNS))
"""Every history that there has to be."""

NEVER_AGAIN = {"cancelled_submitting"}
"""What they prove is that older histories replay."""


class Record(NamedTuple):
    """A recorded history, and the release that it is of."""

    release: str
    name: str
    history: WorkflowHistory

    @property
    def started(self) -> dict[str, JsonValue]:
        """How the workflow was started, as in its first event."""
        return self.history.to_json_dict()["events"][0]["workflowExecutionStartedEventAttributes"]

    @property
    def workflow_type(self) -> str:
        """The name on the wire."""
        kind = self.started["workflowType"]
        assert isinstance(kind, dict)
        return str(kind["name"])


def read(path: Path) -> Record:
    """A record; the workflow's id stands beside its events, or follows from the scenario's name."""
    document = json.loads(path.read_text("utf-8"))
    workflow_id = document.pop("workflowId", id_of(path.stem))
    history = WorkflowHistory.from_json(workflow_id, document)
    return Record(path.parent.name, path.stem, history)


def all_records() -> list[Record]:
    """The corpus, release by release."""
    return [read(path) for path in sorted(HISTORIES.rglob("*.json"))]


def id_of(name: str) -> str:
    """The workflow id under which a scenario is played, from which other ids derive."""
    return f"gen_{name.replace('_', ''):z<26}"


async def record(name: str) -> None:
    """Play one scenario and write what it recorded."""
    if name in IN_ONE_RUN:
        _write(name, *await _in_one_run(name))
        return
    name = name.removesuffix(NEXT)
    for written, history in zip((name, f"{name}{NEXT}"), await _in_two_runs(name), strict=True):
        _write(written, *history)


async def _in_one_run(name: str) -> tuple[str, str]:
    async with skipping_time() as environment, playing(environment.client, Stagehand()) as theatre:
        return await _fetched(await IN_ONE_RUN[name](theatre, environment.sleep, id_of(name)))


async def _in_two_runs(name: str) -> list[tuple[str, str]]:
    program = Path(sysconfig.get_path("scripts")) / "temporal"
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(program), data_converter=pydantic_data_converter
    ) as environment:
        address = environment.client.service_client.config.target_host
        client = await with_namespace(address, "recorded")
        async with versioned(client, Stagehand(), "recorded") as versions:
            await versions.release()
            theatre = Theatre(client, versions.stagehand)
            runs = await IN_TWO_RUNS[name](theatre, versions, id_of(name))
            return [await _fetched(run) for run in runs]


async def _fetched(run: Recorded) -> tuple[str, str]:
    return run.id, (await run.fetch_history()).to_json()


def _write(name: str, workflow_id: str, history: str) -> None:
    document = {"workflowId": workflow_id} | json.loads(history)
    UNRELEASED.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_without_this_machine(document), indent=1)
    (UNRELEASED / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _without_this_machine(value: JsonValue) -> JsonValue:
    """What names folders, hosts and processes: replay reads none of it."""
    match value:
        case dict():
            named = {"stackTrace", "identity"}
            if value.get("kind") == "TASK_QUEUE_KIND_STICKY":
                named.add("name")
            return {
                name: "" if name in named else _without_this_machine(part)
                for name, part in value.items()
            }
        case list():
            return [_without_this_machine(part) for part in value]
        case _:
            return value


async def main(names: Sequence[str]) -> None:
    """Record these scenarios, or those that have no history yet."""
    if forbidden := NEVER_AGAIN & set(names):
        sys.exit(f"{', '.join(sorted(forbidden))}: a new record would prove nothing.")
    for name in names or NAMES:
        if names or not any(HISTORIES.rglob(f"{name}.json")):
            await record(name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
