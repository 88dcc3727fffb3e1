"""The benchmarks' runner: what it claims, and what it must not."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

import benchmarks.__main__ as runner
from benchmarks.figures import Figure, Goal, Scale, Verdict, at_least, at_most
from benchmarks.machine import this_machine
from benchmarks.report import Report, Unmeasured, told

ROOM = Path(__file__).parents[2] / "benchmarks"


def a_figure(*samples: float, goal: Goal | None = None) -> Figure:
    return Figure(key="floor.rate", what="a ratio", samples=samples or (1.0,), goal=goal)


def a_report(*figures: Figure, scale: Scale | None = None, lost: tuple[str, ...] = ()) -> Report:
    return Report(
        measured_at=datetime(2026, 11, 23, tzinfo=UTC),
        machine=this_machine(),
        scale=scale or Scale(),
        figures=figures,
        unmeasured=tuple(Unmeasured(measure=name, why="it fell over") for name in lost),
    )


@pytest.mark.parametrize(
    ("goal", "met"),
    [(at_least(2), True), (at_least(2.01), False), (at_most(2), True), (at_most(1.99), False)],
)
def test_a_goal_is_judged_by_the_median(goal: Goal, met: bool) -> None:  # noqa: FBT001
    figure = a_figure(0.5, 2.0, 99.0, goal=goal)

    assert figure.verdict(Scale()) is (Verdict.MET if met else Verdict.MISSED)


def test_a_reduced_run_claims_no_goal() -> None:
    report = a_report(a_figure(5.0, goal=at_least(1)), scale=Scale(share=0.99))

    assert report.summary == "0 of 1 goals met"
    assert "| not at full size |" in report.table()


def test_a_measure_that_failed_counts_as_a_missed_goal_and_says_why() -> None:
    report = a_report(a_figure(5.0, goal=at_least(1)), a_figure(5.0), lost=("cost",))

    assert report.summary == "1 of 2 goals met"
    assert "not measured: it fell over" in report.table()


def test_a_measure_that_falls_over_leaves_the_others_to_be_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def measure(name: str, _scale: Scale) -> list[Figure]:
        if name == "floor":
            raise RuntimeError("no port is free\nand more")
        return [a_figure(1.0)]

    monkeypatch.setattr(runner, "_measure", measure)

    report = runner.take(["floor", "cost"], Scale())

    assert [each.why for each in report.unmeasured] == ["RuntimeError: no port is free"]
    assert len(report.figures) == 1


def test_every_measure_is_a_module_with_one_coroutine() -> None:
    for name in runner.MEASURES:
        source = (ROOM / f"{name}.py").read_text("utf-8")

        assert "async def measure(scale: Scale) -> list[Figure]:" in source, name


def test_an_unknown_measure_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        runner.main(["--only", "flor"])

    assert ended.value.code == 2
    assert "the measures are floor, peers, waiting" in capsys.readouterr().err


def test_a_report_keeps_its_raw_samples() -> None:
    report = a_report(a_figure(3.0, 1.0, 2.0, goal=at_most(2)))

    assert Report.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.123, "0.12"), (60, "60"), (12.34, "12.3"), (1234.5, "1,234"), (0, "0")],
)
def test_a_number_has_the_digits_that_it_deserves(number: float, text: str) -> None:
    assert told(number) == text
    assert told(number, "kB") == f"{text} kB"
