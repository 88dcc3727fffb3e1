"""The figures in one picture, each in units of its goal, so that ratios and kB share an axis."""

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.figures import Figure, Goal, Verdict
from benchmarks.report import Report, told

_COLOURS = {
    Verdict.MET: "#2a7f4f",
    Verdict.MISSED: "#b3372f",
    Verdict.REDUCED: "#6b7280",
}
_INCHES_PER_ROW = 0.42
_FLOOR = 1e-3
"""A sample of 0 has no place on a logarithmic axis: it is drawn at its left end."""


def plot(report: Report, path: Path) -> None:
    """Draw minimum, median and maximum of every figure with a goal, in units of that goal."""
    judged = [figure for figure in report.figures if figure.goal is not None]
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "stillmotion"
    canvas, axes = plt.subplots(
        figsize=(9, 1.6 + _INCHES_PER_ROW * len(judged)), layout="constrained"
    )
    for row, figure in enumerate(reversed(judged)):
        _draw(axes, row, figure, figure.verdict(report.scale))
    axes.axvline(1, color="#111827", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}x"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, 0.5), max(right, 2))
    axes.set_yticks(range(len(judged)), [_label(figure) for figure in reversed(judged)])
    axes.set_xlabel(
        "how many times better than its goal (minimum, median, maximum): right of the line"
    )
    axes.set_title(f"{report.head}: {report.summary}", fontsize=9, loc="left")
    axes.grid(axis="x", alpha=0.3, which="both")
    canvas.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(canvas)


def _draw(axes: Axes, row: int, figure: Figure, verdict: Verdict) -> None:
    assert figure.goal is not None, "only those with a goal are drawn"
    ends = [margin(figure.goal, each) for each in (min(figure.samples), max(figure.samples))]
    colour = _COLOURS[verdict]
    axes.plot(ends, [row, row], color=colour, linewidth=3, alpha=0.4, solid_capstyle="round")
    axes.plot([margin(figure.goal, figure.median)], [row], "o", color=colour)


def margin(goal: Goal, value: float) -> float:
    """How many times better than the goal a value is: above 1 on its right side."""
    value, number = max(value, _FLOOR), max(goal.number, _FLOOR)
    return number / value if goal.at_least is None else value / number


def _label(figure: Figure) -> str:
    assert figure.goal is not None, "only those with a goal are drawn"
    goal = f"{figure.goal.sign} {told(figure.goal.number, figure.unit)}"
    return f"{figure.key}: {told(figure.median, figure.unit)} ({goal})"
