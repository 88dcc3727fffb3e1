"""The benchmarks' runner: what it claims, and what it must not."""

import asyncio
import re
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
        unmeasured=tuple(Unmeasured(measure=name, goals=3, why="it fell over") for name in lost),
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


def test_all_goals_of_a_measure_that_failed_are_missed_and_it_says_why() -> None:
    report = a_report(a_figure(5.0, goal=at_least(1)), a_figure(5.0), lost=("cost",))

    assert report.summary == "1 of 4 goals met"
    assert "not measured: it fell over" in report.table()


def test_the_last_lines_name_each_goal_that_was_missed() -> None:
    report = a_report(a_figure(0.4, goal=at_least(0.5)), lost=("cost",))

    assert report.ending.splitlines() == [
        "floor.rate missed its goal: 0.40, not ≥ 0.50",
        "cost was not measured: it fell over (goals missed by it: 3)",
        "",
        "0 of 4 goals met",
    ]


class Taken:
    """Measures in place of the real ones, by name: figures to hand back, or an error to raise."""

    def __init__(self, **measures: list[Figure] | BaseException) -> None:
        self._measures = measures
        self.kept: list[Report] = []

    async def measure(self, name: str, _scale: Scale) -> list[Figure]:
        match self._measures[name]:
            case BaseException() as error:
                raise error
            case figures:
                return figures

    def run(self, monkeypatch: pytest.MonkeyPatch) -> Report:
        monkeypatch.setattr(runner, "_measure", self.measure)
        return runner.take(list(self._measures), Scale(), self.kept.append)


ONE = [a_figure(1.0, goal=at_least(1))]
TWO = [*ONE, *ONE]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RuntimeError("no port is free\nand more"), "RuntimeError: no port is free"),
        (TimeoutError(), "TimeoutError"),
        (ExceptionGroup("several", [ValueError("the first one")]), "ValueError: the first one"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
)
def test_a_measure_that_falls_over_loses_its_goals_and_leaves_the_others_to_be_taken(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, why: str
) -> None:
    report = Taken(floor=ONE, waiting=error, recovery=TWO).run(monkeypatch)

    assert [(each.measure, each.goals, each.why) for each in report.unmeasured] == [
        ("waiting", 4, why)
    ]
    assert report.summary == "3 of 7 goals met"


def test_what_is_known_is_kept_after_each_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Taken(floor=ONE, cost=RuntimeError("no port is free"), recovery=TWO)

    report = taken.run(monkeypatch)

    assert [each.summary for each in taken.kept] == [
        "0 of 6 goals met",
        "1 of 6 goals met",
        "1 of 6 goals met",
        "3 of 6 goals met",
    ]
    assert [each.why for each in taken.kept[1].unmeasured] == [runner.NOT_YET, runner.NOT_YET]
    assert report == taken.kept[-1]


def test_a_run_that_is_stopped_keeps_what_was_measured_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken = Taken(floor=ONE, cost=KeyboardInterrupt())
    monkeypatch.setattr(runner, "_measure", taken.measure)
    file, table = tmp_path / "out" / "figures.json", tmp_path / "figures.md"

    with pytest.raises(KeyboardInterrupt):
        runner.main(["--only", "floor,cost", "--json", str(file), "--table", str(table)])

    kept = Report.model_validate_json(file.read_text("utf-8"))
    assert kept.figures == tuple(ONE)
    assert kept.summary == "1 of 4 goals met"
    assert "| cost |  |  |  |  | not measured: not taken yet |" in table.read_text("utf-8")


def test_goals_that_a_measure_promised_and_left_out_are_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = Taken(recovery=ONE).run(monkeypatch)

    assert [(each.goals, each.why) for each in report.unmeasured] == [(1, "1 of 2 goals came")]
    assert report.summary == "1 of 2 goals met"


def test_every_measure_is_a_module_with_one_coroutine() -> None:
    for name in runner.MEASURES:
        source = (ROOM / f"{name}.py").read_text("utf-8")

        assert "async def measure(scale: Scale) -> list[Figure]:" in source, name


def test_the_method_names_the_version_of_the_peer_that_is_measured() -> None:
    locked = re.search(
        r"^dbos==(\S+)", (ROOM / "requirements.lock").read_text("utf-8"), re.MULTILINE
    )
    method = ROOM.parent / "docs" / "benchmarks.md"

    assert locked is not None
    assert f"DBOS Transact {locked[1]} is the one" in method.read_text("utf-8")


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
