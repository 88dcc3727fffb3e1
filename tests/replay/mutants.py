"""Versions of the workflows with two awaited steps the wrong way round, or one left out.

What a careless change would do to a running generation: replay of the corpus has to notice each.
"""

import ast
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import workflows

HOME = Path(workflows.__file__ or "").parent
WORKFLOW_MODULES = (
    "workflows.continuing",
    "workflows.submission",
    "workflows.waiting",
    "workflows.image_to_video",
    "workflows.scene_animation",
    "workflows.talking_avatar",
    "workflows.batch",
)
"""Made anew for a mutant, in the order in which they import each other."""

STEPS: dict[str, tuple[str, ...]] = {
    "workflows.image_to_video": ("run",),
    "workflows.scene_animation": ("run",),
    "workflows.talking_avatar": ("run",),
    "workflows.batch": ("_carry_out", "_start_as_there_is_room", "_pass_the_cancel_on"),
    "workflows.submission": ("_reconcile",),
    "workflows.waiting": ("await_video", "await_completion", "_parked", "fetch_video"),
}
"""Module → the functions whose awaited statements are steps."""

BARE_WAIT = "await workflow.wait_condition("

Bodies = list[ast.stmt]


class Mutant(NamedTuple):
    """One change of one function."""

    module: str
    function: str
    change: str
    source: ast.Module

    def __str__(self) -> str:
        return f"{self.module.removeprefix('workflows.')}.{self.function}: {self.change}"


def mutants() -> Iterator[Mutant]:
    """Every one of them."""
    for module, functions in STEPS.items():
        tree = tree_of(module)
        for function in functions:
            yield from _of(module, tree, function)


@contextmanager
def alive(mutant: Mutant) -> Generator[dict[str, ModuleType]]:
    """The workflow modules with this change in them, by name; the real ones are back afterwards."""
    real = {name: import_module(name) for name in WORKFLOW_MODULES}
    try:
        for name in WORKFLOW_MODULES:
            module = ModuleType(name)
            module.__file__ = real[name].__file__
            sys.modules[name] = module
            tree = mutant.source if name == mutant.module else tree_of(name)
            exec(compile(tree, f"<{mutant}>", "exec"), module.__dict__)
        yield {name: sys.modules[name] for name in WORKFLOW_MODULES}
    finally:
        sys.modules.update(real)


def tree_of(module: str) -> ast.Module:
    """A module as it is."""
    path = HOME / f"{module.removeprefix('workflows.')}.py"
    return ast.parse(path.read_text("utf-8"))


def _of(module: str, tree: ast.Module, function: str) -> Iterator[Mutant]:
    """Each step left out, and each two neighbours swapped."""
    for body, steps in enumerate(_bodies(tree, function)):
        for place, step in enumerate(steps):
            if not _is_step(step):
                continue
            yield Mutant(
                module, function, f"without `{_title(step)}`", _changed(tree, function, body, place)
            )
            after = steps[place + 1 : place + 2]
            if after and _is_step(after[0]):
                change = f"`{_title(after[0])}` before `{_title(step)}`"
                swapped = _changed(tree, function, body, place, swap=True)
                yield Mutant(module, function, change, swapped)


def _bodies(tree: ast.Module, function: str) -> list[Bodies]:
    """Every list of statements in the function, always in the same order."""
    (found,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef) and node.name == function
    ]
    parts = [getattr(node, name, None) for node in ast.walk(found) for name in ("body", "orelse")]
    return [part for part in parts if isinstance(part, list)]


def _changed(
    tree: ast.Module, function: str, body: int, place: int, *, swap: bool = False
) -> ast.Module:
    changed = deepcopy(tree)
    steps = _bodies(changed, function)[body]
    if swap:
        steps[place], steps[place + 1] = steps[place + 1], steps[place]
    else:
        steps[place] = ast.copy_location(ast.Pass(), steps[place])
    return changed


def _is_step(statement: ast.stmt) -> bool:
    """Whether it awaits something, as its whole or for a name or a return.

    A bare wait is none: it commands nothing, so no history shows it.
    """
    value = getattr(statement, "value", None)
    return isinstance(value, ast.Await) and not ast.unparse(value).startswith(BARE_WAIT)


def _title(step: ast.stmt) -> str:
    return ast.unparse(step).partition("(")[0].partition("\n")[0]
