"""Money is integer micro-USD in every column, every model and every function that touches it.

The sandbox is left out: it stands for the provider, whose JSON names amounts as decimal numbers;
`activities/provider/amounts.py` is where these become micro-USD. Drawings are left out, too: a bar
is so high, and nothing is booked by it.
"""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

import activities
import starter
import workflows
from activities.database.pool import Pool

REPOSITORY = Path(__file__).parents[3]
ROOMS = ("workflows", "activities", "starter")
DRAWINGS = "starter/api/pages/plots.py"
SECONDS = "_s"
"""The unit of what may be a float beside money: how long a video is, or a wait."""

KNOWN = {
    "activities/ledger/repository.py": {"hold", "settle", "release", "_take", "_spend", "_end"},
    "activities/ledger/usage.py": {"report_of", "estimate_of", "_usage", "cheapest_usd_micros"},
    "activities/ledger/limits.py": {"stopped_by", "stopped_by_plan", "stopped_by_cap"},
    "activities/ledger/settings.py": {"day_limit_usd_micros", "_micros"},
    "activities/batches/estimates.py": {"of", "estimate_batch", "over_plan"},
    "activities/provider/amounts.py": {"usd_micros", "quoted_usd_micros"},
    "workflows/contracts/quoting.py": {"quote", "cost", "check_max_cost"},
    "workflows/contracts/texts.py": {"dollars"},
    "starter/cli/spending.py": {"usd_micros", "agreed"},
}
"""Some of those that must be found, so that nothing is proven by finding nothing."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Place(NamedTuple):
    """A function, by its file and name."""

    file: str
    function: Function


def words(node: ast.AST) -> Iterator[str]:
    """Every name that stands in the code under `node`, and every key that is a string."""
    for each in ast.walk(node):
        for field in ("id", "attr", "arg", "name"):
            word = getattr(each, field, None)
            if isinstance(word, str):
                yield word
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def is_of_money(name: str) -> bool:
    return name.isidentifier() and ("usd" in name.split("_") or name in {"dollars", "_micros"})


def functions_of_money(file: str, source: str) -> list[Place]:
    nodes = ast.walk(ast.parse(source))
    functions = [each for each in nodes if isinstance(each, Function)]
    return [Place(file, each) for each in functions if any(map(is_of_money, words(each)))]


def all_functions_of_money() -> list[Place]:
    files = [
        file
        for room in ROOMS
        for file in sorted((REPOSITORY / room).rglob("*.py"))
        if file != REPOSITORY / DRAWINGS
    ]
    return [
        place
        for file in files
        for place in functions_of_money(str(file.relative_to(REPOSITORY)), file.read_text())
    ]


def floats_in(function: Function) -> list[str]:
    """What in a function makes a float, or divides into one: the lines."""
    seconds = {
        id(node)
        for arg in ast.walk(function)
        if isinstance(arg, ast.arg) and arg.arg.endswith(SECONDS) and arg.annotation is not None
        for node in ast.walk(arg.annotation)
    }
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(function)
        if id(node) not in seconds and makes_a_float(node) and isinstance(node, ast.expr | ast.stmt)
    ]


def makes_a_float(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=float()) | ast.Name(id="float"):
            return True
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            return True
        case _:
            return False


def test_no_function_that_touches_money_makes_a_float() -> None:
    places = all_functions_of_money()

    found = {
        f"{place.file}: {place.function.name}: {told}"
        for place in places
        for told in floats_in(place.function)
    }

    assert found == set()
    names = {(place.file, place.function.name) for place in places}
    missed = {(file, name) for file, several in KNOWN.items() for name in several} - names
    assert missed == set(), "functions of money that are not looked at"


@pytest.mark.parametrize(
    "line",
    [
        "return cost_usd_micros / 2",
        "return round(cost_usd_micros * 1.5)",
        "return float(cost_usd_micros)",
        "cost_usd_micros /= 3",
    ],
)
def test_a_float_in_a_function_of_money_is_found(line: str) -> None:
    (place,) = functions_of_money("a.py", f"def half(cost_usd_micros: int):\n    {line}\n")

    assert len(floats_in(place.function)) == 1


def annotated() -> Iterator[tuple[str, str, str]]:
    """File, name and type of all that is annotated and of money: fields, parameters, variables."""
    for room in ROOMS:
        for file in sorted((REPOSITORY / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    yield file.name, node.target.id, ast.unparse(node.annotation)
                elif isinstance(node, ast.arg) and node.annotation is not None:
                    yield file.name, node.arg, ast.unparse(node.annotation)


def test_nothing_of_money_is_declared_a_float() -> None:
    of_money = [each for each in annotated() if is_of_money(each[1])]

    assert [each for each in of_money if "float" in each[2]] == []
    assert len(of_money) > 50


def all_models() -> set[type[BaseModel]]:
    """Every pydantic model of the rooms, after every module of theirs was imported."""
    for room in (workflows, activities, starter):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found: set[type[BaseModel]] = set()
    waiting = [BaseModel]
    while waiting:
        subclasses = set(waiting.pop().__subclasses__()) - found
        found |= subclasses
        waiting += subclasses
    return {model for model in found if model.__module__.split(".")[0] in ROOMS}


def number_types(schema: Any) -> set[str]:
    """The types of JSON that a value of this schema may have, inside lists and objects too."""
    match schema:
        case dict():
            told = schema.get("type")
            inner = set().union(*map(number_types, schema.values())) if schema else set[str]()
            return inner | ({told} if isinstance(told, str) else set())
        case list():
            return set().union(*map(number_types, schema)) if schema else set()
        case _:
            return set()


def test_money_is_an_integer_in_every_schema() -> None:
    fields = {
        (model.__name__, name): number_types(schema)
        for model in all_models()
        for name, schema in model.model_json_schema().get("properties", {}).items()
        if "usd_micros" in name
    }

    assert {at: types for at, types in fields.items() if "number" in types} == {}
    assert {at for at, types in fields.items() if "integer" not in types} == set()
    assert {("Quote", "cost_usd_micros"), ("Usage", "settled_usd_micros")} <= fields.keys()


async def test_every_column_of_money_is_an_integer(database: Pool) -> None:
    rows = await database.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name LIKE '%usd%'"
    )

    columns = {(row[0], row[1]): row[2] for row in rows}

    assert {at: kind for at, kind in columns.items() if kind != "bigint"} == {}
    assert {name for _, name in columns if not name.endswith("usd_micros")} == set()
    tables = {"plans", "balances", "spending", "reservations", "ledger", "bills", "batches"}
    assert tables <= {table for table, _ in columns}
