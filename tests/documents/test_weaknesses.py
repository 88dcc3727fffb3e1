"""Every weakness of the code that this one replaces has a test, or a reason why it needs none."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROWS = re.findall(
    r"^\| (W\d+) \| ([^|]+) \| ([^|]+) \|$",
    (TESTS / "WEAKNESSES.md").read_text("utf-8"),
    re.MULTILINE,
)
SHOWN_BY = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_every_weakness_stands_in_the_table_once() -> None:
    assert [number for number, _, _ in ROWS] == [f"W{number}" for number in range(1, 52)]


@pytest.mark.parametrize(("number", "shown_by"), [(row[0], row[2]) for row in ROWS])
def test_what_shows_that_a_weakness_is_gone_is_there(number: str, shown_by: str) -> None:
    named = SHOWN_BY.findall(shown_by)
    missing = [name for file, name in named if f"def {name}(" not in (TESTS / file).read_text()]

    assert missing == []
    assert named or " " in shown_by.strip("` "), f"{number} has neither a test nor a reason"
