"""A run of the measures: as JSON with its raw samples, and as a table with goals and verdicts."""

from pydantic import AwareDatetime, BaseModel, ConfigDict

from benchmarks.figures import Figure, Scale, Verdict
from benchmarks.machine import Machine

COLUMNS = ("what", "min", "median", "max", "goal", "verdict")
_SMALL, _LARGE = 10, 100


class Unmeasured(BaseModel):
    """A measure that ended with an error: its goals count as one that is missed."""

    model_config = ConfigDict(frozen=True)

    measure: str
    why: str


class Report(BaseModel):
    """What was measured, when, on what."""

    model_config = ConfigDict(frozen=True)

    measured_at: AwareDatetime
    machine: Machine
    scale: Scale
    figures: tuple[Figure, ...]
    unmeasured: tuple[Unmeasured, ...] = ()

    @property
    def goals(self) -> int:
        """How many goals there are, a measure that failed counted as one."""
        return sum(each.goal is not None for each in self.figures) + len(self.unmeasured)

    @property
    def met(self) -> int:
        """How many of them were met."""
        return sum(each.verdict(self.scale) is Verdict.MET for each in self.figures)

    @property
    def summary(self) -> str:
        """The last line."""
        return f"{self.met} of {self.goals} goals met"

    def table(self) -> str:
        """Markdown: a row per figure, then its notes."""
        rows = [_row(COLUMNS), _row(("---",) * len(COLUMNS))]
        rows += [_row(_cells(figure, self.scale)) for figure in self.figures]
        rows += [
            _row((each.measure, "", "", "", "", f"not measured: {each.why}"))
            for each in self.unmeasured
        ]
        notes = [f"- {figure.key}: {note}" for figure in self.figures for note in figure.notes]
        return "\n".join([self.head, "", *rows, *([""] if notes else []), *notes])

    @property
    def head(self) -> str:
        """When, on what, at which size."""
        size = "full size" if self.scale.is_full else f"{self.scale.share:g} of the full size"
        return f"{self.measured_at:%Y-%m-%d}, {self.machine.sentence}, {size}"


def told(number: float, unit: str = "") -> str:
    """A number with as many digits as it deserves, and its unit."""
    if number == round(number) or abs(number) >= _LARGE:
        text = f"{number:,.0f}"
    else:
        text = f"{number:.2f}" if abs(number) < _SMALL else f"{number:.1f}"
    return f"{text} {unit}".strip()


def _cells(figure: Figure, scale: Scale) -> tuple[str, ...]:
    numbers = (min(figure.samples), figure.median, max(figure.samples))
    goal = f"{figure.goal.sign} {told(figure.goal.number, figure.unit)}" if figure.goal else ""
    shown = (told(number, figure.unit) for number in numbers)
    return (figure.what, *shown, goal, figure.verdict(scale).value)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
