"""What the workflows may import, and that every activity is served by exactly one queue."""

import inspect
import subprocess
import sys

from temporalio import activity

from tests.workflows.scripted import Stagehand
from workers.pools import WORKFLOWS
from workers.wiring import Activities, Activity
from workflows.contracts import activities, batches, callbacks, sweeps
from workflows.contracts.queues import TaskQueue

CONTRACTS = (activities, batches, callbacks, sweeps)
EFFECTS = ("asyncpg", "httpx", "av", "obstore", "PIL", "structlog", "pydantic_settings")


def _wire_names(holder: type) -> set[str]:
    """The activities that a class defines, by their names on the wire."""
    definitions = [
        activity._Definition.from_callable(method)  # pyright: ignore[reportPrivateUsage]
        for _, method in inspect.getmembers(holder, inspect.isfunction)
    ]
    return {found.name for found in definitions if found is not None and found.name is not None}


def test_the_workflows_load_no_library_that_has_effects() -> None:
    program = (
        "import sys, workflows.image_to_video;"
        f"print([name for name in {EFFECTS} if name in sys.modules])"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"


def test_every_activity_of_the_contract_is_served_by_exactly_one_queue() -> None:
    stubs = {
        holder for each in CONTRACTS for _, holder in inspect.getmembers(each, inspect.isclass)
    }
    wanted = sorted(name for holder in stubs for name in _wire_names(holder))

    by_queue = Stagehand().activities().by_queue()
    served = sorted(_name(each) for served in by_queue.values() for each in served)

    assert len(wanted) == len(set(wanted)) > 0
    assert served == wanted
    assert by_queue.keys() == set(TaskQueue)


def test_the_implementations_keep_the_names_of_the_contract() -> None:
    modules = {each.__name__ for each in CONTRACTS}
    for part, kind in inspect.get_annotations(Activities, eval_str=True).items():
        stub = next(base for base in kind.__mro__ if base.__module__ in modules)
        assert _wire_names(kind) == _wire_names(stub), part


def test_the_workflow_types_have_their_names_on_the_wire() -> None:
    assert {"ImageToVideo", "SceneAnimation", "TalkingAvatar"} <= {
        workflow.__name__ for workflow in WORKFLOWS
    }


def _name(served: Activity) -> str:
    definition = activity._Definition.must_from_callable(served)  # pyright: ignore[reportPrivateUsage]
    assert definition.name is not None
    return definition.name
