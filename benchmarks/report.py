"""A run of the measures: as JSON with its raw samples, and as a table with goals and verdicts."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from benchmarks.figures import Figure, Scale, Verdict
from benchmarks.machine import Machine

COLUMNS = ("what", "min", "median", "max", "goal", "verdict")
_SMALL, _LARGE = 10, 100


class Unmeasured(BaseModel):
    """A measure that ended with an error or was never begun: all of its goals are missed."""

    model_config = ConfigDict(frozen=True)

    measure: str
    goals: int = Field(ge=0)
    """How many of them came to nothing."""
    why: str

    @property
    def sentence(self) -> str:
        """For the end of a run."""
        return f"{self.measure} was not measured: {self.why} (goals missed by it: {self.goals})"


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
        """How many goals there are, those of measures that failed too."""
        lost = sum(each.goals for each in self.unmeasured)
        return sum(each.goal is not None for each in self.figures) + lost

    @property
    def met(self) -> int:
        """How many of them were met."""
        return sum(each.verdict(self.scale) is Verdict.MET for each in self.figures)

    @property
    def summary(self) -> str:
        """The last line."""
        return f"{self.met} of {self.goals} goals met"

    @property
    def ending(self) -> str:
        """What a reader of the last lines has to know: each goal that was missed, then how many."""
        missed = [
            f"{figure.key} missed its goal: {_judged(figure)}"
            for figure in self.figures
            if figure.verdict(self.scale) is Verdict.MISSED
        ]
        failed = [each.sentence for each in self.unmeasured]
        return "\n".join([*missed, *failed, *([""] if missed or failed else []), self.summary])

    def table(self) -> str:
        """Markdown: a row per figure, then its notes."""
        rows = [_row(COLUMNS), _row(("---",) * len(COLUMNS))]
        rows += [_row(_cells(figure, self.scale)) for figure in self.figures]
        rows += [
            _row((each.measure, "", "", "", "", f"not measured: {each.why.replace('|', '/')}"))
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


def _judged(figure: Figure) -> str:
    assert figure.goal is not None, "only a figure with a goal can miss it"
    goal = f"{figure.goal.sign} {told(figure.goal.number, figure.unit)}"
    return f"{told(figure.median, figure.unit)}, not {goal}"


def _cells(figure: Figure, scale: Scale) -> tuple[str, ...]:
    numbers = (min(figure.samples), figure.median, max(figure.samples))
    goal = f"{figure.goal.sign} {told(figure.goal.number, figure.unit)}" if figure.goal else ""
    shown = (told(number, figure.unit) for number in numbers)
    return (figure.what, *shown, goal, figure.verdict(scale).value)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
