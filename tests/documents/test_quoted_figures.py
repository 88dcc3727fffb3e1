"""What README quotes of the benchmarks is what was measured."""

from pathlib import Path

import pytest

from benchmarks.__main__ import MEASURES
from benchmarks.figures import Figure
from benchmarks.report import Report, told

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text("utf-8")
REPORT = Report.model_validate_json(
    (REPOSITORY / "docs" / "benchmarks" / "figures.json").read_text("utf-8")
)
JUDGED = [figure for figure in REPORT.figures if figure.goal is not None]


def test_every_measure_was_taken_at_full_size() -> None:
    assert REPORT.scale.is_full
    assert not REPORT.unmeasured
    assert REPORT.goals == sum(measure.goals for measure in MEASURES.values())


def test_the_day_the_machine_and_the_sum_are_quoted() -> None:
    assert REPORT.head in README
    assert REPORT.summary in README


@pytest.mark.parametrize("figure", JUDGED, ids=lambda figure: figure.key)
def test_each_goal_stands_with_its_median_and_verdict(figure: Figure) -> None:
    (line,) = (line for line in README.splitlines() if line.startswith(f"| `{figure.key}` |"))

    assert figure.goal is not None
    goal = f"{figure.goal.sign} {told(figure.goal.number, figure.unit)}"
    ending = (
        f"| {told(figure.median, figure.unit)} | {goal} | {figure.verdict(REPORT.scale).value} |"
    )
    assert line.endswith(ending)


def test_the_table_and_the_plot_are_of_the_same_run() -> None:
    table = (REPOSITORY / "docs" / "benchmarks" / "figures.md").read_text("utf-8")

    assert table == f"{REPORT.table()}\n\n{REPORT.summary}\n"
    assert (REPOSITORY / "docs" / "benchmarks" / "figures.svg").exists()
