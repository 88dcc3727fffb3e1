"""What the workflows may import, and that every activity is served by exactly one queue."""

import inspect
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from temporalio import activity

from tests.workflows.stagehand import Stagehand
from workers.pools import WORKFLOWS
from workers.wiring import Activities, Activity
from workflows.contracts import activities, batches, callbacks, sweeps
from workflows.contracts.queues import TaskQueue

CONTRACTS = (activities, batches, callbacks, sweeps)
EFFECTS = (
    *("asyncpg", "httpx", "httpx2", "httpcore", "openai", "av", "obstore", "PIL", "structlog"),
    *("pydantic_settings", "cryptography", "fastapi", "starlette", "uvicorn", "rich", "cyclopts"),
    *("standardwebhooks", "sqlite3"),
)
"""They do I/O. In a workflow asyncpg ends its worker by SIGSEGV, httpx keeps it from starting."""


def _wire_names(holder: type) -> set[str]:
    """The activities that a class defines, by their names on the wire."""
    definitions = [
        activity._Definition.from_callable(method)  # pyright: ignore[reportPrivateUsage]
        for _, method in inspect.getmembers(holder, inspect.isfunction)
    ]
    return {found.name for found in definitions if found is not None and found.name is not None}


LOADED = """
import importlib, pkgutil, sys
room = importlib.import_module({room!r})
for module in pkgutil.walk_packages(room.__path__, "{room}."):
    importlib.import_module(module.name)
    print("looked at", module.name)
print("loaded", *(name for name in {effects} if name in sys.modules))
"""


def _effects_of(room: str, *, beside: Path | None = None) -> tuple[set[str], set[str]]:
    """The modules of a package, and the libraries with effects that importing them all loads."""
    ran = subprocess.run(
        [sys.executable, "-c", LOADED.format(room=room, effects=EFFECTS)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(beside or "")},
    )
    lines = [line.split() for line in ran.stdout.splitlines()]
    return {line[2] for line in lines[:-1]}, set(lines[-1][1:])


def test_the_workflows_load_no_library_that_has_effects() -> None:
    modules, loaded = _effects_of("workflows")

    assert modules >= {f"workflows.{name}" for name in ("batch", "sweep", "contracts.requests")}
    assert loaded == set()


@pytest.mark.parametrize("library", EFFECTS)
def test_the_libraries_that_have_effects_are_known_by_their_right_names(library: str) -> None:
    assert find_spec(library) is not None


def test_a_module_that_loads_one_is_noticed(tmp_path: Path) -> None:
    room = tmp_path / "decisions"
    room.mkdir()
    (room / "__init__.py").touch()
    (room / "innocent.py").touch()
    (room / "guilty.py").write_text("import asyncpg\n", "utf-8")

    modules, loaded = _effects_of("decisions", beside=tmp_path)

    assert modules == {"decisions.innocent", "decisions.guilty"}
    assert loaded == {"asyncpg"}


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
